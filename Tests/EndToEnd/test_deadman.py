"""What ends a fault at its deadline when the agent does not: because it hangs, or is gone for good."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from conftest import IN_NODE

from running_agent import deadmen, wait_until

SECONDS = 4
# How long after its deadline a fault may still be in effect.
LATE = 2


def visible_files(target):
    return [name for name in os.listdir(target.root / "tmp") if name.startswith(".squall-")]


def test_there_is_one_and_it_is_small(agent):
    (deadman,) = deadmen()
    status = agent.process_status(deadman)
    assert int(status["VmRSS"].split()[0]) <= 1024
    cgroups = Path(f"/proc/{deadman}/cgroup").read_text().splitlines()
    assert all(line.endswith(":/squall-deadman") for line in cgroups), cgroups
    for kind in ("mnt", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{deadman}/ns/{kind}") == os.readlink(f"/proc/1/ns/{kind}")


def test_a_hung_engine_keeps_no_file(agent, target, hung_engine):
    parameters = {"size": "8MiB", "visible": True, "path": "/tmp"}
    session = agent.tenant.begin("disk-fill", target.selector, parameters, duration=f"{SECONDS}s")
    assert visible_files(target) == [f".squall-{session}-0"]
    hung_engine()
    wait_until(lambda: not visible_files(target), SECONDS + LATE)
    os.kill(agent.role("engine"), signal.SIGCONT)
    wait_until(lambda: agent.tenant.read(session).body["state"] == "ended", 10)
    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("expired", True)


@pytest.mark.skipif(not IN_NODE, reason="a process in a frozen v1 cgroup cannot be killed")
def test_a_hung_engine_and_a_paused_target_keep_no_memory(agent, mortal_target, hung_engine):
    session = agent.tenant.begin(
        "memory-stress", mortal_target.selector, {"size": "32MiB"}, duration=f"{SECONDS}s"
    )
    begun = time.monotonic()
    assert agent.workers(session)
    mortal_target.freeze(True)
    hung_engine()
    try:
        wait_until(lambda: not agent.workers(session), SECONDS + LATE - (time.monotonic() - begun))
    finally:
        mortal_target.freeze(False)


@pytest.mark.node
def test_a_hung_engine_delays_nothing_past_the_deadline(agent, target, world, node, hung_engine):
    session = agent.tenant.begin(
        "network-latency", target.selector, {"latency": "200ms"}, duration=f"{SECONDS}s"
    )
    begun = time.monotonic()
    assert not target.network_is_plain()
    hung_engine()
    time.sleep(max(0, SECONDS + LATE - (time.monotonic() - begun)))
    assert target.network_is_plain()
    # The agent finds out, and says that it is over.
    os.kill(agent.role("engine"), signal.SIGCONT)
    wait_until(lambda: agent.tenant.read(session).body["state"] == "ended", 10)
    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("expired", True), report
    assert "drifted" not in str(report), report
    assert node.differences() == []


@pytest.mark.node
def test_an_engine_that_hung_gives_others_their_fault_back(agent, target, world, node, hung_engine):
    """Of two sessions in one network the first one's deadline ends both; the second goes on once somebody is there."""
    second, first = (
        agent.tenant.begin(
            "network-latency", target.selector, {"latency": "200ms"}, duration=duration
        )
        for duration in ("60s", f"{SECONDS}s")
    )
    hung_engine()
    wait_until(target.network_is_plain, SECONDS + LATE)
    os.kill(agent.role("engine"), signal.SIGCONT)
    wait_until(lambda: agent.tenant.read(first).body["state"] == "ended", 10)
    assert agent.tenant.read(second).body["state"] == "active"
    assert min(target.ping(world.peer.ip, 5)) >= 200
    assert agent.tenant.end(second).body["revertVerified"]
    assert node.differences() == []


def test_a_killed_one_is_replaced(agent, target, hung_engine):
    parameters = {"size": "4MiB", "visible": True, "path": "/tmp"}
    assert agent.tenant.inject("disk-fill", target.selector, parameters, duration=f"{SECONDS}s").status == 201
    (old,) = deadmen()
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: deadmen() not in ([], [old]), 5)
    hung_engine()
    wait_until(lambda: not visible_files(target), SECONDS + LATE)


def test_a_new_engine_takes_over_from_the_old_ones(agent, target):
    parameters = {"size": "4MiB", "visible": True, "path": "/tmp"}
    assert agent.tenant.inject("disk-fill", target.selector, parameters, duration="60s").status == 201
    (old,) = deadmen()
    agent.kill_engine()
    agent.wait_until_ready()
    assert visible_files(target) == []
    wait_until(lambda: len(deadmen()) == 1 and deadmen() != [old], 5)


@pytest.mark.node
def test_an_agent_that_is_deleted_by_force_leaves_nothing(agent, target, mortal_target):
    """All its processes killed at once, its container and pod removed, and no other agent comes."""
    from nodekit import snapshot

    targets = [target, mortal_target]
    agent.stop()
    try:
        before = snapshot.take()
        agent.start()
        container, pod = agent.container.container, agent.container.pod
        begun = time.monotonic()
        sessions = [
            agent.tenant.inject(fault, target.selector, parameters, duration=f"{SECONDS * 5}s")
            for target in targets
            for fault, parameters in {
                "network-latency": {"latency": "200ms"},
                "disk-fill": {"size": "8MiB", "visible": True},
                "memory-stress": {"size": "16MiB"},
                "cpu-stress": {"load": 10, "workers": 1},
            }.items()
        ]
        last = time.monotonic()
        assert [each.status for each in sessions] == [201] * 8
        cgroup = Path(f"/proc/{agent.role('keeper')}/cgroup").read_text().strip().split("::")[1]
        targets[1].freeze(True)
        (Path("/sys/fs/cgroup") / cgroup.strip("/") / "cgroup.kill").write_text("1")
        # Not even its container is there to be looked into.
        agent.container.stop(grace=0)
        assert time.monotonic() - begun < SECONDS * 5, "too slow to prove anything"
        assert len(deadmen()) == 1
        time.sleep(max(0, SECONDS * 5 + LATE - (time.monotonic() - last)))
        assert deadmen() == []
        targets[1].freeze(False)
        # The agent's journal and sockets, and what the runtime remembers of its pod.
        names = [container.id, pod.id, pod.config.metadata.uid]
        kept = ["/var/lib/squall", "/run/squall", "/etc/squall", "/var/lib/containerd/", "/var/lib/cni/"]
        expected = re.compile("|".join(names + kept))
        left = [each for each in snapshot.compare(before, snapshot.take()) if not expected.search(each)]
        assert not left, "\n".join(left)
    finally:
        targets[1].freeze(False)
        agent.start()
