"""What many sessions leave in the agent's own processes and files. SQUALL_LEAK_SESSIONS says how many, SQUALL_LEAK_FAULTS of
which faults, if not of all below: `SQUALL_LEAK_SESSIONS=100000 SQUALL_LEAK_FAULTS=cpu-throttle` takes half an hour."""

import os
import time
from pathlib import Path

import pytest
from conftest import IN_NODE

from running_agent import all_processes, role_of

pytestmark = pytest.mark.skipif(IN_NODE, reason="takes long in an emulated machine, and shows no more there")

SESSIONS = int(os.environ.get("SQUALL_LEAK_SESSIONS", 200))
FAULTS = {
    "cpu-stress": {"load": 1, "workers": 1},
    "memory-stress": {"size": "1MiB"},
    "disk-fill": {"size": "64KiB", "path": "/tmp"},
    "visible": {"size": "64KiB", "path": "/tmp", "visible": True},
    "cpu-throttle": {"percent": 90},
    "network-latency": {"latency": "1ms"},
}
ASKED = os.environ.get("SQUALL_LEAK_FAULTS", ",".join(FAULTS)).split(",")


def usage(process):
    """Descriptors, threads, kilobytes of its own, and kilobytes of addresses."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line
    )
    return len(os.listdir(f"/proc/{process}/fd")), int(status["Threads"]), *(
        int(status[name].split()[0]) for name in ("RssAnon", "VmSize")
    )


def usage_of_all():
    return {role_of(each): usage(each) for each in all_processes() if role_of(each) not in (None, "worker")}


def run_sessions(agent, target, faults, count):
    """Returns the most bytes that the journal was seen to have."""
    most = 0
    for number in range(count):
        if number % 100 == 0:
            most = max(most, (agent.state_directory / "journal").stat().st_size)
        if count >= 1000 and number % (count // 10) == 0:
            print(f"{number}: {usage(agent.role('engine'))}", flush=True)
        fault = faults[number % len(faults)]
        kind = "disk-fill" if fault == "visible" else fault
        session = agent.tenant.begin(kind, target.selector, FAULTS[fault], duration="60s")
        assert agent.tenant.end(session).body["revertVerified"]
    return most


@pytest.fixture
def short_lived_tokens(agent, monkeypatch):
    """Used tokens are remembered for as long as they live, and of one tenant only so many."""
    claims = agent.tenant.claims
    monkeypatch.setattr(
        agent.tenant, "claims", lambda *words, **more: claims(*words, **{"exp": int(time.time()) + 5} | more)
    )


def test_sessions_that_are_over_hold_nothing(agent, target, world, short_lived_tokens):
    faults = [each for each in ASKED if world.can_shape_traffic() or "network" not in each]
    # Everything has been used once, a thousand sessions are remembered, and the allocator has grown to what it needs.
    run_sessions(agent, target, faults, min(5000, SESSIONS))
    before = usage_of_all()
    assert set(before) == {"keeper", "engine", "gateway", "runtimes", "deadman"}
    journal = run_sessions(agent, target, faults, SESSIONS)
    after = usage_of_all()
    audit = sum(path.stat().st_size for path in (agent.state_directory / "audit").iterdir())
    print(f"journal of {journal} bytes at most, audit log of {audit} after {SESSIONS} sessions, (descriptors, threads, kilobytes, addresses) before {before}, after {after}")
    for role, (descriptors, threads, kilobytes, addresses) in after.items():
        # A connection more or less may be open just then; threads come and go with a pool.
        assert descriptors <= before[role][0] + 4, (role, before, after)
        assert threads <= before[role][1] + 4, (role, before, after)
        # What is remembered of a session that is over, until there are a thousand of them: 9 kB were measured.
        remembered = min(SESSIONS, max(0, 1000 - SESSIONS))
        # A thread more brings an arena of its own, which keeps some of what was freed.
        arenas = max(0, threads - before[role][1])
        assert kilobytes <= before[role][2] + 12 * remembered + 2048 * (1 + arenas), (role, before, after)
        # The stacks of threads that nobody joined, 8 MiB each, would show here. An allocator's arena has 64 MiB.
        assert addresses <= before[role][3] + 256 * 1024, (role, before, after)
    # It is compacted at 1 MiB, and at twice what was left of it then.
    assert journal < 3 << 20
    assert audit < 65 << 20
