"""What is left a second after the engine was killed in the middle of a fault."""

import time

import pytest

pytestmark = pytest.mark.node

FAULTS = {
    "network-latency": {"latency": "300ms"},
    "cpu-stress": {"load": 50, "workers": 2},
    "memory-stress": {"size": "64MiB"},
    "disk-fill": {"size": "16MiB", "visible": True},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_second_after_sigkill_the_node_is_as_it_was(agent, target, node, fault):
    answer = agent.tenant.inject(fault, target.selector, FAULTS[fault], duration="60s")
    assert answer.status == 201, answer
    assert node.differences(), "the fault is to be seen, or the comparison proves nothing"
    agent.kill(agent.role("engine"))
    time.sleep(1)
    differences = node.differences()
    assert not differences, "\n".join(differences)
    report = agent.tenant.read(answer.body["id"]).body
    assert (report["ending"], report["revertVerified"]) == ("recovered", True)
