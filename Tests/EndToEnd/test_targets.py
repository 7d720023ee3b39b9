"""Every fault on targets that are not as one would like them."""

from pathlib import Path

import pytest
from conftest import Node

IN_NODE = Path("/usr/lib/squall-node").exists()
FAULTS = {
    "cpu-stress": {"load": 10, "workers": 1},
    "memory-stress": {"size": "8MiB"},
    "disk-fill": {"size": "8MiB", "visible": True},
    "network-latency": {"latency": "20ms"},
}
# Here a target has no interface that traffic could leave by, and the kernel may lack netem.
HERE = [fault for fault in FAULTS if IN_NODE or fault != "network-latency"]


@pytest.mark.parametrize("fault", HERE)
def test_a_target_that_vanishes_ends_the_session(agent, mortal_target, fault):
    session = agent.tenant.begin(fault, mortal_target.selector, FAULTS[fault], duration="60s")
    mortal_target.kill()
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("target-gone", True)


def test_a_target_that_is_gone_is_refused(agent, mortal_target):
    selector = mortal_target.process_selector
    mortal_target.kill()
    for fault in HERE:
        answer = agent.tenant.inject(fault, selector, FAULTS[fault])
        assert answer.code in ("target-not-found", "target-gone"), answer


def test_a_frozen_target_takes_no_worker(agent, mortal_target):
    before = mortal_target.processes()
    mortal_target.freeze(True)
    try:
        for fault in set(HERE) - {"network-latency"}:
            answer = agent.tenant.inject(fault, mortal_target.selector, FAULTS[fault])
            assert (answer.status, answer.code) == (403, "target-refused") and "frozen" in answer.body["detail"], answer
    finally:
        mortal_target.freeze(False)
    assert mortal_target.processes() == before


@pytest.mark.node
def test_a_container_without_a_shell_is_as_good(agent, world):
    target = world.make_target(container={"image": "node.local/pause:1", "command": ["/busybox", "sleep", "3600"]})
    node = Node(agent)
    try:
        assert not (target.root / "bin/sh").exists()
        sessions = []
        for fault, parameters in FAULTS.items():
            session = agent.tenant.begin(fault, target.selector, parameters, duration="60s")
            sessions.append(session)
        for session in sessions:
            assert agent.tenant.end(session).body["revertVerified"]
        assert node.differences() == []
    finally:
        target.remove()
