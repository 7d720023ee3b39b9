"""memory-stress, measured at the target's cgroup."""

import re
import time

import pytest

MIB = 1 << 20


def event(agent, session, kind, timeout=20):
    """Waits for an event of this kind, in a session that goes on."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        # A stream of its own for each look, since it only ends with the session.
        with agent.tenant.stream(session) as events:
            for each in events:
                if each["kind"] == kind:
                    return each
                if each["kind"] == "ended":
                    raise AssertionError(f"ended without {kind}")
    raise TimeoutError(kind)


def inject(agent, target, parameters, duration="60s"):
    return agent.tenant.begin("memory-stress", target.selector, parameters, duration=duration)


@pytest.mark.parametrize("parameters", [{"size": "64MiB"}, {"percent": 25}], ids=["size", "share of the limit"])
def test_it_holds_what_was_asked_and_gives_it_back(agent, target, parameters):
    before = target.anonymous_bytes()
    session = inject(agent, target, parameters)
    event(agent, session, "worker-reached")
    assert target.anonymous_bytes() - before == pytest.approx(64 * MIB, rel=0.03)
    (step,) = agent.tenant.read(session).body["steps"]
    assert step["effect"]["residentBytes"] == pytest.approx(64 * MIB, rel=0.02)
    report = agent.tenant.end(session).body
    assert report["revertVerified"]
    assert report["steps"][0]["effect"]["residentBytes"] == pytest.approx(64 * MIB, rel=0.02)
    assert abs(target.anonymous_bytes() - before) < MIB


def test_it_climbs_as_slowly_as_asked(agent, target):
    before = target.anonymous_bytes()
    session = inject(agent, target, {"size": "100MiB", "ramp": "10s"})
    time.sleep(5)
    assert 20 * MIB < target.anonymous_bytes() - before < 80 * MIB
    reached = event(agent, session, "worker-reached")
    assert reached["offsetSeconds"] >= 10
    assert target.anonymous_bytes() - before == pytest.approx(100 * MIB, rel=0.03)
    assert agent.tenant.end(session).body["revertVerified"]


def test_two_sessions_add_up_and_end_in_any_order(agent, target):
    before = target.anonymous_bytes()
    first, second = inject(agent, target, {"size": "32MiB"}), inject(agent, target, {"size": "64MiB"})
    for session in (first, second):
        event(agent, session, "worker-reached")
    assert target.anonymous_bytes() - before == pytest.approx(96 * MIB, rel=0.03)
    assert agent.tenant.end(first).body["revertVerified"]
    assert target.anonymous_bytes() - before == pytest.approx(64 * MIB, rel=0.03)
    assert agent.tenant.end(second).body["revertVerified"]
    assert abs(target.anonymous_bytes() - before) < MIB


def test_when_memory_runs_out_it_is_killed_first_and_the_session_says_so(agent, target):
    session = inject(agent, target, {"size": "400MiB"})
    report = agent.tenant.wait_until_ended(session, 60)
    assert report["ending"] == "fault-ended"
    events = agent.tenant.events(session)
    (killed,) = [each for each in events if each["kind"] == "worker-oom-killed"]
    assert re.fullmatch(r"stressor OOM-killed at \d+\.\d s", killed["message"])
    notes = [each["message"] for each in events if each["kind"] == "note"]
    assert any("memory will run out" in note for note in notes)
    assert any("killed first" in note for note in notes)
    assert target.is_running()


def test_a_share_of_no_limit_is_refused(agent, world):
    target = world.make_target(memory=None)
    try:
        answer = agent.tenant.inject("memory-stress", target.selector, {"percent": 10})
        assert (answer.status, answer.code, answer.body["field"]) == (422, "field-invalid", "parameters.percent")
        assert "size=" in answer.body["hint"]
        assert agent.tenant.end(inject(agent, target, {"size": "8MiB"})).body["revertVerified"]
    finally:
        target.remove()


def test_a_plan_says_what_will_happen(agent, target):
    plan = agent.tenant.plan("memory-stress", target.selector, {"percent": 25, "ramp": "5s"}).body
    assert plan["steps"] == [f"run a worker that holds 64 MiB of memory, reached within 5s in cgroup {target.cgroup_selector['cgroup']}"]
    assert plan["notes"] == ["when memory runs out, this fault's own process is killed first"]
