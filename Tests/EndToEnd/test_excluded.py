"""Those whom no fault on the network hits, whatever is asked for."""

import re
import subprocess

import pytest

pytestmark = pytest.mark.node


def gateway(target):
    """The bridge's address, which is the node's, and the one from which it speaks to pods."""
    return target.ip.rsplit(".", 2)[0] + ".0.1"


def from_the_node(target):
    output = subprocess.check_output(["ping", "-c", "3", "-i", "0.1", "-W", "3", target.ip], text=True)
    return min(float(time) for time in re.findall(r"time=([0-9.]+) ms", output))


def other_address_of_the_node():
    output = subprocess.check_output(["ip", "-4", "-o", "address", "show", "scope", "global", "up"], text=True)
    return next(address for address in re.findall(r"inet ([0-9.]+)/", output) if not address.endswith(".0.1"))


def test_gateway_and_node_are_reached_as_before(agent, target, world, unchanged_node):
    session = agent.tenant.begin(
        "network-latency", target.selector, {"latency": "200ms", "direction": "both"}, duration="60s"
    )
    assert min(target.ping(world.peer.ip, 3)) >= 400
    assert min(target.ping(gateway(target), 3)) < 90
    assert min(target.ping(other_address_of_the_node(), 3)) < 90
    assert from_the_node(target) < 90
    assert agent.tenant.end(session).body["revertVerified"]


def test_a_pod_that_is_cut_off_still_answers_the_nodes_probes(agent, target, world, unchanged_node):
    session = agent.tenant.begin("network-partition", target.selector, {"direction": "both"}, duration="60s")
    with pytest.raises(AssertionError):
        target.ping(world.peer.ip, 2)
    assert from_the_node(target) < 90
    assert agent.tenant.end(session).body["revertVerified"]


def test_to_name_one_of_them_is_refused(agent, target, unchanged_node):
    named = {
        gateway(target): "the target's gateway",
        other_address_of_the_node(): "an address of the node",
        "169.254.169.254": "the metadata service",
        "fd00:ec2::254": "the metadata service",
    }
    for address, words in named.items():
        parameters = {"latency": "50ms", "destinationIPs": ["10.1.2.3", address]}
        answer = agent.tenant.inject("network-latency", target.selector, parameters)
        assert (answer.status, answer.code) == (422, "field-invalid"), answer
        assert answer.body["field"] == "parameters.destinationIPs" and words in answer.body["detail"], answer


def test_a_plan_says_who_is_left_alone(agent, target, unchanged_node):
    def steps(**parameters):
        (step,) = agent.tenant.plan("network-loss", target.selector, {"percent": 10} | parameters).body["steps"]
        return step

    assert "but never" in steps() and f"{gateway(target)} (the target's gateway)" in steps()
    assert "never" not in steps(destinationIPs=["10.1.2.3"])
