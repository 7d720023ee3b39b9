"""What is done to a share of the packets, and to their speed, measured from inside the target with ping."""

import math
import re

import pytest
from conftest import Node

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def other(world):
    with world.mortal_target() as pod:
        yield pod


@pytest.fixture(scope="module")
def node(world, other):
    """With that pod on it."""
    world.agent.end_all_sessions()
    return Node(world.agent)


def replies(target, peer, count=200):
    """How many echoes came back, and how many of them twice."""
    status, output, errors = target.runtime.execute(
        target.id, ["ping", "-c", str(count), "-i", "0.01", "-W", "1", peer.ip]
    )
    summary = re.search(r"(\d+) packets transmitted, (\d+) packets received(?:, (\d+) duplicates)?", output)
    assert summary and int(summary[1]) == count, output + errors
    return int(summary[2]), int(summary[3] or 0)


def echoes(target, peer, count=200, wait=2):
    """Number and round-trip time in milliseconds of each echo, as they came back."""
    status, output, errors = target.runtime.execute(
        target.id, ["ping", "-c", str(count), "-i", "0.01", "-W", str(wait), peer.ip]
    )
    return [(int(number), float(time)) for number, time in re.findall(r"seq=(\d+) .*time=([0-9.]+) ms", output)]


def about(share, count=200):
    """Four standard deviations around the share of so many draws: one run in 15,000 lies outside."""
    return pytest.approx(share * count, abs=4 * math.sqrt(count * share * (1 - share)) + 1)


def inject(tenant, fault, target, **parameters):
    return tenant.begin(fault, target.selector, parameters, duration="60s")


def test_a_share_of_the_packets_is_lost(agent, target, world, unchanged_node):
    first = inject(agent.tenant, "network-loss", target, percent=50)
    assert replies(target, world.peer)[0] == about(0.5)
    second = inject(agent.other_tenant, "network-loss", target, percent=50)
    assert replies(target, world.peer)[0] == about(0.25)
    report = agent.tenant.end(first).body
    assert report["revertVerified"] and report["steps"][0]["effect"]["droppedPackets"] >= 100
    assert replies(target, world.peer)[0] == about(0.5)
    assert agent.other_tenant.end(second).body["revertVerified"]
    assert replies(target, world.peer)[0] == 200


