"""The shipped manifests on a real cluster of one node: API server, scheduler, kubelet. Run by scripts/kubernetes-test."""

import base64
import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
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


@pytest.fixture(scope="session")
def cluster():
    archive = HOST / "programs/squall.tar"
    subprocess.run(["ctr", "-n", "k8s.io", "images", "import", archive], check=True, stdout=subprocess.DEVNULL)
    kubectl("apply", "-k", HOST / "daemonset/namespace")
    kubectl("apply", "-f", HOST / "manifest.yaml")
    yield
    print(kubectl("-n", AGENT, "logs", "--selector", "app.kubernetes.io/name=squall", "--tail", "50", check=False))


@pytest.fixture(scope="session")
def agent(cluster):
    wait_until(ready_agent, 120, "the agent is ready")
    kubectl("create", "namespace", "shop")
    target = yaml.safe_load(example("target.yaml"))
    container = target["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]
    kubectl("apply", "-f", "-", text=json.dumps(target))
    # Whom it speaks to: the node itself is never hit.
    kubectl("-n", "shop", "run", "db", f"--image={BUSYBOX}", "--", "sleep", "3600")
    kubectl("apply", "-f", EXAMPLES / "namespace.yaml")
    tools = {"SQUALL": str(HOST / "programs/squall")}
    subprocess.run(
        [HOST / "daemonset/onboard-tenant", "shop", "--namespace", "shop-experiments"],
        env=os.environ | tools, check=True, timeout=120,
    )  # fmt: skip
    web = wait_until(target_pod, 90, "the target is ready")
    # Kubelet brings the key onto the node, at once for a pod whose annotations have changed.
    wait_until(knows_the_tenant, 150, "the tenant's key is on the node")
    return web


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


def test_the_daemonset_is_ready_and_its_probes_are_true(agent):
    (pod,) = agent_pods()
    status = pod["status"]["containerStatuses"][0]
    assert status["ready"] and status["restartCount"] == 0
    assert json.loads(squall("version", "--output", "json"))
    # A document on each line: the agent's own report, and what the program has looked at itself.
    *_, checks = map(json.loads, squall("doctor", "--output", "json", check=False).splitlines())
    missing = [check for check in checks["checks"] if check["state"] == "missing"]
    assert not missing, missing


def test_a_job_injects_watches_and_ends_with_the_verdict(agent):
    before = round_trip(agent)
    assert before < 50
    with job("60s") as name:
        wait_until(lambda: "active" in logs(name), 90, "the session is active")
        assert 195 < round_trip(agent) < 260
        done = lambda: objects("-n", "shop-experiments", name)["status"].get("succeeded") == 1  # noqa: E731
        wait_until(done, 150, "the Job has succeeded")
        assert "every change is undone and verified" in logs(name)
    assert round_trip(agent) < 50 and "netem" not in qdiscs(agent)


def test_a_job_that_is_deleted_takes_its_fault_back(agent):
    with job("5m") as name:
        wait_until(lambda: "active" in logs(name), 90, "the session is active")
        assert "netem" in qdiscs(agent)
    wait_until(lambda: "netem" not in qdiscs(agent), 40, "the fault is taken back")


def test_the_example_pod_plans_and_then_does_it(agent):
    kubectl("create", "-f", "-", text=example("pod.yaml", **{"--duration=1m": "--duration=8s"}))
    pod = ["-n", "shop-experiments", "pod", "web-without-cpu"]
    try:
        wait_until(lambda: objects(*pod)["status"]["phase"] == "Succeeded", 120, "the pod has succeeded")
        assert "Nothing has been changed" in kubectl("-n", "shop-experiments", "logs", "web-without-cpu", "-c", "plan")
        assert "every change is undone and verified" in kubectl("-n", "shop-experiments", "logs", "web-without-cpu")
    finally:
        kubectl("-n", "shop-experiments", "delete", "pod", "web-without-cpu")


def sessions():
    return json.loads(squall("session", "list", "--output", "json"))["sessions"]


def test_an_agent_that_is_deleted_amid_a_session_takes_it_back_and_is_replaced(agent):
    with job("5m") as name:
        wait_until(lambda: "active" in logs(name), 90, "the session is active")
        old = ready_agent()
        kubectl("-n", AGENT, "delete", "pod", old, "--wait=false")
        wait_until(lambda: "netem" not in qdiscs(agent), 30, "the fault is taken back")
        new = wait_until(ready_agent, 120, "another agent is ready")
        assert new != old
        # What it was asked to do was not done: the Job says so, in words of the session's end.
        wait_until(lambda: objects("-n", "shop-experiments", name)["status"].get("failed"), 90, "the Job has failed")
    assert [each["ending"] for each in sessions()][:1] == ["drained"]


def test_an_agent_that_is_torn_away_leaves_nothing(agent):
    """kubectl delete --force: kubelet kills it without asking."""
    with job("5m") as name:
        wait_until(lambda: "active" in logs(name), 90, "the session is active")
        old = ready_agent()
        kubectl("-n", AGENT, "delete", "pod", old, "--force", "--grace-period=0")
        assert wait_until(lambda: (new := ready_agent()) != old and new, 120, "another agent is ready")
        wait_until(lambda: "netem" not in qdiscs(agent), 30, "the fault is taken back")
    assert all(each["state"] == "ended" for each in sessions())


def test_a_restarted_target_is_followed(agent):
    """Its container is killed; kubelet starts another one in the same pod."""
    with job("3m", **{"- --wait": "- --wait\n            - --on-restart=reinject"}) as name:
        wait_until(lambda: "active" in logs(name), 90, "the session is active")
        first = target_pid(target_pod())
        os.kill(int(first), 9)
        wait_until(lambda: "target-returned" in logs(name), 60, "the session is on the container's successor")
        pod = wait_until(target_pod, 60, "the target is ready again")
        assert target_pid(pod) != first
        wait_until(lambda: "netem" in qdiscs(pod), 30, "the fault is in effect again")
    wait_until(lambda: "netem" not in qdiscs(target_pod()), 40, "the fault is taken back")


def as_tenant(*words):
    """The tenant's own answer, with the key that onboarding has put into a Secret; from the node itself."""
    secret = objects("-n", "shop-experiments", "secret", "squall-key-shop")["data"]["shop.key.jwk"]
    with tempfile.NamedTemporaryFile(suffix=".key.jwk") as key:
        key.write(base64.b64decode(secret))
        key.flush()
        asked = [HOST / "programs/squall", *words, "--key", key.name, "--tenant", "shop", "--output", "json"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout if done.returncode == 0 else done.stderr)


def throttled(pod, container):
    """The session of a fault on this container, once it is over."""
    begun = as_tenant(
        "inject", "cpu-throttle", "percent=50", "--namespace", "shop", "--pod", pod, "--container-name", container, "--duration", "3s"
    )
    if "id" not in begun:
        return begun
    return wait_until(
        lambda: (now := as_tenant("session", "show", begun["id"]))["state"] == "ended" and now, 30, "the session is over"
    )


def in_shop(name, **spec):
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "annotations": {"squall.dev/chaos": "allowed"}}, "spec": spec,
    }  # fmt: skip


