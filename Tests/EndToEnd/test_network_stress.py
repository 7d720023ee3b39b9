"""network-stress, as a sink counts it: in the node a pod's, here a process's in the target's own network."""

import contextlib
import subprocess
import sys
import time

import pytest
from conftest import IN_NODE
from test_cpu_stress import Between

from running_agent import wait_until

PORT = 5001
NODE = pytest.mark.node

# Counts what arrives; says how many bytes and packets it was when it is asked, and ends when nobody can ask any more.
RECEIVER = """
import select, socket, sys
address, port, transport = sys.argv[1], int(sys.argv[2]), sys.argv[3]
kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
listener = socket.socket(socket.AF_INET, kind)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
listener.bind((address, port))
if transport == "tcp":
    listener.listen()
sources, count, packets = [listener], 0, 0
print("ready", flush=True)
while True:
    for each in select.select([*sources, sys.stdin], [], [])[0]:
        if each is sys.stdin:
            if not sys.stdin.readline():
                sys.exit()
            print(count, packets, len(sources) - 1, flush=True)
        elif each is listener and transport == "tcp":
            sources.append(listener.accept()[0])
        else:
            try:
                data = each.recv(1 << 16)
            except OSError:
                data = b""
            count, packets = count + len(data), packets + 1
            if not data and transport == "tcp":
                sources.remove(each)
"""


