"""What is left when the engine was killed in the middle of a fault."""

import pytest

pytestmark = pytest.mark.node

FAULTS = {
    "network-latency": {"latency": "300ms"},
    "cpu-stress": {"load": 50, "workers": 2},
    "memory-stress": {"size": "64MiB"},
    "disk-fill": {"size": "16MiB", "visible": True},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_sigkill_the_node_is_as_it_was(agent, target, node, fault):
    session = agent.tenant.begin(fault, target.selector, FAULTS[fault], duration="60s")
    assert node.differences(), "the fault is to be seen, or the comparison proves nothing"
    agent.kill(agent.role("engine"))
    report = agent.tenant.wait_until_ended(session)
    differences = node.differences()
    assert not differences, "\n".join(differences)
    assert (report["ending"], report["revertVerified"]) == ("recovered", True)
