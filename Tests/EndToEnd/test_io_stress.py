"""io-stress and io-throttle, as the kernel counts them for the target's cgroup."""

import time

import pytest
from test_disk_fill import files, space, used
from test_memory_stress import event

from running_agent import wait_until

pytestmark = pytest.mark.node
MIB = 1 << 20


def begin(agent, target, **parameters):
    session = agent.tenant.begin("io-stress", target.selector, parameters, duration="60s")
    event(agent, session, "worker-reached")
    return session


def rates(agent, session):
    """Operations a second that the session's first step has counted: reads and writes."""
    effect = agent.tenant.read(session).body["steps"][0]["effect"]
    return [effect[name] / effect["seconds"] for name in ("readOps", "writeOps")]


def moved(target, seconds=2):
    """Bytes that were read and written meanwhile."""
    before = target.io_bytes()
    time.sleep(seconds)
    return [now - then for now, then in zip(target.io_bytes(), before)]


@pytest.mark.parametrize("percent, reads, writes", [(100, True, False), (0, False, True), (50, True, True)])
def test_the_disk_is_read_and_written_as_asked(agent, target, percent, reads, writes):
    before, names = used(target), files(target)
    session = begin(agent, target, size="16MiB", readPercent=percent, blockSize="64KiB", workers=2)
    assert files(target) == names and used(target) - before == pytest.approx(16 * MIB, rel=0.1)
    read, written = moved(target)
    assert (read > MIB) == reads and (written > MIB) == writes
    effect = agent.tenant.read(session).body["steps"][0]["effect"]
    assert (effect["readBytes"] > MIB) == reads and (effect["writtenBytes"] > MIB) == writes
    # A block is a call, and a request of the disk.
    for operations, bytes in (("readOps", "readBytes"), ("writeOps", "writtenBytes")):
        assert effect[operations] * 65536 == pytest.approx(effect[bytes], rel=0.01, abs=4 * 65536)
    report = agent.tenant.end(session).body
    assert report["revertVerified"]
    assert abs(used(target) - before) < MIB
    assert sum(moved(target, 1)) < MIB


def test_what_is_written_through_the_caches_reaches_the_disk(agent, target):
    session = begin(agent, target, size="16MiB", readPercent=0, blockSize="256KiB", direct=False)
    assert moved(target, 3)[1] > MIB
    assert agent.tenant.end(session).body["revertVerified"]


def test_a_file_that_does_not_fit_is_refused(agent, target):
    free = space(target).f_bavail * space(target).f_frsize
    for parameters, field in [
        ({"size": f"{free // MIB}MiB"}, "parameters.size"),
        ({"blockSize": "5000B"}, "parameters.blockSize"),
        ({"size": "1MiB", "blockSize": "2MiB"}, "parameters.blockSize"),
        ({"path": "/none"}, "parameters.path"),
        ({"path": "/dev/shm"}, "parameters.path"),
    ]:
        refused = agent.tenant.inject("io-stress", target.selector, parameters)
        assert (refused.status, refused.body["field"]) == (422, field), refused


def test_the_disk_is_no_faster_than_the_limit(agent, target):
    before = target.io_limits()
    begin(agent, target, size="16MiB", readPercent=0, blockSize="64KiB")
    assert moved(target)[1] > 8 * MIB
    slow, slower = (
        tenant.begin("io-throttle", target.selector, {"writeBytesPerSec": rate}, duration="60s")
        for tenant, rate in ((agent.tenant, "2MiB"), (agent.other_tenant, "1MiB"))
    )
    # What is on its way is slowed down too.
    time.sleep(1)
    assert moved(target, 4)[1] == pytest.approx(4 * MIB, rel=0.3)
    assert agent.other_tenant.end(slower).body["revertVerified"]
    time.sleep(1)
    assert moved(target, 4)[1] == pytest.approx(8 * MIB, rel=0.3)
    report = agent.tenant.end(slow).body
    assert report["revertVerified"] and report["steps"][0]["effect"]["writtenBytes"] > 8 * MIB
    assert target.io_limits() == before
    assert moved(target)[1] > 8 * MIB


def test_requests_are_counted_as_the_disk_gets_them(agent, target):
    stress = begin(agent, target, size="16MiB", readPercent=50)
    slow = agent.other_tenant.begin("io-throttle", target.selector, {"readOpsPerSec": 60, "writeOpsPerSec": 60}, duration="60s")
    # What was on its way is counted too.
    time.sleep(1)
    begun, before = agent.other_tenant.read(slow).body["steps"][0]["effect"], target.io_requests()
    time.sleep(6)
    now, after = agent.other_tenant.read(slow).body["steps"][0]["effect"], target.io_requests()
    seconds = now["seconds"] - begun["seconds"]
    counted = [now[name] - begun[name] for name in ("readOps", "writeOps")]
    # Looked at at most once a second.
    for ours, theirs in zip(counted, (then - now for then, now in zip(after, before))):
        assert ours == pytest.approx(theirs, rel=0.3) and 20 < ours / seconds < 80
    assert agent.other_tenant.end(slow).body["revertVerified"]
    assert min(rates(agent, stress)) > 20


def test_each_limit_is_its_own_and_goes_with_the_engine(agent, target):
    before = target.io_limits()
    session = agent.tenant.begin(
        "io-throttle", target.selector, {"readOpsPerSec": 50, "writeBytesPerSec": "4MiB"}, duration="60s"
    )
    (limits,) = target.io_limits().splitlines()
    assert "riops=50" in limits and f"wbps={4 * MIB}" in limits and "rbps=max" in limits
    agent.kill_engine()
    agent.wait_until_ready()
    assert target.io_limits() == before
    assert agent.tenant.read(session).body["revertVerified"]
    refused = agent.tenant.inject("io-throttle", target.selector, {"path": "/proc"})
    assert (refused.status, refused.body["field"]) == (422, "parameters.path"), refused


def test_a_hung_engine_keeps_no_limit(agent, target, hung_engine):
    before = target.io_limits()
    agent.tenant.begin("io-throttle", target.selector, {"writeOpsPerSec": 50}, duration="3s")
    assert target.io_limits() != before
    hung_engine()
    wait_until(lambda: target.io_limits() == before, 5)


def test_it_ends_when_others_need_the_room(agent, target):
    status = space(target)
    # All but some MiB of what is free is its reserve.
    capacity = (status.f_blocks - status.f_bfree + status.f_bavail) * status.f_frsize
    free = status.f_bavail * status.f_frsize
    reserve = 100 * (free - 48 * MIB) / capacity
    session = begin(agent, target, size="16MiB", reserve=reserve)
    target.run("dd if=/dev/zero of=/others bs=1M count=64 conv=fsync 2>/dev/null")
    report = agent.tenant.wait_until_ended(session)
    target.run("rm /others")
    assert report["ending"] == "fault-ended" and report["revertVerified"]
    (ended,) = [each for each in agent.tenant.events(session) if each["kind"] == "worker-ended"]
    assert "others need the reserve" in str(ended)