class Sink:
    def __init__(self, process, address, transport):
        self.text = f"{address}:{PORT}"
        enter = ["nsenter", "--net", "--target", str(process)]
        self.receiver = subprocess.Popen(
            [*enter, sys.executable, "-c", RECEIVER, address, str(PORT), transport],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert self.receiver.stdout.readline() == "ready\n"

    def read(self):
        """Bytes and packets that have arrived, and how many connections there are."""
        self.receiver.stdin.write("\n")
        return [int(word) for word in self.receiver.stdout.readline().split()]

    def rate(self, seconds=4):
        """In bits a second."""
        before, begun = self.read()[0], time.monotonic()
        time.sleep(seconds)
        return (self.read()[0] - before) * 8 / (time.monotonic() - begun)

    def close(self):
        self.receiver.kill()
        self.receiver.wait()


@pytest.fixture
def place(world, target):
    """The process in whose network a sink may be, and an address of it that the target reaches."""
    if IN_NODE:
        yield world.peer.pid, world.peer.ip
        return
    # No wire leads out of its network, so a part of loopback is made to be others' addresses.
    target.in_network("ip", "link", "set", "lo", "up")
    target.in_network("ip", "address", "add", "10.1.1.1/32", "dev", "lo")
    target.in_network("ip", "route", "add", "local", "10.1.2.0/24", "dev", "lo", "src", "10.1.1.1")
    yield target.process.pid, "10.1.2.3"
    target.in_network("ip", "route", "del", "local", "10.1.2.0/24", "dev", "lo")
    target.in_network("ip", "address", "del", "10.1.1.1/32", "dev", "lo")
    target.in_network("ip", "link", "set", "lo", "down")


@pytest.fixture
def make_sink(place):
    with contextlib.ExitStack() as stack:

        def make(transport="udp"):
            sink = Sink(*place, transport)
            stack.callback(sink.close)
            return sink

        yield make


def about(asked):
    """Never noticeably more than asked; less when the machine has not that much time to give."""
    return Between(0.5 * asked, 1.03 * asked)


def sent(report):
    (step,) = report["steps"]
    return step["effect"]


@pytest.mark.parametrize("transport, connections", [("udp", 1), ("udp", 3), ("tcp", 1), ("tcp", 3)])
def test_the_sink_gets_what_was_asked_and_nothing_after_the_end(agent, target, make_sink, transport, connections):
    before, sink = target.processes(), make_sink(transport)
    session = agent.tenant.begin(
        "network-stress", target.selector,
        {"sink": sink.text, "rate": "8Mbit", "protocol": transport, "connections": connections}, duration="60s",
    )  # fmt: skip
    assert sink.rate() == about(8e6)
    report = agent.tenant.end(session).body
    assert report["revertVerified"] and target.processes() == before
    wait_until(lambda: sink.read()[2] == 0, 2)
    time.sleep(0.2)
    count, packets, _ = sink.read()
    effect = sent(report)
    # It was looked at before the worker was ended, which went on meanwhile. A connection is reset with what it still held.
    held = 64 if transport == "udp" else 1_000_000
    assert effect["sentBytes"] <= count + held and count <= effect["sentBytes"] + 2_000_000
    if transport == "udp":
        assert effect["sentBytes"] == 1400 * effect["sentPackets"] and count == 1400 * packets
    time.sleep(1)
    assert sink.read()[0] == count


def test_two_sessions_add_up_and_end_in_any_order(agent, target, make_sink):
    sink = make_sink()
    first, second = (
        tenant.begin("network-stress", target.selector, {"sink": sink.text, "rate": rate, "packetSize": "500B"})
        for tenant, rate in ((agent.tenant, "4Mbit"), (agent.other_tenant, "6Mbit"))
    )
    assert sink.rate() == about(10e6)
    assert agent.tenant.end(first).body["revertVerified"]
    assert sink.rate() == about(6e6)
    assert agent.other_tenant.end(second).body["revertVerified"]
    time.sleep(0.2)
    assert sink.rate(1) == 0


def test_the_worker_has_the_targets_network_and_nothing_else(agent, target, make_sink):
    session = agent.tenant.begin("network-stress", target.selector, {"sink": make_sink().text, "connections": 2})
    (worker,) = agent.workers(session)
    process = target.process_selector["process"]["pid"]

    def network(pid):
        return subprocess.check_output(["readlink", f"/proc/{pid}/ns/net"])

    assert network(worker) == network(process) != network("self")
    assert worker in target.processes()
    status = agent.process_status(worker)
    assert [int(status[each], 16) for each in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == [0] * 4
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    engine = agent.process_status(agent.role("engine"))
    assert int(status["Seccomp_filters"]) == int(engine["Seccomp_filters"]) + 1
    assert agent.tenant.end(session).body["revertVerified"]


def test_it_ends_with_its_deadline_and_with_the_engine(agent, target, make_sink):
    before, sink = target.processes(), make_sink()
    parameters = {"sink": sink.text}
    session = agent.tenant.begin("network-stress", target.selector, parameters, duration="2s")
    assert agent.tenant.wait_until_ended(session)["ending"] == "expired"
    session = agent.tenant.begin("network-stress", target.selector, parameters, duration="60s")
    agent.kill_engine()
    wait_until(lambda: target.processes() == before, 5)
    agent.wait_until_ready()
    count = sink.read()[0]
    time.sleep(1)
    assert sink.read()[0] == count > 0
    assert agent.tenant.read(session).body["revertVerified"]


def test_a_hung_engine_sends_nothing_for_long(agent, target, make_sink, hung_engine):
    before, sink = target.processes(), make_sink("tcp")
    agent.tenant.begin("network-stress", target.selector, {"sink": sink.text, "protocol": "tcp"}, duration="2s")
    hung_engine()
    wait_until(lambda: target.processes() == before, 5)
    wait_until(lambda: sink.read()[2] == 0, 1)


def test_datagrams_are_sent_whether_or_not_anybody_listens(agent, target, place):
    sink = f"{place[1]}:{PORT}"
    session = agent.tenant.begin("network-stress", target.selector, {"sink": sink, "rate": "8Mbit"}, duration="60s")
    time.sleep(3)
    report = agent.tenant.end(session).body
    assert report["ending"] == "cancelled" and sent(report)["sentBytes"] > 1_000_000


def test_a_sink_that_refuses_a_connection_is_said(agent, target, place):
    before = target.processes()
    sink = f"{place[1]}:{PORT}"
    answer = agent.tenant.inject("network-stress", target.selector, {"sink": sink, "protocol": "tcp"})
    assert f"connect {sink}: Connection refused" in str(answer.body), answer
    assert answer.status >= 400 and target.processes() == before


def test_a_sink_that_hangs_up_ends_the_session(agent, target, make_sink):
    sink = make_sink("tcp")
    session = agent.tenant.begin("network-stress", target.selector, {"sink": sink.text, "protocol": "tcp"})
    wait_until(lambda: sink.read()[0] > 0, 5)
    sink.close()
    report = agent.tenant.wait_until_ended(session)
    assert report["ending"] == "fault-ended" and report["revertVerified"]
    (ended,) = [event for event in agent.tenant.events(session) if event["kind"] == "worker-ended"]
    assert f"the connection to {sink.text} ended" in str(ended)


def test_sinks_that_are_none_are_refused(agent, target, place):
    before = target.processes()
    own = "10.1.1.1" if not IN_NODE else target.ip
    for sink in ("127.0.0.1:80", "169.254.169.254:80", "[fd00:ec2::254]:80", "255.255.255.255:9", f"{own}:80"):
        for refused in (
            agent.tenant.plan("network-stress", target.selector, {"sink": sink}),
            agent.tenant.inject("network-stress", target.selector, {"sink": sink}),
        ):
            assert (refused.status, refused.body["field"]) == (422, "parameters.sink"), (sink, refused)
    assert target.processes() == before


def test_a_sink_without_a_way_there_is_refused(agent, mortal_target):
    # Here the target has no network at all, and in the node none of IPv6.
    refused = agent.tenant.inject("network-stress", mortal_target.selector, {"sink": "[fd00:1::1]:80"})
    assert (refused.status, refused.body["field"]) == (422, "parameters.sink"), refused
    assert "nothing can be sent there from the target: connect [fd00:1::1]:80" in refused.body["detail"]


@NODE
def test_a_pod_on_the_nodes_network_is_refused(agent, world):
    pod = world.make_target(host_network=True)
    try:
        answer = agent.tenant.inject("network-stress", pod.selector, {"sink": "10.1.2.3:5001"})
        assert (answer.status, answer.code) == (403, "target-protected")
    finally:
        pod.remove()


@NODE
def test_it_meets_the_other_network_faults(agent, target, unchanged_node, make_sink):
    sink = make_sink()
    agent.tenant.begin("network-stress", target.selector, {"sink": sink.text, "rate": "8Mbit"}, duration="60s")
    limit = agent.other_tenant.begin("network-rate-limit", target.selector, {"rate": "2Mbit"}, duration="60s")
    time.sleep(2)
    # On the wire, headers included.
    assert sink.rate() == about(2e6)
    assert agent.other_tenant.end(limit).body["revertVerified"]
    cut = agent.other_tenant.begin("network-partition", target.selector, {}, duration="60s")
    time.sleep(1)
    assert sink.rate(2) == 0
    assert agent.other_tenant.end(cut).body["revertVerified"]
    assert sink.rate() == about(8e6)


@NODE
def test_the_whole_node_is_as_it_was(agent, target, unchanged_node, make_sink):
    for transport in ("udp", "tcp"):
        sink = make_sink(transport)
        session = agent.tenant.begin("network-stress", target.selector, {"sink": sink.text, "protocol": transport})
        wait_until(lambda: sink.read()[0] > 0, 5)
        assert agent.tenant.end(session).body["revertVerified"]
