"""container-kill: the runtime stops the target's container, at once or with time to end by itself, and nothing else."""

import time

import pytest

from running_agent import wait_until


def kinds(agent, session):
    return [event["kind"] for event in agent.tenant.events(session)]


def ended(agent, session, timeout=20):
    """The report, and its only step."""
    report = agent.tenant.wait_until_ended(session, timeout)
    assert report["revertVerified"], report
    (step,) = report["steps"]
    return report, step


@pytest.mark.node
def test_a_container_is_killed_at_once_and_the_other_one_of_its_pod_is_not(agent, mortal_target):
    neighbour = mortal_target.runtime.create_container(mortal_target.pod, name="neighbour")
    plan = agent.tenant.plan("container-kill", mortal_target.selector).body
    assert plan["reversible"] is False and "this cannot be taken back" in plan["notes"]
    assert mortal_target.is_running()
    session = agent.tenant.begin("container-kill", mortal_target.selector, duration="60s")
    report, step = ended(agent, session)
    assert (report["ending"], step["undo"]["outcome"]) == ("completed", "irreversible")
    assert step["effect"]["exitCode"] == 137 and step["effect"]["stopSeconds"] > 0
    status = mortal_target.status()
    assert (status.state, status.exit_code) == (2, 137), status
    happened = kinds(agent, session)
    assert {"step-performed", "target-gone", "effect", "ended"} <= set(happened), happened
    assert not {"step-failed", "stop-failed"} & set(happened)
    runtime = mortal_target.runtime
    assert runtime.container_info(neighbour.id)["pid"] == neighbour.pid
    assert mortal_target.network_is_plain()
    runtime.stop_container(neighbour.id, grace=0)
    runtime.remove_container(neighbour.id)


@pytest.mark.node
def test_a_container_that_ends_when_it_is_asked_to_is_not_killed(agent, mortal_target):
    session = agent.tenant.begin("container-kill", mortal_target.selector, {"gracePeriod": "50s"}, duration="60s")
    report, step = ended(agent, session)
    assert report["ending"] == "completed"
    assert step["effect"]["exitCode"] == 0 and step["effect"]["stopSeconds"] < 50
    assert mortal_target.status().exit_code == 0


@pytest.mark.node
def test_a_container_that_does_not_end_is_killed_when_its_time_is_over(agent, world):
    """After more than half a minute in which nobody says anything on any connection."""
    with world.deaf_target() as target:
        session = agent.tenant.begin("container-kill", target.selector, {"gracePeriod": "35s"}, duration="90s")
        report = agent.tenant.read(session).body
        assert report["state"] == "active" and "effect" not in report["steps"][0]
        assert target.is_running()
        report, step = ended(agent, session, timeout=70)
        assert report["ending"] == "completed", agent.tenant.events(session)
        assert step["effect"]["exitCode"] == 137 and step["effect"]["stopSeconds"] >= 35
        assert target.status().exit_code == 137


@pytest.mark.node
@pytest.mark.parametrize("end", ["by its owner", "by a crash", "by the end of the runtimes process"])
def test_a_session_that_ends_earlier_takes_the_kill_back(agent, world, end):
    grace = 20
    with world.deaf_target() as target:
        begun = time.monotonic()
        parameters = {"gracePeriod": f"{grace}s"}
        session = agent.tenant.begin("container-kill", target.selector, parameters, duration="60s")
        if end == "by its owner":
            ending = agent.tenant.end(session).body["ending"]
        elif end == "by a crash":
            agent.kill_engine()
            agent.wait_until_ready()
            ending = ended(agent, session)[0]["ending"]
        else:
            agent.kill(agent.role("runtimes"))
            ending = ended(agent, session)[0]["ending"]
        expected = {"by its owner": "cancelled", "by a crash": "recovered"}.get(end, "fault-ended")
        report, step = ended(agent, session)
        assert (ending, report["ending"], step["undo"]["outcome"]) == (expected, expected, "irreversible")
        assert "effect" not in step
        assert time.monotonic() - begun < grace, "too late to see anything"
        time.sleep(begun + grace + 5 - time.monotonic())
        assert target.is_running()
        if expected == "fault-ended":
            (reason,) = [e["message"] for e in agent.tenant.events(session) if e["kind"] == "stop-failed"]
            assert "has not said that it did" in reason


@pytest.mark.node
def test_what_is_started_in_its_place_is_stopped_too_after_a_pause(agent, mortal_target):
    begun = time.monotonic()
    session = agent.tenant.begin("container-kill", mortal_target.selector, duration="120s", onRestart="reinject")
    victims = []
    for _ in range(2):
        wait_until(lambda: not mortal_target.is_running(), 20)
        victims.append(mortal_target.id)
        agent.tenant.wait_until(session, "waiting")
        mortal_target.start_again()
    wait_until(lambda: not mortal_target.is_running(), 20)
    agent.tenant.wait_until(session, "waiting")
    report = agent.tenant.end(session).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert report["target"]["container"]["id"] == mortal_target.id not in victims
    performed = [e["offsetSeconds"] for e in agent.tenant.events(session) if e["kind"] == "step-performed"]
    assert len(performed) == 3
    lost = [e["offsetSeconds"] for e in agent.tenant.events(session) if e["kind"] == "waiting"]
    assert all(after - before >= 2 for before, after in zip(lost, performed[1:])), (lost, performed)
    assert kinds(agent, session).count("effect") == 3
    assert mortal_target.status().exit_code == 137
    assert time.monotonic() - begun < 120


@pytest.mark.node
def test_a_runtime_that_hangs_stops_nothing(agent, mortal_target, world):
    with world.stopped_runtime():
        answer = agent.tenant.inject("container-kill", mortal_target.selector)
        assert (answer.status, answer.code) == (503, "runtime-unavailable"), answer
    assert mortal_target.is_running()


@pytest.mark.node
def test_the_agents_own_container_is_refused(agent, world):
    own = world.agent.container.container.id
    answer = agent.tenant.inject("container-kill", {"container": f"containerd://{own}"})
    assert (answer.status, answer.code) == (403, "target-refused"), answer
    assert agent.tenant.list().status == 200


@pytest.mark.parametrize("selector", ["process_selector", "cgroup_selector"])
def test_what_no_runtime_is_known_to_have_started_is_refused(agent, host_target, selector):
    answer = agent.tenant.inject("container-kill", getattr(host_target, selector))
    assert (answer.status, answer.code, answer.body["field"]) == (403, "target-refused", "target"), answer
    assert answer.body["hint"]
    assert host_target.is_running()


@pytest.mark.parametrize("duration", ["10s", "30s"])
def test_no_more_time_is_given_than_the_session_has(agent, target, duration):
    answer = agent.tenant.inject("container-kill", target.selector, {"gracePeriod": "30s"}, duration=duration)
    assert (answer.status, answer.code) == (422, "field-invalid"), answer
    assert answer.body["field"] == "parameters.gracePeriod"
    assert target.is_running()
