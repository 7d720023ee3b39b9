"""network-latency, measured from inside the target with ping."""

import time

import pytest

from tampering import tampering, wait_for

pytestmark = pytest.mark.node


def round_trip(target, peer, count=10):
    """The fastest in milliseconds: a busy machine adds to what was asked, and nothing takes away from it."""
    return min(target.ping(peer.ip, count))


@pytest.fixture
def peer(world):
    return world.peer


def test_it_delays_by_what_was_asked_and_leaves_nothing(agent, target, peer, unchanged_node):
    before = round_trip(target, peer)
    session = agent.tenant.begin("network-latency", target.selector, {"latency": "200ms"}, duration="60s")
    during = round_trip(target, peer)
    report = agent.tenant.end(session).body
    assert during - before == pytest.approx(200, rel=0.05)
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert [step["undo"]["outcome"] for step in report["steps"]] == ["restored"]
    assert round_trip(target, peer) < before + 20


def test_two_sessions_add_up_and_end_in_any_order(agent, target, peer, unchanged_node):
    base = round_trip(target, peer)
    first = agent.tenant.begin("network-latency", target.selector, {"latency": "100ms"}, duration="60s")
    second = agent.other_tenant.begin("network-latency", target.selector, {"latency": "150ms"}, duration="60s")
    assert round_trip(target, peer) - base == pytest.approx(250, rel=0.05)
    assert agent.tenant.end(first).body["revertVerified"]
    assert round_trip(target, peer) - base == pytest.approx(150, rel=0.07)
    assert agent.other_tenant.end(second).body["revertVerified"]
    assert round_trip(target, peer) < base + 20


def test_jitter_spreads_the_delay(agent, target, peer, unchanged_node):
    parameters = {"latency": "100ms", "jitter": "50ms"}
    session = agent.tenant.begin("network-latency", target.selector, parameters, duration="60s")
    times = target.ping(peer.ip, 30)
    agent.tenant.end(session)
    assert min(times) > 45
    assert max(times) - min(times) > 30


def test_it_ends_by_its_deadline(agent, target, peer, unchanged_node):
    session = agent.tenant.begin("network-latency", target.selector, {"latency": "100ms"}, duration="2s")
    assert agent.tenant.wait_until_ended(session)["ending"] == "expired"
    assert round_trip(target, peer) < 50


def test_the_peer_is_not_slowed_towards_others(agent, target, peer, unchanged_node):
    session = agent.tenant.begin("network-latency", target.selector, {"latency": "200ms"}, duration="60s")
    assert min(peer.ping(world_gateway(peer), 5)) < 50
    agent.tenant.end(session)


def test_a_network_in_which_a_session_is_stuck_takes_no_other(agent, target, peer, unchanged_node):
    session = agent.tenant.begin("network-latency", target.selector, {"latency": "50ms"}, duration="10s")
    deadline = time.monotonic() + 10
    # Nothing can be told to the kernel, nor to whoever asks: the session ends by its deadline.
    with tampering(agent.role("engine"), "sendto", "error=EPERM") as trace:
        assert time.monotonic() < deadline, "it was not held up in time"
        time.sleep(deadline - time.monotonic())
        wait_for("INJECTED", trace)
        # It is tried again at once, and then twice as late each time: after 6.3 s, and after 12.7 s.
        time.sleep(deadline + 7.5 - time.monotonic())
    assert agent.tenant.read(session).body["state"] == "stuck"
    answer = agent.other_tenant.inject("network-latency", target.selector, {"latency": "50ms"})
    assert (answer.status, answer.code) == (503, "target-busy"), answer
    assert session not in str(answer.body)
    answer = agent.tenant.inject("network-latency", peer.selector, {"latency": "50ms"})
    assert answer.status == 201, answer
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("expired", True), report
    answer = agent.other_tenant.inject("network-latency", target.selector, {"latency": "50ms"})
    assert answer.status == 201, answer


def world_gateway(target):
    return target.ip.rsplit(".", 2)[0] + ".0.1"


def test_a_pod_on_the_nodes_network_is_refused(agent, world):
    pod = world.make_target(host_network=True)
    try:
        answer = agent.tenant.inject("network-latency", pod.selector, {"latency": "100ms"})
        assert (answer.status, answer.code) == (403, "target-protected")
    finally:
        pod.remove()


def test_a_container_that_ends_leaves_the_pods_network_as_it_was(agent, world):
    pod = world.make_target()
    try:
        session = agent.tenant.begin("network-latency", pod.selector, {"latency": "100ms"}, duration="60s")
        pod.kill()
        report = agent.tenant.wait_until_ended(session)
        assert (report["ending"], report["revertVerified"]) == ("target-gone", True)
        assert pod.network_is_plain()
    finally:
        pod.remove()
