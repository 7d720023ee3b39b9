"""What the tests on a whole cluster look with: kubectl, and the node itself."""

import base64
import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

HOST = Path("/mnt/host")
EXAMPLES = HOST / "daemonset/examples"
IMAGE = "node.local/squall:test"
BUSYBOX = "node.local/busybox:1"
AGENT = "squall-system"


def kubectl(*words, text=None, check=True, timeout=120):
    # The schemas of this old server know less than its objects may have.
    flags = ["--validate=false"] if words[0] in ("apply", "create") else []
    done = subprocess.run(
        ["kubectl", *map(str, words), *flags], input=text, text=True, capture_output=True, timeout=timeout
    )
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def objects(*words):
    return json.loads(kubectl("get", *words, "--output", "json"))


def wait_until(condition, timeout=90, what=""):
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}\n{state()}"
        time.sleep(0.5)
    return result


def state():
    return kubectl("get", "pods", "-A", "-o", "wide", check=False) + kubectl(
        "get", "events", "-A", "--sort-by=.lastTimestamp", check=False
    )


def agent_pods():
    """Those that are not on their way out, by name."""
    pods = objects("-n", AGENT, "pods")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod):
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def ready_agent():
    pods = agent_pods()
    return pods[0]["metadata"]["name"] if len(pods) == 1 and is_ready(pods[0]) else None


def example(name, **replaced):
    """A file of daemonset/examples as a user would have it: with his registry and times."""
    text = (EXAMPLES / name).read_text()
    text = re.sub(r"registry\.example\.com/squall:\S+", IMAGE, text)
    text = text.replace("registry.example.com/shop/web:1", BUSYBOX)
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def knows_the_tenant():
    """As the tenant, with the key that onboarding has put into a Secret; from the node itself."""
    secret = objects("-n", "shop-experiments", "secret", "squall-key-shop")["data"]["shop.key.jwk"]
    with tempfile.NamedTemporaryFile(suffix=".key.jwk") as key:
        key.write(base64.b64decode(secret))
        key.flush()
        asked = ["inject", "cpu-stress", "--namespace", "shop", "--selector", "app=web", "--dry-run", "--key", key.name]
        done = subprocess.run([HOST / "programs/squall", *asked, "--tenant", "shop"], capture_output=True, text=True)
    assert done.returncode == 0 or "key" in done.stderr, done.stderr
    return done.returncode == 0


def squall(*words, check=True):
    """As an operator in the agent's own container."""
    return kubectl("-n", AGENT, "exec", ready_agent() or agent_pods()[0]["metadata"]["name"], "--", "/squall", *words, check=check)


def target_pod():
    pods = [pod for pod in objects("-n", "shop", "pods", "-l", "app=web")["items"] if is_ready(pod)]
    return pods[0] if len(pods) == 1 else None


def target_pid(pod):
    id = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    info = subprocess.check_output(["ctr", "-n", "k8s.io", "tasks", "ls"], text=True)
    return next(line.split()[1] for line in info.splitlines() if line.startswith(id))


def round_trip(pod):
    """Median milliseconds from the target to another pod."""
    peer = wait_until(lambda: objects("-n", "shop", "pod", "db")["status"].get("podIP"), 60, "the peer has an address")
    ping = ["ping", "-3", "-c", "5", "-i", "0.2", "-W", "2", peer]
    out = subprocess.run(["nsenter", "-n", "-t", target_pid(pod), *ping], capture_output=True, text=True).stdout
    times = sorted(float(time) for time in re.findall(r"time=([0-9.]+) ms", out))
    return times[len(times) // 2]


def qdiscs(pod):
    return subprocess.check_output(["nsenter", "-n", "-t", target_pid(pod), "tc", "qdisc"], text=True)


@contextlib.contextmanager
def job(duration, **more):
    # This server knows no podFailurePolicy: whatever the verdict, it would try again.
    text = example(
        "job.yaml",
        **{"--duration=2m": f"--duration={duration}", "jitter=50ms": "jitter=0ms", "backoffLimit: 2": "backoffLimit: 0"} | more,
    )
    name = kubectl("create", "-f", "-", "-o", "name", text=text).strip()
    try:
        yield name
    finally:
        kubectl("-n", "shop-experiments", "delete", name, "--wait=true")


def logs(name):
    return kubectl("-n", "shop-experiments", "logs", name, check=False)


def sleeper(name):
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]}
