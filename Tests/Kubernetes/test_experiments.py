"""Experiments that ask the cluster: workloads as targets, pods that are deleted, scripts in pods, and what there is of resources."""

import json
import subprocess

import pytest
from cluster_kit import *

WEB = {"workload": {"kind": "deployment", "namespace": "shop", "name": "web", "percent": 100}}


@pytest.fixture(scope="module")
def run(client, tmp_path_factory):
    """Runs an experiment from the node, by its kubeconfig, and returns the command and its result."""
    folder = tmp_path_factory.mktemp("experiments")
    for name, text in objects("-n", "shop", "secret", "squall-client")["data"].items():
        (folder / name).write_bytes(base64.b64decode(text).replace(b"/etc/squall/client", str(folder).encode()))
        (folder / name).chmod(0o600)

    def run(*steps, probes=(), what="run", document=None, inputs=()):
        document = document or {
            "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "one"},
            "spec": {"steps": list(steps), "probes": list(probes)},
        }  # fmt: skip
        (folder / "experiment.json").write_text(json.dumps(document))
        done = subprocess.run(
            [HOST / "programs/squall", "experiment", what, folder / "experiment.json", "--key", folder / "shop.key.jwk",
             "--inventory", folder / "inventory.yaml", "--output", "json",
             *(word for input in inputs for word in ("--set", input))],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        return done, json.loads(done.stdout) if done.stdout else None

    return run


def test_a_workload_is_a_target_by_its_owners(run):
    """Not by its labels: another pod has the same."""
    stray = {"metadata": {"name": "stray", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"containers": [sleeper("web")]}}
    kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "Pod"} | stray))
    try:
        wait_until(lambda: is_ready(objects("-n", "shop", "pod", "stray")), 60, "the stray runs")
        own = next(pod for pod in objects("-n", "shop", "pods", "-l", "app=web")["items"] if pod["metadata"]["name"] != "stray")
        step = {"name": "busy", "fault": "cpu-stress", "parameters": {"load": 10}, "target": WEB, "duration": "3s"}
        _, plan = run(step, what="plan")
        (entry,) = plan["steps"]
        assert [target["pod"] for target in entry["targets"]] == [own["metadata"]["name"]]
        done, result = run(step)
        assert done.returncode == 0, done.stderr
        (session,) = result["sessions"]
        assert session["target"]["container"]["pod"] == own["metadata"]["name"] and session["revertVerified"]
    finally:
        kubectl("-n", "shop", "delete", "pod", "stray", "--grace-period=0", "--force", check=False)


def test_pods_are_deleted_and_others_come(run):
    before = wait_until(target_pod, 60)["metadata"]["uid"]
    step = {"name": "lose", "deletePods": {"target": WEB, "gracePeriod": "0s"}}
    probe = {
        "name": "replicas", "mode": "EOT", "attempts": 60,
        "kubernetes": {"apiVersion": "apps/v1", "resource": "deployments", "namespace": "shop", "name": "web", "path": "status.readyReplicas"},
        "expect": {"criteria": "==", "value": 1},
    }  # fmt: skip
    _, plan = run(step, what="plan")
    assert "would have 1 of these deleted: web-" in plan["steps"][0]["problem"]
    assert wait_until(target_pod, 60)["metadata"]["uid"] == before
    done, result = run(step, {"name": "settle", "wait": "3s"}, probes=[probe])
    assert done.returncode == 0, done.stderr
    assert result["steps"][0]["targets"][0]["podUID"] == before
    assert wait_until(target_pod, 60)["metadata"]["uid"] != before


@pytest.mark.parametrize(
    "check, verdict, words",
    [
        ({"resource": "pods", "namespace": "shop", "labelSelector": "app=web"}, "Pass", "1"),
        ({"resource": "pods", "namespace": "shop", "labelSelector": "app=none", "operation": "absent"}, "Pass", "0"),
        ({"resource": "pods", "namespace": "shop", "name": "none", "operation": "absent"}, "Pass", "0"),
        ({"resource": "pods", "namespace": "shop", "name": "none"}, "Fail", "there are no such pods"),
        ({"resource": "pods", "namespace": "shop", "labelSelector": "app=web", "operation": "absent"}, "Fail", "there are pods: web-"),
        # A kind that nobody knows is a mistake, and not absent.
        ({"resource": "pots", "namespace": "shop", "name": "none", "operation": "absent"}, "Fail", "could not find the requested resource"),
        ({"resource": "nodes", "fieldSelector": "metadata.name=node"}, "Pass", "1"),
        ({"resource": "pods", "namespace": "../nodes"}, "Fail", "could not find the requested resource"),
    ],
)
def test_resources_are_looked_at(run, check, verdict, words):
    _, result = run({"name": "wait", "wait": "1ms"}, probes=[{"name": "look", "mode": "EOT", "kubernetes": check}])
    assert result["verdict"] == verdict, result
    (look,) = result["probes"][0]["runs"]
    assert words in (look.get("message") or look["value"]), look


def test_a_script_runs_in_a_pod_and_what_it_says_goes_on(run):
    script = {
        "command": ["sh", "-c", "grep -o 'find' $SQUALL_CONTEXT | head -n 1; echo 'node=node'"],
        "image": BUSYBOX, "namespace": "shop", "output": "text",
    }  # fmt: skip
    done, result = run(
        {"name": "find", "script": script},
        {"name": "say", "script": {"command": ["echo", "${{ steps.find.output }}"]}},
    )
    assert done.returncode == 0, done.stderr
    assert result["steps"][0]["output"] == "find\nnode=node" == result["steps"][1]["output"]
    assert not script_pods()


def script_pods():
    return objects("-n", "shop", "pods", "-l", "app.kubernetes.io/name=squall-script")["items"]


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"command": ["sh", "-c", "echo no such leader; exit 3"]}, "ended with exit code 3: no such leader"),
        ({"image": "node.local/none:1"}, "its pod cannot start"),
        ({"command": ["sleep", "60"], "timeout": "10s"}, "it had not ended after 10s"),
    ],
)
def test_a_script_that_fails_in_its_pod_says_why(run, changed, words):
    done, result = run({"name": "find", "script": {"command": ["true"], "image": BUSYBOX, "namespace": "shop"} | changed})
    assert done.returncode == 7 and words in result["steps"][0]["message"], result["steps"]
    wait_until(lambda: not script_pods(), 30, "its pod is gone")


def test_lost_replicas_of_the_catalogue(run):
    document = yaml.safe_load((HOST / "daemonset/experiments/catalogue/lost-replicas/1.0.0/experiment.yaml").read_text())
    front = {
        "metadata": {"name": "front", "namespace": "shop"},
        "spec": {"containers": [{"name": "front", "image": BUSYBOX, "command": ["httpd", "-f", "-p", "8080", "-h", "/etc"]}]},
    }  # fmt: skip
    kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "Pod"} | front))
    try:
        address = wait_until(lambda: is_ready(pod := objects("-n", "shop", "pod", "front")) and pod["status"]["podIP"], 60)
        inputs = ["namespace=shop", "name=web", "replicas=1", "percent=100", f"url=http://{address}:8080/passwd"]
        done, result = run(document=document, inputs=inputs)
        assert done.returncode == 0 and (result["verdict"], result["score"]) == ("Pass", 100), result
        assert len(result["steps"][0]["targets"]) == 1
    finally:
        kubectl("-n", "shop", "delete", "pod", "front", "--grace-period=0", "--force", check=False)
