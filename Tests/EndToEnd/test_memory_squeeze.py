"""memory-squeeze: how much memory the kernel lets the target have before it takes some back."""

import time
from pathlib import Path

import pytest

CACHED = 32 << 20


def squeeze(tenant, target, **parameters):
    return tenant.begin("memory-squeeze", target.selector, parameters, duration="60s")


@pytest.fixture
def cached(target):
    """With a file in the kernel's cache, which counts as the target's."""
    target.run(f"dd if=/dev/zero of=/cached bs=1M count={CACHED >> 20} 2>/dev/null; sync")
    yield target
    target.run("rm -f /cached")


@pytest.mark.node
def test_what_is_beyond_is_taken_back(agent, cached):
    before, use = cached.memory_high(), cached.memory_use()
    assert before == "max" and use > CACHED
    session = squeeze(agent.tenant, cached, percent=50)
    limit = int(cached.memory_high())
    assert abs(limit - use / 2) < 4 << 20
    deadline = time.monotonic() + 10
    while cached.memory_use() > limit and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cached.memory_use() <= limit
    report = agent.tenant.end(session).body
    assert report["revertVerified"] and report["steps"][0]["undo"]["outcome"] == "restored"
    effect = report["steps"][0]["effect"]
    assert CACHED / 3 < effect["reclaimedBytes"] < 2 * CACHED and effect["usedBytes"] <= limit
    assert cached.memory_high() == before


@pytest.mark.node
def test_of_two_the_lower_applies_and_each_ends_by_itself(agent, cached):
    before = cached.memory_high()
    first = squeeze(agent.tenant, cached, size="24MiB")
    second = squeeze(agent.other_tenant, cached, size="16MiB")
    assert cached.memory_high() == str(16 << 20)
    assert agent.other_tenant.end(second).body["revertVerified"] and cached.memory_high() == str(24 << 20)
    refused = agent.tenant.inject("memory-squeeze", cached.selector, {"size": "1MiB", "percent": 5})
    assert (refused.status, refused.body["field"]) == (422, "parameters.percent"), refused
    assert agent.tenant.end(first).body["revertVerified"] and cached.memory_high() == before


@pytest.mark.node
def test_a_kernel_that_is_never_done_keeps_nobody_waiting(agent, cached):
    before = cached.memory_high()
    # What is taken back is read again, so there is always more to take back; and what cannot be is more than any limit.
    held = agent.tenant.begin("memory-stress", cached.selector, {"size": "48MiB"}, duration="60s")
    cached.run("(while cat /cached; do :; done) >/dev/null 2>&1 & echo $! >/reading")
    begun = time.monotonic()
    sessions = [squeeze(agent.tenant, cached, size=size) for size in ("8MiB", "4MiB", "2MiB")]
    assert time.monotonic() - begun < 10
    time.sleep(2)
    # The lowest first: the others' limits are still below what is used.
    for session in reversed(sessions):
        begun = time.monotonic()
        assert agent.tenant.end(session).body["revertVerified"]
        assert time.monotonic() - begun < 5
    assert cached.memory_high() == before
    assert agent.tenant.end(held).body["revertVerified"]
    cached.run("kill $(cat /reading); rm /reading")


@pytest.mark.node
def test_an_engine_that_is_killed_leaves_no_limit(agent, cached):
    before = cached.memory_high()
    session = squeeze(agent.tenant, cached, size="8MiB")
    agent.kill_engine()
    agent.wait_until_ready()
    assert cached.memory_high() == before
    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("recovered", True), report


def test_a_node_of_version_1_says_that_it_cannot(agent, target):
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("this machine's cgroups are of version 2")
    refused = agent.tenant.inject("memory-squeeze", target.selector, {})
    assert (refused.status, refused.code) == (422, "fault-unsupported") and "version 1" in refused.body["detail"], refused
