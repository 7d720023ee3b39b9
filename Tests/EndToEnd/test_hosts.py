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

from running_agent import all_processes, command_line

pytestmark = pytest.mark.node
DOMAIN = "shop.test"
# What the agent waits before it looks up again, and a little for a busy machine.
AGAIN = 60 + 20


class NameServer:
    """On the node's address in the pods' network, with the names that a file has."""

    def __init__(self, address, directory):
        self.address, self.file = address, directory / "hosts"
        self.process = None

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

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def asking(world):
    """A target that asks the name server below."""
    gateway = world.peer.ip.rsplit(".", 2)[0] + ".0.1"
    pod = world.make_target(dns={"servers": [gateway], "searches": [DOMAIN], "options": ["ndots:2"]})
    pod.gateway = gateway
    yield pod
    pod.remove()


@pytest.fixture
def names(asking, tmp_path):
    server = NameServer(asking.gateway, tmp_path)
    server.knows()
    server.start()
    yield server
    server.stop()


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


def test_a_host_is_hit_by_its_name_and_nobody_else(agent, asking, names, world, mortal_target, unchanged_node):
    names.knows(db=[world.peer.ip, "fd00:1::7"], other=[mortal_target.ip])
    session = begin(agent, asking, "db")
    assert is_delayed(asking, world.peer.ip) and not is_delayed(asking, mortal_target.ip)
    plan = agent.tenant.plan("network-loss", asking.selector, {"percent": 1, "destinationHosts": ["DB.shop.test."]})
    assert world.peer.ip in plan.body["steps"][0] and "fd00:1::7" in plan.body["steps"][0], plan
    assert agent.tenant.end(session).body["revertVerified"]


def test_names_and_addresses_together_are_either(agent, asking, names, world, mortal_target, unchanged_node):
    names.knows(db=[world.peer.ip])
    session = begin(agent, asking, "db", destinationIPs=[mortal_target.ip], protocol="icmp")
    assert is_delayed(asking, world.peer.ip) and is_delayed(asking, mortal_target.ip)
    assert agent.tenant.end(session).body["revertVerified"]


def test_the_targets_own_file_of_hosts_comes_first(agent, asking, names, world, mortal_target, unchanged_node):
    names.knows(db=[world.peer.ip])
    file = Path(f"/proc/{asking.pid}/root/etc/hosts")
    before = file.read_text()
    file.write_text(before + f"\n{mortal_target.ip} db\n")
    try:
        session = begin(agent, asking, "db")
        assert is_delayed(asking, mortal_target.ip) and not is_delayed(asking, world.peer.ip)
        assert agent.tenant.end(session).body["revertVerified"]
    finally:
        file.write_text(before)


def test_a_name_that_nobody_has_is_refused(agent, asking, names, unchanged_node):
    answer = inject(agent, asking, "nowhere")
    assert (answer.status, answer.code, answer.body["field"]) == (
        422, "field-invalid", "parameters.destinationHosts",
    ), answer  # fmt: skip
    assert "nowhere has no address for the target: there is no such name" in answer.body["detail"]


def test_a_name_of_somebody_who_is_never_hit_is_refused(agent, asking, names, unchanged_node):
    names.knows(cloud=["169.254.169.254"])
    answer = inject(agent, asking, "cloud")
    assert (answer.status, answer.code) == (422, "field-invalid") and "the metadata service" in answer.body["detail"]


def test_a_server_that_is_silent_is_told_from_a_name_that_is_not_there(agent, asking, names, unchanged_node):
    names.stop()
    answer = inject(agent, asking, "db")
    assert (answer.status, answer.code) == (422, "target-unresolvable"), answer
    assert "no answer from the name server" in answer.body["detail"], answer


def answer_with_rubbish(address, over):
    """As if it were an answer with as many records as there can be, and names that lead astray."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 53))
        s.settimeout(0.2)
        while not over.is_set():
            with contextlib.suppress(OSError):
                question, client = s.recvfrom(512)
                s.sendto(question[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + question[12:-11] + b"\xc0\x0c" * 600, client)


def test_a_server_that_sends_rubbish_does_no_harm(agent, asking, names, unchanged_node):
    names.stop()
    over = threading.Event()
    server = threading.Thread(target=answer_with_rubbish, args=(asking.gateway, over))
    server.start()
    try:
        answer = inject(agent, asking, "db")
    finally:
        over.set()
        server.join()
    assert (answer.status, answer.code) == (422, "target-unresolvable"), answer
    assert agent.tenant.call("GET", "/readyz").status == 200


def test_who_reads_the_answers_has_no_rights(agent, asking, names, unchanged_node):
    # It waits for the server as long as this waits for it.
    names.process.send_signal(signal.SIGSTOP)
    caller = threading.Thread(target=inject, args=(agent, asking, "db"))
    caller.start()
    deadline = time.monotonic() + 20
    found = []
    while not found and time.monotonic() < deadline:
        found = [pid for pid in all_processes() if command_line(pid)[:2] == ["squall-worker", "lookup"]]
    try:
        assert found, "no worker was seen"
        lines = Path(f"/proc/{found[0]}/status").read_text().splitlines()
        network = os.readlink(f"/proc/{found[0]}/ns/net")
    finally:
        caller.join()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    assert {status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}, status
    assert status["Uid"].split() == ["65534"] * 4 and status["NoNewPrivs"].strip() == "1", status
    assert status["Seccomp"].strip() == "2" and int(status["Seccomp_filters"]) >= 2, status
    assert network == os.readlink(f"/proc/{asking.pid}/ns/net")


def test_a_host_that_moves_is_followed(agent, asking, names, world, mortal_target, unchanged_node):
    names.knows(db=[world.peer.ip])
    session = begin(agent, asking, "db")
    assert is_delayed(asking, world.peer.ip)
    names.knows(db=[mortal_target.ip])
    deadline = time.monotonic() + AGAIN
    while not is_delayed(asking, mortal_target.ip):
        assert time.monotonic() < deadline, agent.tenant.read(session)
        time.sleep(1)
    assert not is_delayed(asking, world.peer.ip)
    report = agent.tenant.end(session).body
    assert report["revertVerified"], report
    (event,) = [each for each in report["events"] if each["kind"] == "hosts-looked-up"]
    assert f"db is now {mortal_target.ip}" in str(event), event
