"""The shipped manifests on a real cluster of one node: API server, scheduler, kubelet. Run by scripts/kubernetes-test."""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

from cluster_kit import *


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
