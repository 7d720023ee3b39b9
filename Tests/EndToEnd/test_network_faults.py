"""What is done to a share of the packets, and to their speed, measured from inside the target with ping."""

import math
import re

import pytest

pytestmark = pytest.mark.node


def replies(target, peer, count=200):
    """How many echoes came back, and how many of them twice."""
    status, output, errors = target.runtime.execute(
        target.id, ["ping", "-c", str(count), "-i", "0.01", "-W", "1", peer.ip]
    )
    summary = re.search(r"(\d+) packets transmitted, (\d+) packets received(?:, (\d+) duplicates)?", output)
    assert summary and int(summary[1]) == count, output + errors
    return int(summary[2]), int(summary[3] or 0)


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
