"""Experiments of LitmusChaos by the agents: with its own objects on a real API server, and pods as its runner starts them."""

import json
import subprocess
import time

import pytest
import yaml
from cluster_kit import *

FILES = HOST / "daemonset/experiments/litmus"
GROUP = "litmuschaos.io/v1alpha1"
FAULTS = {
    "pod-memory-hog": "memory-stress", "pod-io-stress": "io-stress", "disk-fill": "disk-fill",
    "pod-network-loss": "network-loss", "pod-network-corruption": "network-corruption",
    "pod-network-duplication": "network-duplication", "pod-network-rate-limit": "network-rate-limit",
    "pod-network-partition": "network-partition",
}  # fmt: skip


def in_namespace(*words, **more):
    return kubectl("-n", "shop", *words, **more)


def engine(name, experiments, **spec):
    """As people write it."""
    document = {
        "apiVersion": GROUP, "kind": "ChaosEngine", "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "engineState": "active", "chaosServiceAccount": "squall-litmus",
            "appinfo": {"appns": "shop", "applabel": "app=web", "appkind": "deployment"},
            "experiments": [
                {
                    "name": experiment,
                    "spec": {
                        "probe": probes,
                        "components": {"env": [{"name": key, "value": value} for key, value in variables.items()]},
                    },
                }
                for experiment, variables, probes in experiments
            ],
        } | spec,
    }  # fmt: skip
    in_namespace("apply", "-f", "-", text=json.dumps(document))
    return objects("-n", "shop", "chaosengine", name)


def start(engine, experiment, **more):
    """The Job that Litmus's runner makes of a ChaosEngine and a ChaosExperiment."""
    name = engine["metadata"]["name"]
    definition = objects("-n", "shop", "chaosexperiment", experiment)["spec"]["definition"]
    appinfo = engine["spec"]["appinfo"]
    targets = f"{appinfo['appkind']}:{appinfo['appns']}:[{appinfo['applabel']}]"
    (own,) = [each for each in engine["spec"]["experiments"] if each["name"] == experiment]
    variables = {
        "CHAOSENGINE": name, "TARGETS": targets, "CHAOS_NAMESPACE": "shop", "CHAOS_UID": engine["metadata"]["uid"],
        "EXPERIMENT_NAME": experiment, "CHAOS_SERVICE_ACCOUNT": "squall-litmus",
        **{each["name"]: each["value"] for each in definition["env"]},
        **{each["name"]: each["value"] for each in own["spec"]["components"]["env"]},
        "STATUS_CHECK_DELAY": "1", "STATUS_CHECK_TIMEOUT": "60", **more,
        # There is no kube-proxy here, which would lead the service's own address to the server.
        "KUBERNETES_SERVICE_HOST": "10.99.0.1", "KUBERNETES_SERVICE_PORT": "6443",
    }  # fmt: skip
    variables = [{"name": key, "value": value} for key, value in variables.items()]
    variables.append({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})
    labels = definition["labels"] | {"chaosUID": engine["metadata"]["uid"]}
    secrets = definition["secrets"]
    pod = {
        "metadata": {"labels": labels},
        "spec": {
            "restartPolicy": "Never", "serviceAccountName": "squall-litmus",
            "containers": [{
                "name": "experiment", "image": definition["image"], "command": definition["command"],
                "args": definition["args"], "env": variables,
                "volumeMounts": [{"name": each["name"], "mountPath": each["mountPath"]} for each in secrets],
            }],
            "volumes": [{"name": each["name"], "secret": {"secretName": each["name"]}} for each in secrets],
        },
    }  # fmt: skip
    job = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": f"{experiment}-", "namespace": "shop"},
        "spec": {"backoffLimit": 0, "template": pod},
    }
    return in_namespace("create", "-f", "-", "-o", "name", text=json.dumps(job)).strip()


def logs_of(job):
    return in_namespace("logs", job, check=False)


def finished(job):
    status = json.loads(in_namespace("get", job, "-o", "json"))["status"]
    return status if status.get("succeeded") or status.get("failed") else None


def until(job, condition, timeout, what):
    """Something that a run does before it is over; one that fails says why."""

    def look():
        if found := condition():
            return found
        status = finished(job)
        assert not (status and status.get("failed")), logs_of(job)

    return wait_until(look, timeout, what)


def result(name):
    return json.loads(in_namespace("get", "chaosresult", name, "-o", "json", check=False) or "{}")


def status(name):
    return result(name).get("status", {}).get("experimentStatus", {})


