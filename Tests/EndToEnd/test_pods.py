"""Targets that are named as Kubernetes names them: by their pod, its labels, and the name of the container in it."""

import json
import subprocess

import pytest
from conftest import PROGRAMS

pytestmark = pytest.mark.node

STRESS = {"load": 30, "workers": 1}


@pytest.fixture(scope="module")
def pods(world):
    """Two pods of one application: one with a sidecar, one without."""
    # Elsewhere there is nothing to ask a runtime with.
    from node_world import Pod

    web = Pod(world.runtime, "shop-web", labels={"app": "checkout", "tier": "web"}, container={"name": "app"})
    db = Pod(world.runtime, "shop-db", labels={"app": "checkout", "tier": "db"}, container={"name": "app"})
    web.sidecar = world.runtime.create_container(web.pod, name="sidecar", limits=web.options["limits"])
    yield web, db
    for pod in (web, db):
        pod.remove()


def pod(**named):
    return {"pod": {"namespace": "shop"} | named}


def refusal(agent, **named):
    answer = agent.tenant.inject("cpu-stress", pod(**named), STRESS)
    return answer.status, answer.code


def hit(agent, selector):
    """Which container a fault on it would hit."""
    answer = agent.tenant.plan("cpu-stress", selector, STRESS)
    assert answer.status == 200, answer
    return answer.body["target"]["container"]


def test_a_pod_is_named_by_its_name_its_uid_or_its_labels(agent, pods):
    _, db = pods
    uid = db.pod.config.metadata.uid
    for named in (
        {"name": "shop-db"}, {"uid": uid}, {"labels": {"tier": "db"}}, {"labels": {"app": "checkout", "tier": "db"}},
        {"name": "shop-db", "uid": uid, "labels": {"app": "checkout"}, "container": "app"},
    ):  # fmt: skip
        assert hit(agent, pod(**named))["id"] == db.id, named


def test_a_container_of_several_is_named(agent, pods):
    web, _ = pods
    assert refusal(agent, name="shop-web") == (422, "target-ambiguous")
    answer = agent.tenant.inject("cpu-stress", pod(name="shop-web"), STRESS)
    assert "app, sidecar" in answer.body["hint"]
    assert hit(agent, pod(name="shop-web", container="app"))["id"] == web.id
    assert hit(agent, pod(name="shop-web", container="sidecar"))["id"] == web.sidecar.id


def test_the_fault_is_in_that_container_and_in_no_other(agent, pods):
    web, db = pods
    session = agent.tenant.begin("cpu-stress", pod(name="shop-web", container="sidecar"), STRESS, duration="60s")
    (worker,) = agent.workers(session)
    sidecar = agent.tenant.read(session).body["target"]["cgroup"]["path"]
    assert web.sidecar.id in sidecar
    assert worker not in web.processes() + db.processes()
    assert agent.tenant.end(session).body["revertVerified"]


def test_several_pods_are_not_one(agent, pods):
    assert refusal(agent, labels={"app": "checkout"}, container="app") == (422, "target-ambiguous")


def test_which_one_is_meant_does_not_depend_on_what_runs_just_then(agent, pods):
    """A container that is between two restarts, or a pod none of whose containers runs, leaves the others as they are."""
    web, db = pods
    db.kill()
    try:
        assert refusal(agent, labels={"app": "checkout"}, container="app") == (422, "target-ambiguous")
        assert refusal(agent, name="shop-db") == (404, "target-not-found")
        web.kill()
        assert refusal(agent, name="shop-web") == (422, "target-ambiguous")
        assert refusal(agent, name="shop-web", container="app") == (404, "target-not-found")
    finally:
        for pod_ in (web, db):
            if not pod_.is_running():
                pod_.start_again()
    assert hit(agent, pod(name="shop-db"))["id"] == db.id


def test_what_is_not_there_is_not_found(agent, pods):
    assert refusal(agent, name="shop-web", container="nobody") == (404, "target-not-found")
    assert refusal(agent, name="shop-web", labels={"tier": "db"}) == (404, "target-not-found")
    assert refusal(agent, labels={"app": "other"}) == (404, "target-not-found")
    assert refusal(agent, uid="0000", name="shop-db") == (404, "target-not-found")


def test_of_others_namespaces_nothing_is_told(agent, pods):
    """Whether there is such a pod or not."""
    for name in ("squall", "nobody"):
        answer = agent.tenant.inject("cpu-stress", {"pod": {"namespace": "squall-system", "name": name}}, STRESS)
        assert (answer.status, answer.code) == (403, "namespace-denied"), answer


def test_it_is_followed_when_it_is_started_again(agent, pods):
    _, db = pods
    answer = agent.tenant.inject("cpu-stress", pod(labels={"tier": "db"}), STRESS, duration="60s", onRestart="reinject")
    assert answer.status == 201, answer
    session = answer.body["id"]
    db.kill()
    agent.tenant.wait_until(session, "waiting")
    db.start_again()
    report = agent.tenant.wait_until(session, "active")
    assert report["target"]["container"]["id"] == db.id
    assert agent.tenant.end(session).body["revertVerified"]


def test_an_operator_asks_for_one(agent, pods):
    _, db = pods
    words = ["target", "show", "--namespace", "shop", "--pod", "shop-db", "--container-name", "app", "--output", "json"]
    shown = subprocess.check_output([PROGRAMS / "squall", *words, "--engine-socket", str(agent.engine_socket)])
    assert json.loads(shown)["target"]["container"]["id"] == db.id