def test_all_of_the_packets_may_be_lost(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-loss", target, percent=100)
    assert replies(target, world.peer, 5)[0] == 0
    # Nobody else is in the way of the target's neighbour.
    assert replies(world.peer, target, 5)[0] == 0
    assert min(world.peer.ping(world.peer.ip.rsplit(".", 2)[0] + ".0.1", 3)) < 50


def test_a_share_of_the_packets_is_sent_twice(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-duplication", target, percent=50)
    received, twice = replies(target, world.peer)
    assert received == 200 and twice == about(0.5)


def test_a_share_of_the_packets_is_damaged(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-corruption", target, percent=100)
    # But for a bit in the sender's hardware address, which nobody checks.
    assert replies(target, world.peer, 100)[0] < 50


def test_packets_go_no_faster_than_the_rate(agent, target, world, unchanged_node):
    def round_trip():
        status, output, errors = target.runtime.execute(
            target.id, ["ping", "-c", "8", "-i", "0.3", "-s", "1400", "-W", "3", world.peer.ip]
        )
        times = [float(time) for time in re.findall(r"time=([0-9.]+) ms", output)]
        assert len(times) == 8, output + errors
        return min(times)

    base = round_trip()
    inject(agent.tenant, "network-rate-limit", target, rate="100kbit")
    slow = inject(agent.other_tenant, "network-rate-limit", target, rate="50kbit")
    # Of both the lower one: so long does a frame of 1400 bytes and its headers take.
    frame = (1400 + 8 + 20 + 14) * 8
    assert 0.9 * frame / 50 < round_trip() - base < 1.3 * frame / 50
    assert agent.other_tenant.end(slow).body["revertVerified"]
    assert 0.9 * frame / 100 < round_trip() - base < 1.3 * frame / 100


def test_a_share_of_the_packets_is_overtaken(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-reorder", target, percent=25, latency="400ms")
    echoed = echoes(target, world.peer)
    late = {number for number, time in echoed if time >= 400}
    assert len(echoed) == 200 and len(late) == about(0.25)
    # Those that are on time come in order; each late one was overtaken, but the last ones that nothing followed.
    order = [number for number, _ in echoed]
    assert sorted(order) == list(range(200)) and order != sorted(order)
    overtaken = sum(any(later > number for later in order[: order.index(number)]) for number in late)
    assert overtaken > 0.7 * len(late)
    # Another's latency is everybody's, and what is held back waits longer still.
    delayed = inject(agent.other_tenant, "network-latency", target, latency="300ms")
    times = [time for _, time in echoes(target, world.peer)]
    assert len(times) == 200 and min(times) >= 300
    assert sum(time >= 700 for time in times) == about(0.25)
    assert agent.other_tenant.end(delayed).body["revertVerified"]
    refused = agent.other_tenant.inject("network-rate-limit", target.selector, {"rate": "1Mbit"})
    assert (refused.status, refused.code) == (503, "target-busy"), refused


def test_losses_come_in_bursts(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-loss", target, percent=50, burstLength=20)
    count = 600
    received = {number for number, _ in echoes(target, world.peer, count)}
    lost = [number not in received for number in range(count)]
    bursts = sum(now and not before for before, now in zip([False, *lost], lost))
    assert 0.2 < sum(lost) / count < 0.8
    # Losses that are independent of each other would come in twos.
    assert sum(lost) / bursts > 8
    # Another loss takes of what comes between them.
    independent = inject(agent.other_tenant, "network-loss", target, percent=100)
    assert echoes(target, world.peer, 5) == []
    assert agent.other_tenant.end(independent).body["revertVerified"]
    refused = agent.other_tenant.inject("network-loss", target.selector, {"percent": 5, "burstLength": 5})
    assert (refused.status, refused.code, refused.body["field"]) == (503, "target-busy", "parameters")


def test_delays_are_normally_distributed(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-latency", target, latency="400ms", jitter="80ms", distribution="normal")
    times = [time for _, time in echoes(target, world.peer)]
    assert len(times) == 200 and min(times) > 400 - 4 * 80
    # A sixth of them, beyond one deviation to the one side; on the other the way itself takes time as well.
    assert 10 <= sum(time < 320 for time in times) <= 60
    assert 10 <= sum(time > 480 for time in times) <= 90


def test_what_no_filter_names_is_left_alone(agent, target, world, other, unchanged_node):
    def round_trips():
        return min(target.ping(world.peer.ip, 3)), min(target.ping(other.ip, 3))

    to_peer = inject(agent.tenant, "network-latency", target, latency="200ms", destinationIPs=[world.peer.ip])
    peers, others = round_trips()
    assert 200 <= peers < 290 and others < 90
    to_all = inject(agent.other_tenant, "network-latency", target, latency="100ms")
    peers, others = round_trips()
    assert 300 <= peers < 390 and 100 <= others < 190
    report = agent.tenant.end(to_peer).body
    assert report["revertVerified"] and report["steps"][0]["effect"]["packets"] >= 6
    peers, others = round_trips()
    assert 100 <= peers < 190 and 100 <= others < 190
    assert agent.other_tenant.end(to_all).body["revertVerified"]


def test_a_partition_is_of_the_ports_that_it_names(agent, target, world, unchanged_node):
    peer = world.peer.ip

    def is_reached(*where, **more):
        return target.connect(peer, *where, **more) is not None

    assert is_reached(7003) and is_reached(7003, "udp")
    session = inject(
        agent.tenant, "network-partition", target, destinationIPs=[f"{peer}/32"],
        destinationPorts=["7001-7005", "7007"], protocol="tcp",
    )  # fmt: skip
    assert [port for port in range(7000, 7009) if not is_reached(port, timeout=0.5)] == [7001, 7002, 7003, 7004, 7005, 7007]
    assert is_reached(7003, "udp")
    assert replies(target, world.peer, 5)[0] == 5
    # Who calls such a port of the target is not answered either; others are.
    of_all = inject(agent.other_tenant, "network-partition", target, sourcePorts=["7010"])
    assert not world.peer.connect(target.ip, 7010) and world.peer.connect(target.ip, 7011)
    assert not is_reached(7020, "udp", source=7010) and is_reached(7020, "udp")
    assert agent.tenant.end(session).body["revertVerified"]
    assert is_reached(7003) and not is_reached(7003, source=7010)
    assert agent.other_tenant.end(of_all).body["revertVerified"]
    assert is_reached(7003, source=7010) and world.peer.connect(target.ip, 7010)


def test_what_two_filters_name_meets_both_sessions(agent, target, world, unchanged_node):
    def seconds(port, source):
        return target.connect(world.peer.ip, port, "udp", source=source, timeout=3)

    inject(agent.tenant, "network-latency", target, latency="300ms", sourcePorts=["7020"])
    inject(agent.other_tenant, "network-latency", target, latency="400ms", destinationPorts=["7000-7080"])
    assert 0.7 <= seconds(7030, 7020) < 1.1
    assert 0.3 <= seconds(7090, 7020) < 0.7
    assert 0.4 <= seconds(7080, 7021) < 0.8
    assert seconds(7081, 7021) < 0.3
    # What is sent in fragments has no ports.
    assert target.connect(world.peer.ip, 7030, "udp", source=7020, size=4000, timeout=3) < 0.3


def test_what_arrives_is_hit_as_well_as_what_is_sent(agent, target, world, unchanged_node):
    def round_trip():
        return min(target.ping(world.peer.ip, 3))

    arriving = inject(agent.tenant, "network-latency", target, latency="150ms", direction="ingress")
    assert 150 <= round_trip() < 240
    both = inject(
        agent.other_tenant, "network-latency", target, latency="100ms", direction="both", destinationIPs=[world.peer.ip]
    )  # fmt: skip
    assert 350 <= round_trip() < 440
    assert agent.tenant.end(arriving).body["revertVerified"]
    assert 200 <= round_trip() < 290
    # Who calls is not heard on a port that is cut off, and is on another.
    cut = inject(agent.tenant, "network-partition", target, direction="ingress", sourcePorts=["7040"], protocol="tcp")
    assert world.peer.connect(target.ip, 7040) is None and world.peer.connect(target.ip, 7041)
    report = agent.tenant.end(cut).body
    assert report["revertVerified"] and report["steps"][0]["effect"]["droppedPackets"] >= 1
    assert agent.other_tenant.end(both).body["revertVerified"]
    assert round_trip() < 140


def test_an_interface_is_hit_that_is_there(agent, target, world, unchanged_node):
    session = inject(agent.tenant, "network-partition", target, interfaces=["eth0"])
    assert replies(target, world.peer, 5)[0] == 0
    assert agent.tenant.end(session).body["revertVerified"]
    refused = agent.tenant.inject("network-partition", target.selector, {"interfaces": ["eth0", "eth7"]})
    assert (refused.status, refused.body["field"]) == (422, "parameters.interfaces"), refused
    assert "it has eth0" in refused.body["hint"]


def test_where_all_is_lost_nothing_is_sent_twice(agent, target, world, unchanged_node):
    inject(agent.tenant, "network-partition", target)
    inject(agent.other_tenant, "network-duplication", target, percent=100)
    assert replies(target, world.peer, 5)[0] == 0


def test_filters_that_are_too_many_together_are_refused(agent, target, unchanged_node):
    networks = [f"10.{number}.0.0/16" for number in range(32)]
    inject(agent.tenant, "network-loss", target, percent=1, destinationIPs=networks)
    parameters = {"destinationPorts": [str(port) for port in range(1, 33, 2)], "protocol": "tcp"}
    refused = agent.tenant.inject("network-partition", target.selector, parameters)
    assert (refused.status, refused.code) == (429, "limit-exceeded"), refused
