"""A container that is started again in mid-session: its session ends, or goes on with it, as the request says."""

import time
from pathlib import Path

import pytest

STRESS = {"load": 10, "workers": 1}


def inject(agent, target, fault, parameters, duration="60s", **more):
    answer = agent.tenant.inject(fault, target.selector, parameters, duration=duration, onRestart="reinject", **more)
    assert answer.status == 201, answer
    assert answer.body["onRestart"] == "reinject"
    return answer.body["id"]


def kinds(agent, session):
    return [event["kind"] for event in agent.tenant.events(session)]


@pytest.mark.node
@pytest.mark.parametrize("fault, parameters", [("cpu-stress", STRESS), ("disk-fill", {"size": "4MiB", "visible": True})])
def test_a_worker_follows_its_container(agent, mortal_target, fault, parameters):
    session = inject(agent, mortal_target, fault, parameters)
    first = agent.tenant.read(session).body["target"]
    mortal_target.kill()
    report = agent.tenant.wait_until(session, "waiting")
    assert report["remainingSeconds"] > 0 and "ending" not in report
    assert agent.workers(session) == []
    mortal_target.start_again()
    report = agent.tenant.wait_until(session, "active")
    assert report["target"]["container"]["id"] == mortal_target.id != first["container"]["id"]
    (worker,) = agent.workers(session)
    assert worker in mortal_target.processes()
    report = agent.tenant.end(session).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert agent.workers(session) == []
    assert not list((mortal_target.root / "tmp").glob(".squall-*"))
    happened = kinds(agent, session)
    assert [kind for kind in happened if kind in ("target-gone", "waiting", "target-returned", "ended")] == [
        "target-gone", "waiting", "target-returned", "ended",
    ]  # fmt: skip
    assert happened.count("active") == 2


@pytest.mark.node
def test_latency_follows_its_container_and_goes_from_its_network(agent, mortal_target, world):
    session = inject(agent, mortal_target, "network-latency", {"latency": "60ms"})
    mortal_target.kill()
    agent.tenant.wait_until(session, "waiting")
    # The pod's network outlives the container, and nothing of ours is in it.
    assert mortal_target.network_is_plain()
    mortal_target.start_again()
    agent.tenant.wait_until(session, "active")
    assert min(mortal_target.ping(world.peer.ip, 3)) > 60
    assert agent.tenant.end(session).body["revertVerified"]
    assert mortal_target.network_is_plain()


@pytest.mark.node
def test_a_container_that_does_not_return_is_waited_for_until_the_deadline(agent, mortal_target):
    session = inject(agent, mortal_target, "cpu-stress", STRESS, duration="6s")
    mortal_target.kill()
    agent.tenant.wait_until(session, "waiting")
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("expired", True)


@pytest.mark.node
def test_a_session_that_waits_ends_at_once_when_told_to(agent, mortal_target):
    session = inject(agent, mortal_target, "cpu-stress", STRESS)
    mortal_target.kill()
    agent.tenant.wait_until(session, "waiting")
    begun = time.monotonic()
    report = agent.tenant.end(session).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert time.monotonic() - begun < 2


@pytest.mark.node
def test_a_pod_that_only_has_the_old_ones_name_is_another(agent, world):
    target = world.make_target()
    session = inject(agent, target, "cpu-stress", STRESS)
    target.remove()
    namesake = type(target)(target.runtime, target.name)
    try:
        report = agent.tenant.wait_until_ended(session)
        assert (report["ending"], report["revertVerified"]) == ("target-gone", True)
        happened = kinds(agent, session)
        assert "pod-gone" in happened and "target-returned" not in happened
    finally:
        namesake.remove()


@pytest.mark.node
def test_an_engine_that_is_killed_after_the_container_returned_leaves_nothing(agent, mortal_target):
    session = inject(agent, mortal_target, "disk-fill", {"size": "4MiB", "visible": True})
    mortal_target.kill()
    agent.tenant.wait_until(session, "waiting")
    mortal_target.start_again()
    agent.tenant.wait_until(session, "active")
    assert list((mortal_target.root / "tmp").glob(".squall-*"))
    agent.kill_engine()
    agent.wait_until_ready()
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("recovered", True)
    assert report["target"]["container"]["id"] == mortal_target.id
    assert not list((mortal_target.root / "tmp").glob(".squall-*"))


@pytest.mark.node
def test_a_kernel_that_kills_all_of_a_container_ends_no_session_that_follows_it(agent, mortal_target):
    """With memory.oom.group, as kubelet sets it: the worker is gone before the container is."""
    Path(f"/sys/fs/cgroup{mortal_target.cgroup}/memory.oom.group").write_text("1")
    session = inject(agent, mortal_target, "memory-stress", {"size": "400MiB"})
    agent.tenant.wait_until(session, "waiting", timeout=40)
    report = agent.tenant.end(session).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    happened = kinds(agent, session)
    assert "target-gone" in happened and {"worker-oom-killed", "target-oom-killed"} & set(happened), happened


@pytest.mark.node
def test_a_runtime_that_hangs_is_waited_for(agent, mortal_target, world):
    session = inject(agent, mortal_target, "cpu-stress", STRESS)
    mortal_target.kill()
    mortal_target.start_again()
    with world.stopped_runtime():
        time.sleep(6)
    agent.tenant.wait_until(session, "active")
    assert agent.tenant.end(session).body["revertVerified"]


@pytest.mark.parametrize("policy", ["reinject", "restart", 1])
def test_what_cannot_be_started_again_is_refused(agent, target, policy):
    answer = agent.tenant.inject("cpu-stress", target.process_selector, STRESS, onRestart=policy)
    assert (answer.status, answer.code, answer.body["field"]) == (422, "field-invalid", "onRestart"), answer
    assert answer.body["hint"]
