"""container-pause: the target's processes stand still, and go on."""

import os
import signal

from test_cpu_stress import load

from running_agent import wait_until


def pause(tenant, target, duration="60s"):
    return tenant.begin("container-pause", target.selector, {}, duration=duration)


def test_what_runs_in_the_target_stands_still(agent, target):
    burning = agent.tenant.begin("cpu-stress", target.selector, {"load": 100, "workers": 1})
    session = pause(agent.tenant, target)
    assert target.is_frozen()
    assert load(target, 2) < 0.02
    refused = agent.tenant.inject("cpu-stress", target.selector, {"load": 1})
    assert (refused.status, refused.code) == (403, "target-refused") and "frozen" in refused.body["detail"], refused
    report = agent.tenant.end(session).body
    assert report["revertVerified"] and report["steps"][0]["effect"]["pausedSeconds"] >= 2
    assert not target.is_frozen() and load(target, 2) > 0.2
    agent.tenant.end(burning)


def test_the_last_of_two_lets_it_go_on(agent, target):
    first, second = pause(agent.tenant, target), pause(agent.other_tenant, target)
    assert agent.tenant.end(first).body["revertVerified"] and target.is_frozen()
    assert agent.other_tenant.end(second).body["revertVerified"] and not target.is_frozen()


def test_what_somebody_else_has_paused_stays_so(agent, target):
    target.freeze(True)
    wait_until(target.is_frozen, 5)
    refused = agent.tenant.inject("container-pause", target.selector, {})
    assert (refused.status, refused.code) == (403, "target-refused"), refused
    assert target.is_frozen()
    target.freeze(False)


def test_an_engine_that_is_killed_leaves_nobody_paused(agent, target):
    session = pause(agent.tenant, target)
    agent.kill_engine()
    agent.wait_until_ready()
    assert not target.is_frozen()
    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("recovered", True), report


def test_a_hung_engine_keeps_nobody_paused(agent, target, hung_engine):
    session = pause(agent.tenant, target, duration="3s")
    hung_engine()
    wait_until(lambda: not target.is_frozen(), 5)
    os.kill(agent.role("engine"), signal.SIGCONT)
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("expired", True), report
