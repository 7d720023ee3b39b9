"""memory-stress, measured at the target's cgroup."""

import os
import re
import time

import pytest
from conftest import IN_NODE

MIB = 1 << 20
# A directory of the target on a disk.
ON_DISK = "/tmp" if IN_NODE else "/var/tmp"


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


def cache(agent, target, **parameters):
    session = inject(agent, target, {"kind": "page-cache", "path": ON_DISK} | parameters)
    return session, event(agent, session, "worker-reached")


def cached_at_rest(target):
    """The kernel puts what its CPUs have counted together every two seconds: what went before this is in it by then."""
    time.sleep(3)
    return target.cached_bytes()


def comes_to(count, expected, patience=10):
    """Whether that is what is counted within a while, for the same reason."""
    deadline = time.monotonic() + patience
    while (now := count()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return now == expected


def used(target):
    status = os.statvfs(f"{target.root}/tmp")
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def files(target):
    return sorted(os.listdir(f"{target.root}/tmp"))


def cached_effect(agent, session):
    (step,) = agent.tenant.read(session).body["steps"]
    return step["effect"]["cachedBytes"]


@pytest.mark.parametrize("parameters", [{"size": "64MiB"}, {"percent": 25, "hot": True}], ids=["cold", "hot share"])
def test_caches_grow_by_what_was_asked_and_go_with_the_session(agent, target, parameters):
    cached, anonymous = cached_at_rest(target), target.anonymous_bytes()
    session, _ = cache(agent, target, **parameters)
    assert comes_to(lambda: target.cached_bytes() - cached, pytest.approx(64 * MIB, rel=0.03))
    assert target.anonymous_bytes() - anonymous < 8 * MIB
    assert cached_effect(agent, session) == pytest.approx(64 * MIB, rel=0.01)
    report = agent.tenant.end(session).body
    assert report["revertVerified"]
    assert report["steps"][0]["effect"]["cachedBytes"] == pytest.approx(64 * MIB, rel=0.01)
    assert comes_to(lambda: target.cached_bytes() - cached, pytest.approx(0, abs=MIB))


@pytest.mark.node
def test_the_file_takes_its_disk_and_frees_it(agent, target):
    before, names = used(target), files(target)
    session, _ = cache(agent, target, size="64MiB")
    assert used(target) - before == pytest.approx(64 * MIB, rel=0.02) and files(target) == names
    assert agent.tenant.end(session).body["revertVerified"]
    assert abs(used(target) - before) < MIB and files(target) == names


def test_caches_climb_as_slowly_as_asked(agent, target):
    before = cached_at_rest(target)
    session = inject(agent, target, {"kind": "page-cache", "path": ON_DISK, "size": "50MiB", "ramp": "8s"})
    time.sleep(4)
    assert 10 * MIB < target.cached_bytes() - before < 40 * MIB
    assert event(agent, session, "worker-reached")["offsetSeconds"] >= 8
    # What nobody reads any more a kernel may take back at once, as one with DAMON's reclaim does.
    assert 30 * MIB < target.cached_bytes() - before < 52 * MIB
    assert agent.tenant.end(session).body["revertVerified"]


@pytest.mark.node
@pytest.mark.parametrize("hot", [False, True], ids=["cold", "hot"])
def test_what_is_cold_is_taken_back_and_what_is_hot_is_there_again(agent, target, hot):
    session, _ = cache(agent, target, size="64MiB", hot=hot)
    target.reclaim(128 * MIB)
    # Long enough to be read twice.
    time.sleep(5)
    assert (cached_effect(agent, session) > 60 * MIB) == hot
    assert agent.tenant.end(session).body["revertVerified"]


def test_caches_beyond_the_limit_kill_nobody(agent, target):
    session, reached = cache(agent, target, size="300MiB")
    assert "300 MiB" in reached["message"]
    assert 0 < cached_effect(agent, session) <= 256 * MIB
    report = agent.tenant.end(session).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True) and target.is_running()
    events = agent.tenant.events(session)
    assert not [each for each in events if "oom" in each["kind"] or "killed" in each["message"]]
    assert any("taken back at once" in each["message"] for each in events if each["kind"] == "note")


def test_caches_that_cannot_be_are_refused(agent, target, host_target):
    for parameters, field in [
        ({"path": "/nowhere"}, "parameters.path"),
        ({"path": "/dev/shm" if IN_NODE else "/tmp"}, "parameters.path"),
        ({"size": "4TiB"}, "parameters.size"),
        ({"oomScoreAdj": 0}, "parameters.oomScoreAdj"),
        ({"kind": "anonymous"}, "parameters.path"),
    ]:
        asked = {"kind": "page-cache", "path": ON_DISK, "size": "1MiB"} | parameters
        answer = agent.tenant.inject("memory-stress", target.selector, asked)
        assert (answer.status, answer.code, answer.body["field"]) == (422, "field-invalid", field), answer
    answer = agent.tenant.inject("memory-stress", host_target.cgroup_selector, {"kind": "page-cache", "size": "1MiB"})
    assert (answer.status, answer.code) == (403, "target-refused")


@pytest.mark.node
def test_no_cache_is_filled_where_nothing_may_be_written(agent, world):
    target = world.make_target(container={"readonly_root": True})
    try:
        answer = agent.tenant.inject("memory-stress", target.selector, {"kind": "page-cache", "size": "1MiB"})
        assert (answer.status, answer.code, answer.body["field"]) == (403, "target-refused", "parameters.path")
    finally:
        target.remove()


def test_a_plan_of_caches_says_what_else_is_hit(agent, target):
    plan = agent.tenant.plan("memory-stress", target.selector, {"kind": "page-cache", "path": ON_DISK, "size": "2MiB"}).body
    cgroup = target.cgroup_selector["cgroup"]
    assert plan["steps"] == [
        f"fill the page cache by a worker in cgroup {cgroup}, that writes an invisible file of 2 MiB in {ON_DISK}"
    ]
    (note,) = plan["notes"]
    assert note.startswith(f"it takes 2 MiB of the disk of {ON_DISK} too") and plan["reach"] == "node"
