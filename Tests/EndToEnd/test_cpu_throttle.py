"""cpu-throttle: the limit of the target's cgroup, and what comes of it."""

import os
import signal

import pytest
from test_cpu_stress import about, load

from running_agent import wait_until

BURN = {"load": 100, "workers": 1}


def throttle(tenant, target, percent, duration="60s"):
    return tenant.begin("cpu-throttle", target.selector, {"percent": percent}, duration=duration)


@pytest.fixture
def cpus(target):
    """What the target may have: its quota, or the CPUs that there are."""
    quota = target.cpu_limit().split()
    return int(quota[0]) / int(quota[1]) if len(quota) == 2 and quota[0] != "max" else os.cpu_count()


def test_the_target_gets_its_share_and_no_more(agent, target, cpus):
    before = target.cpu_limit()
    burning = agent.tenant.begin("cpu-stress", target.selector, BURN, duration="60s")
    throttled = throttle(agent.tenant, target, 20)
    assert load(target) == about(min(0.2 * cpus, 1))
    report = agent.tenant.end(throttled).body
    assert report["revertVerified"] and [step["undo"]["outcome"] for step in report["steps"]] == ["restored"]
    effect = report["steps"][0]["effect"]
    assert effect["throttledSeconds"] > 0.5 and effect["cpuLimit"] == pytest.approx(0.2 * cpus, rel=0.01)
    assert target.cpu_limit() == before
    assert load(target, 2) > 1.5 * min(0.2 * cpus, 1)
    agent.tenant.end(burning)


def test_of_two_the_lower_applies_and_each_ends_by_itself(agent, target):
    before = target.cpu_limit()
    half = throttle(agent.tenant, target, 50)
    alone = target.cpu_limit()
    tenth = throttle(agent.other_tenant, target, 10)
    both = target.cpu_limit()
    assert len({before, alone, both}) == 3
    # A share of what the target has, not of what is left of it.
    assert int(alone.split()[0]) == 5 * int(both.split()[0])
    quarter = throttle(agent.tenant, target, 25)
    assert target.cpu_limit() == both
    assert agent.tenant.end(quarter).body["revertVerified"] and target.cpu_limit() == both
    assert agent.other_tenant.end(tenth).body["revertVerified"] and target.cpu_limit() == alone
    assert agent.tenant.end(half).body["revertVerified"] and target.cpu_limit() == before


def test_a_limit_that_somebody_else_sets_is_left_alone(agent, target):
    before = target.cpu_limit()
    session = throttle(agent.tenant, target, 50)
    target.set_cpu_limit("77000 100000" if " " in before else "77000")
    theirs = target.cpu_limit()
    # Nor does another session begin on it.
    refused = agent.other_tenant.inject("cpu-throttle", target.selector, {"percent": 10})
    assert (refused.status, refused.code) == (503, "target-busy") and "somebody else" in refused.body["detail"], refused
    assert target.cpu_limit() == theirs
    report = agent.tenant.end(session).body
    assert target.cpu_limit() == theirs
    assert report["steps"][0]["undo"]["outcome"] == "drifted" and not report["revertVerified"]
    target.set_cpu_limit(before)


def test_what_the_kernel_would_refuse_is_refused_before(agent, target):
    before = target.cpu_limit()
    target.set_cpu_limit("50000 100000" if " " in before else "50000")
    target.set_cpu_burst(40000)
    try:
        refused = agent.tenant.inject("cpu-throttle", target.selector, {"percent": 10})
        assert (refused.status, refused.body["field"]) == (422, "parameters.percent"), refused
        assert "save up" in refused.body["detail"]
        session = throttle(agent.tenant, target, 90)
        assert agent.tenant.end(session).body["revertVerified"]
    finally:
        target.set_cpu_burst(0)
        target.set_cpu_limit(before)


def test_an_engine_that_is_killed_leaves_no_limit(agent, target):
    before = target.cpu_limit()
    sessions = [throttle(agent.tenant, target, percent) for percent in (50, 10, 30)]
    agent.kill_engine()
    agent.wait_until_ready()
    assert target.cpu_limit() == before
    for session in sessions:
        report = agent.tenant.read(session).body
        assert (report["ending"], report["revertVerified"]) == ("recovered", True), report


def test_a_hung_engine_keeps_no_limit(agent, target, hung_engine):
    before = target.cpu_limit()
    longer = throttle(agent.other_tenant, target, 10)
    session = throttle(agent.tenant, target, 50, duration="3s")
    hung_engine()
    wait_until(lambda: target.cpu_limit() == before, 5)
    os.kill(agent.role("engine"), signal.SIGCONT)
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("expired", True), report
    # The other one gets its limit back.
    assert agent.other_tenant.read(longer).body["state"] == "active" and target.cpu_limit() != before
    assert agent.other_tenant.end(longer).body["revertVerified"] and target.cpu_limit() == before
