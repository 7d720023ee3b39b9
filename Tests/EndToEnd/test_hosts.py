"""Hosts by name: looked up as the target does it, dnsmasq being its name server."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import Node

from running_agent import all_processes, command_line, wait_until

pytestmark = pytest.mark.node
DOMAIN = "shop.test"
# What the agent waits before it looks up again, and a little for a busy machine.
AGAIN = 60 + 20


class NameServer:
    """On the node's address in the pods' network, with the names that a file has."""

    # Where snapshots do not look.
    file = Path("/run/squall-node/hosts")

    def __init__(self, address):
        self.address = address
        self.process = None
        self.file.parent.mkdir(exist_ok=True)

    def knows(self, **names):
        self.file.write_text("".join(f"{each} {name}.{DOMAIN}\n" for name, all in names.items() for each in all))
        self.file.chmod(0o644)
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def start(self):
        self.process = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
             f"--listen-address={self.address}", "--bind-interfaces", f"--addn-hosts={self.file}",
             f"--local=/{DOMAIN}/", "--user=root"]
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while self.process.poll() is None and not self.answers():
            assert time.monotonic() < deadline, "dnsmasq does not answer"
        assert self.process.poll() is None, "dnsmasq ended"

    def answers(self):
        question = b"\0\1\1\0\0\1\0\0\0\0\0\0\1x\4test\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.sendto(question, (self.address, 53))
            try:
                return s.recv(512)[:2] == b"\0\1"
            except OSError:
                return False

    @contextlib.contextmanager
    def silent(self):
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def other(world):
    with world.mortal_target() as pod:
        yield pod


@pytest.fixture(scope="module")
def asking(world):
    """A target that asks the name server below."""
    gateway = world.peer.ip.rsplit(".", 2)[0] + ".0.1"
    pod = world.make_target(dns={"servers": [gateway], "searches": [DOMAIN], "options": ["ndots:2"]})
    pod.gateway = gateway
    # What the runtime removes goes by and by, and would be missed by the next module's tests.
    world.kept.append(pod)
    return pod


@pytest.fixture(scope="module")
def server(asking):
    server = NameServer(asking.gateway)
    server.knows()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def node(world, other, server):
    """With all of these on it."""
    world.agent.end_all_sessions()
    return Node(world.agent)


@pytest.fixture
def names(server):
    server.knows()
    return server


def inject(agent, target, *hosts, **more):
    return agent.tenant.inject(
        "network-latency", target.selector, {"latency": "100ms", "destinationHosts": list(hosts)} | more, duration="300s"
    )


def begin(agent, target, *hosts, **more):
    answer = inject(agent, target, *hosts, **more)
    assert answer.status == 201, answer
    return answer.body["id"]


def is_delayed(target, address):
    return min(target.ping(address, 3)) >= 100


def test_a_host_is_hit_by_its_name_and_nobody_else(agent, asking, names, world, other, unchanged_node):
    names.knows(db=[world.peer.ip, "fd00:1::7"], other=[other.ip])
    session = begin(agent, asking, "db")
    assert is_delayed(asking, world.peer.ip) and not is_delayed(asking, other.ip)
    plan = agent.tenant.plan("network-loss", asking.selector, {"percent": 1, "destinationHosts": ["DB.shop.test."]})
    assert world.peer.ip in plan.body["steps"][0] and "fd00:1::7" in plan.body["steps"][0], plan
    assert agent.tenant.end(session).body["revertVerified"]


def test_names_and_addresses_together_are_either(agent, asking, names, world, other, unchanged_node):
    names.knows(db=[world.peer.ip])
    session = begin(agent, asking, "db", destinationIPs=[other.ip], protocol="icmp")
    assert is_delayed(asking, world.peer.ip) and is_delayed(asking, other.ip)
    assert agent.tenant.end(session).body["revertVerified"]


def test_the_targets_own_file_of_hosts_comes_first(agent, asking, names, world, other, unchanged_node):
    names.knows(db=[world.peer.ip])
    file = Path(f"/proc/{asking.pid}/root/etc/hosts")
    before, times = file.read_text(), file.stat()
    file.write_text(before + f"\n{other.ip} db\n")
    try:
        session = begin(agent, asking, "db")
        assert is_delayed(asking, other.ip) and not is_delayed(asking, world.peer.ip)
        assert agent.tenant.end(session).body["revertVerified"]
    finally:
        file.write_text(before)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_name_that_nobody_has_is_refused(agent, asking, names, unchanged_node):
    answer = inject(agent, asking, f"nowhere.{DOMAIN}.")
    assert (answer.status, answer.code, answer.body["field"]) == (
        422, "field-invalid", "parameters.destinationHosts",
    ), answer  # fmt: skip
    assert f"nowhere.{DOMAIN}. has no address for the target: there is no such name" in answer.body["detail"]


def test_a_name_of_somebody_who_is_never_hit_is_refused(agent, asking, names, unchanged_node):
    names.knows(cloud=["169.254.169.254"])
    answer = inject(agent, asking, "cloud")
    assert (answer.status, answer.code) == (422, "field-invalid") and "the metadata service" in answer.body["detail"]


def test_a_server_that_is_silent_is_told_from_a_name_that_is_not_there(agent, asking, names, unchanged_node):
    with names.silent():
        answer = inject(agent, asking, "db")
    assert (answer.status, answer.code) == (422, "target-unresolvable"), answer
    assert "no answer from the name server" in answer.body["detail"], answer


def lookups():
    return [pid for pid in all_processes() if command_line(pid)[:2] == ["squall-worker", "lookup"]]


def test_who_reads_the_answers_has_no_rights(agent, asking, names, unchanged_node):
    # It waits for the server as long as this waits for it.
    with names.silent():
        caller = threading.Thread(target=inject, args=(agent, asking, "db"))
        caller.start()
        try:
            wait_until(lookups, 20)
            found = lookups()
            lines = Path(f"/proc/{found[0]}/status").read_text().splitlines()
            network = os.readlink(f"/proc/{found[0]}/ns/net")
        finally:
            caller.join()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    assert {status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}, status
    assert status["Uid"].split() == ["65534"] * 4 and status["NoNewPrivs"].strip() == "1", status
    assert status["Seccomp"].strip() == "2" and int(status["Seccomp_filters"]) >= 2, status
    assert network == os.readlink(f"/proc/{asking.pid}/ns/net")


def test_a_host_that_moves_is_followed(agent, asking, names, world, other, unchanged_node):
    names.knows(db=[world.peer.ip])
    session = begin(agent, asking, "db")
    assert is_delayed(asking, world.peer.ip)
    names.knows(db=[other.ip])
    deadline = time.monotonic() + AGAIN
    while not is_delayed(asking, other.ip):
        assert time.monotonic() < deadline, agent.tenant.read(session)
        time.sleep(1)
    assert not is_delayed(asking, world.peer.ip)
    assert agent.tenant.end(session).body["revertVerified"]
    (event,) = [each for each in agent.tenant.events(session) if each["kind"] == "hosts-looked-up"]
    assert event["message"] == f"db is now {other.ip}"


def answer_with_rubbish(address, over):
    """As if it were an answer with as many records as there can be, and names that lead astray."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 53))
        s.settimeout(0.2)
        while not over.is_set():
            with contextlib.suppress(OSError):
                question, client = s.recvfrom(512)
                s.sendto(question[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + question[12:-11] + b"\xc0\x0c" * 600, client)


def test_a_server_that_sends_rubbish_does_no_harm(agent, asking, server):
    server.stop()
    over = threading.Event()
    server = threading.Thread(target=answer_with_rubbish, args=(asking.gateway, over))
    server.start()
    try:
        answer = inject(agent, asking, "db")
    finally:
        over.set()
        server.join()
    assert (answer.status, answer.code) == (422, "target-unresolvable"), answer
    assert agent.tenant.call("GET", "/readyz").status == 200 and asking.network_is_plain()