def events(kind, name):
    found = objects("-n", "shop", "events")["items"]
    return {
        event["reason"]: event["message"] for event in found
        if event["involvedObject"]["kind"] == kind and event["involvedObject"]["name"] == name
    }  # fmt: skip


def run(engine, experiment, timeout=120, **more):
    job = start(engine, experiment, **more)
    wait_until(lambda: finished(job), timeout, f"{experiment} is over")
    print(logs_of(job))
    return result(f"{engine['metadata']['name']}-{experiment}")


def http_probe(mode="Edge", url=None, **more):
    address = objects("-n", "shop", "pod", "web-page")["status"]["podIP"]
    return {
        "name": "The page", "type": "httpProbe", "mode": mode,
        "httpProbe/inputs": {
            "url": url or f"http://{address}:8080/index.html",
            "method": {"get": {"criteria": "==", "responseCode": "200"}},
        },
        "runProperties": {"probeTimeout": "5s", "interval": "500ms", "attempt": 3} | more,
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def page(client):
    serve = "mkdir -p /tmp/www && echo hello > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
    in_namespace("run", "web-page", f"--image={BUSYBOX}", "--", "sh", "-c", serve)
    wait_until(lambda: is_ready(objects("-n", "shop", "pod", "web-page")), 60, "the page is served")


def test_cpu_hog_is_a_whole_run_of_the_published_experiment(client):
    own = engine("cpu", [("pod-cpu-hog", {"TOTAL_CHAOS_DURATION": "40", "CPU_LOAD": "30"}, [http_probe()])])
    pod = target_pod()["metadata"]["name"]
    job = start(own, "pod-cpu-hog")
    during = until(
        job, lambda: (now := result("cpu-pod-cpu-hog")).get("status", {}).get("history", {}).get("targets")
        and now["status"]["experimentStatus"]["phase"] == "Running" and now,
        60, "the result names whom it hits",
    )  # fmt: skip
    assert during["status"]["experimentStatus"]["phase"] == "Running"
    assert during["status"]["experimentStatus"]["verdict"] == "Awaited"
    assert during["status"]["history"]["targets"] == [{"name": pod, "kind": "pod", "chaosStatus": "injected"}]
    # A worker of the agent's, in the target's own cgroup.
    cgroup = open(f"/proc/{target_pid(target_pod())}/cgroup").read()
    workers = [each for each in our_processes_of("squall-worker") if open(f"/proc/{each}/cgroup").read() == cgroup]
    assert workers
    wait_until(lambda: finished(job), 120, "the experiment is over")
    assert finished(job)["succeeded"] == 1, logs_of(job)
    after = result("cpu-pod-cpu-hog")
    assert after["spec"] == {"engine": "cpu", "experiment": "pod-cpu-hog"}
    assert after["metadata"]["labels"]["chaosUID"] == own["metadata"]["uid"]
    assert after["metadata"]["labels"]["name"] == "pod-cpu-hog"
    assert after["status"]["experimentStatus"] == {
        "phase": "Completed", "verdict": "Pass", "probeSuccessPercentage": "100"
    }  # fmt: skip
    assert after["status"]["history"] == {
        "passedRuns": 1, "failedRuns": 0, "stoppedRuns": 0,
        "targets": [{"name": pod, "kind": "pod", "chaosStatus": "reverted"}],
    }  # fmt: skip
    (probe,) = after["status"]["probeStatuses"]
    assert (probe["name"], probe["type"], probe["mode"], probe["status"]["verdict"]) == ("The page", "httpProbe", "Edge", "Passed")
    assert not our_processes_of("squall-worker")
    assert set(events("ChaosEngine", "cpu")) == {"PreChaosCheck", "ChaosInject", "PostChaosCheck", "Summary"}
    assert events("ChaosEngine", "cpu")["Summary"] == "pod-cpu-hog experiment has been Passed"
    assert set(events("ChaosResult", "cpu-pod-cpu-hog")) == {"Awaited", "Pass"}


def our_processes_of(name):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
    return found


def test_a_probe_that_fails_fails_the_run_and_counts(client):
    bad = http_probe("EOT", url="http://127.0.0.1:1/", attempt=1)
    own = engine("bad", [("pod-network-latency", {"TOTAL_CHAOS_DURATION": "3", "NETWORK_LATENCY": "100"}, [bad, http_probe()])])
    for runs in (1, 2):
        after = run(own, "pod-network-latency")
        assert after["status"]["experimentStatus"] == {
            "phase": "Completed_With_Probe_Failure", "verdict": "Fail", "probeSuccessPercentage": "50"
        }  # fmt: skip
        assert after["status"]["history"]["failedRuns"] == runs
    assert [probe["status"]["verdict"] for probe in after["status"]["probeStatuses"]] == ["Failed", "Passed"]
    assert "netem" not in qdiscs(target_pod())


def test_latency_is_there_and_is_taken_back(client):
    own = engine("slow", [("pod-network-latency", {"TOTAL_CHAOS_DURATION": "60", "NETWORK_LATENCY": "200"}, [])])
    job = start(own, "pod-network-latency")
    until(job, lambda: "netem" in qdiscs(target_pod()), 60, "the fault is in effect")
    assert 180 < round_trip(target_pod()) < 400
    wait_until(lambda: finished(job), 120)
    assert status("slow-pod-network-latency")["verdict"] == "Pass" and round_trip(target_pod()) < 100


@pytest.mark.parametrize(
    "experiment, variables",
    [
        ("pod-memory-hog", {"MEMORY_CONSUMPTION": "16"}),
        ("pod-io-stress", {"NUMBER_OF_WORKERS": "1"}),
        ("disk-fill", {"EPHEMERAL_STORAGE_MEBIBYTES": "40", "FILL_PERCENTAGE": "80"}),
        ("pod-network-loss", {}),
        ("pod-network-corruption", {}),
        ("pod-network-duplication", {}),
        ("pod-network-rate-limit", {}),
        ("pod-network-partition", {}),
    ],
)
def test_each_other_experiment_hits_and_passes(client, experiment, variables):
    """As it is published, but for its length."""
    name = f"one-{experiment}"
    own = engine(name, [(experiment, {"TOTAL_CHAOS_DURATION": "10"} | variables, [])])
    after = run(own, experiment)["status"]
    assert after["experimentStatus"] == {"phase": "Completed", "verdict": "Pass", "probeSuccessPercentage": "100"}, after
    (target,) = after["history"]["targets"]
    assert target["chaosStatus"] == "reverted" and target["name"].startswith("web-")
    sessions = json.loads(squall("session", "list", "--output", "json"))["sessions"]
    last = max(sessions, key=lambda session: session["openedAt"])
    assert last["fault"] == FAULTS[experiment] and last["revertVerified"], last
    assert "netem" not in qdiscs(target_pod()) and not our_processes_of("squall-worker")


@pytest.mark.parametrize("how", ["by a signal", "by the engine"])
def test_an_abort_takes_everything_back(client, how):
    name = "abort-" + how.split()[-1]
    own = engine(name, [("pod-network-loss", {"TOTAL_CHAOS_DURATION": "120"}, [])])
    job = start(own, "pod-network-loss")
    until(job, lambda: "netem" in qdiscs(target_pod()), 60, "the fault is in effect")
    if how == "by a signal":
        # As Litmus's operator does it, which deletes the Job.
        in_namespace("delete", job, "--wait=false")
    else:
        in_namespace("patch", "chaosengine", name, "--type=merge", "-p", '{"spec": {"engineState": "stop"}}')
        wait_until(lambda: finished(job), 30, "the experiment ends")
        assert finished(job)["failed"] == 1
    wait_until(lambda: "netem" not in qdiscs(target_pod()), 30, "the fault is taken back")
    wait_until(lambda: status(f"{name}-pod-network-loss").get("verdict") == "Stopped", 30, "the result says so")
    after = result(f"{name}-pod-network-loss")["status"]
    assert after["experimentStatus"]["phase"] == "Stopped" and "errorOutput" not in after["experimentStatus"]
    assert after["history"]["stoppedRuns"] == 1
    assert after["history"]["targets"][0]["chaosStatus"] == "reverted"
    assert "Abort" in events("ChaosResult", f"{name}-pod-network-loss")


def test_pod_delete_deletes_and_waits_for_the_next(client):
    probe = http_probe("OnChaos", probePollingInterval="500ms")
    own = engine("delete", [("pod-delete", {"TOTAL_CHAOS_DURATION": "5", "CHAOS_INTERVAL": "5", "FORCE": "true"}, [probe])])
    before = target_pod()["metadata"]["uid"]
    after = run(own, "pod-delete")
    assert after["status"]["experimentStatus"]["verdict"] == "Pass"
    assert after["status"]["history"]["targets"] == [{"name": "web", "kind": "deployment", "chaosStatus": "targeted"}]
    assert wait_until(target_pod, 60)["metadata"]["uid"] != before


def test_container_kill_has_kubelet_start_it_again(client):
    probe = http_probe("OnChaos", probePollingInterval="500ms")
    own = engine("kill", [("container-kill", {"TOTAL_CHAOS_DURATION": "12", "CHAOS_INTERVAL": "5"}, [probe])])
    before = target_pid(target_pod())
    restarts = target_pod()["status"]["containerStatuses"][0]["restartCount"]
    after = run(own, "container-kill", timeout=240)
    assert after["status"]["experimentStatus"]["verdict"] == "Pass", after
    # Again and again, each time when it was ready; kubelet waits longer each time, so maybe not for a third.
    assert target_pod()["status"]["containerStatuses"][0]["restartCount"] >= restarts + 1
    assert after["status"]["history"]["targets"][0]["chaosStatus"] == "targeted"
    assert target_pid(wait_until(target_pod, 60)) != before


def test_what_is_not_annotated_is_not_hit(client):
    own = engine("checked", [("pod-cpu-hog", {"TOTAL_CHAOS_DURATION": "2"}, [])], annotationCheck="true")
    after = run(own, "pod-cpu-hog")
    assert after["status"]["experimentStatus"]["verdict"] == "Error"
    assert after["status"]["experimentStatus"]["errorOutput"]["errorCode"] == "TARGET_SELECTION_ERROR"
    assert "annotated" in after["status"]["experimentStatus"]["errorOutput"]["reason"]
    in_namespace("annotate", "deploy/web", "litmuschaos.io/chaos=true")
    assert run(own, "pod-cpu-hog")["status"]["experimentStatus"]["verdict"] == "Pass"


def test_targets_that_do_not_exist_are_an_error(client):
    own = engine("nobody", [("pod-cpu-hog", {"TOTAL_CHAOS_DURATION": "2", "TARGET_PODS": "web-of-lies"}, [])])
    after = run(own, "pod-cpu-hog")["status"]["experimentStatus"]
    assert (after["phase"], after["verdict"]) == ("Error", "Error")
    assert after["errorOutput"]["errorCode"] == "TARGET_SELECTION_ERROR" and "web-of-lies" in after["errorOutput"]["reason"]


def test_an_engine_as_people_write_it_runs_without_an_operator(client, tmp_path):
    """The shipped one: three experiments, in words of old and new versions, from the node by a kubeconfig."""
    kubectl("apply", "-f", FILES / "engine.yaml")
    in_namespace("annotate", "deploy/web", "--overwrite", "litmuschaos.io/chaos=true")
    done = litmus(tmp_path, "redis-chaos")
    assert done.returncode == 0, done.stderr + done.stdout
    verdicts = {each["experiment"]: each["verdict"] for each in json.loads(done.stdout)["experiments"]}
    assert verdicts == dict.fromkeys(["pod-cpu-hog", "network-latency", "pod-delete"], "Pass"), done.stdout
    assert {status(f"redis-chaos-{name}")["verdict"] for name in verdicts} == {"Pass"}


def litmus(tmp_path, engine):
    """Without any operator, from the node."""
    files = objects("-n", "shop", "secret", "squall-client")["data"]
    for name, text in files.items():
        (tmp_path / name).write_bytes(base64.b64decode(text).replace(b"/etc/squall/client", str(tmp_path).encode()))
        (tmp_path / name).chmod(0o600)
    return subprocess.run(
        [HOST / "programs/squall", "litmus", "--engine", engine, "--namespace", "shop", "--key", tmp_path / "shop.key.jwk",
         "--inventory", tmp_path / "inventory.yaml", "--output", "json"],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_what_ends_one_experiment_of_an_engine_does_not_end_the_next(client, tmp_path):
    engine(
        "several",
        [
            ("pod-cpu-hog", {"TOTAL_CHAOS_DURATION": "2", "TARGET_CONTAINER": "nobody"}, []),
            ("pod-network-latency", {"TOTAL_CHAOS_DURATION": "2"}, [http_probe("SOT", "http://127.0.0.1:1/", stopOnFailure=True)]),
            ("pod-memory-hog", {"TOTAL_CHAOS_DURATION": "2", "MEMORY_CONSUMPTION": "16"}, []),
        ],
    )
    done = litmus(tmp_path, "several")
    assert done.returncode == 0, done.stderr + done.stdout
    verdicts = [each["verdict"] for each in json.loads(done.stdout)["experiments"]]
    assert verdicts == ["Error", "Stopped", "Pass"], done.stdout
    assert "no container found" in status("several-pod-cpu-hog")["errorOutput"]["reason"]