def sleeper(name):
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]}


def container_id(pod, name):
    status = objects("-n", "shop", "pod", pod)["status"]
    all = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    (found,) = [each for each in all if each["name"] == name and "running" in each.get("state", {})] or [{}]
    return found.get("containerID", "").removeprefix("containerd://")


def test_an_init_container_is_a_target_while_it_runs(agent):
    """A native sidecar is one that goes on running; this server is older than those."""
    spec = {"initContainers": [sleeper("warm")], "containers": [sleeper("app")]}
    kubectl("apply", "-f", "-", text=json.dumps(in_shop("warming", **spec)))
    try:
        warm = wait_until(lambda: container_id("warming", "warm"), 60, "the init container runs")
        report = throttled("warming", "warm")
        assert report["target"]["container"] == report["target"]["container"] | {"id": warm, "name": "warm", "pod": "warming"}
        assert report["ending"] == "expired" and report["revertVerified"]
        assert throttled("warming", "app")["code"] == "target-not-found"
        tasks = subprocess.check_output(["ctr", "-n", "k8s.io", "tasks", "ls"], text=True)
        os.kill(int(next(line.split()[1] for line in tasks.splitlines() if line.startswith(warm))), 15)
        app = wait_until(lambda: container_id("warming", "app"), 60, "the container itself runs")
        assert throttled("warming", "app")["target"]["container"]["id"] == app
        assert throttled("warming", "warm")["code"] == "target-not-found"
    finally:
        kubectl("-n", "shop", "delete", "pod", "warming", "--wait=false")


def test_a_static_pod_is_a_target_by_its_name(agent):
    """Kubelet makes it of a file; what the API server has is its mirror."""
    file = Path("/etc/kubernetes/manifests/static.json")
    file.write_text(json.dumps(in_shop("static", containers=[sleeper("app")])))
    try:
        app = wait_until(lambda: kubectl("-n", "shop", "get", "pod", "static-node", check=False) and container_id("static-node", "app"), 90, "the static pod runs")
        report = throttled("static-node", "app")
        assert report["target"]["container"]["id"] == app and report["revertVerified"]
    finally:
        file.unlink()


def test_a_rolling_update_replaces_the_agent(agent):
    old = ready_agent()
    kubectl("-n", AGENT, "rollout", "restart", "daemonset/squall")
    kubectl("-n", AGENT, "rollout", "status", "daemonset/squall", "--timeout=150s", timeout=160)
    assert wait_until(ready_agent, 60) != old


def test_nothing_stays_when_it_is_uninstalled(agent):
    kubectl("delete", "-f", HOST / "manifest.yaml", "--wait=true", timeout=180)
    wait_until(lambda: not objects("-n", AGENT, "pods")["items"], 90, "the agent is gone")
    wait_until(lambda: not our_processes(), 30, "no process of ours is left")
    assert "netem" not in qdiscs(target_pod()) and not Path("/sys/fs/cgroup/squall-deadman").exists()


def our_processes():
    names = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            names.append((folder / "comm").read_text().strip())
    return [name for name in names if name.startswith("squall")]
