"""Faults on the network of services that share the host's: what the service sends is hit, and nothing else."""

import pytest
from host_kit import *
from services import PostgreSQL

ADDRESS, PEER = "10.77.0.1", "10.77.0.2"
PORT = 8077


@pytest.fixture(scope="module", autouse=True)
def peer():
    """Another machine, as far as the host can tell; and a service beside nginx."""
    sh("ip", "netns", "add", "peer")
    sh("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", "peer")
    sh("ip", "addr", "add", f"{ADDRESS}/24", "dev", "lan")
    sh("ip", "link", "set", "lan", "up")
    sh("ip", "-n", "peer", "addr", "add", f"{PEER}/24", "dev", "lan")
    sh("ip", "-n", "peer", "link", "set", "lan", "up")
    sh("systemd-run", "--unit", "bystander", "python3", "-m", "http.server", "--directory", "/usr/share/doc", PORT)
    wait_until(lambda: ask(PORT) is not None, what="both answer")
    wait_until(lambda: ask() is not None, what="both answer")
    yield
    systemctl("stop", "bystander")
    sh("ip", "link", "del", "lan")
    sh("ip", "netns", "del", "peer")


def ask(port=80, patience=5):
    """Seconds until the answer, of the fastest of three; None without one."""
    times = []
    for _ in range(3):
        done = sh(
            "ip", "netns", "exec", "peer", "curl", "-sf", "-m", patience, "-o", "/dev/null", "-w", "%{time_total}",
            f"http://{ADDRESS}:{port}/", check=False,
        )  # fmt: skip
        if done.returncode == 0:
            times.append(float(done.stdout))
    return min(times, default=None)


def ping():
    done = sh("ip", "netns", "exec", "peer", "ping", "-q", "-c", "3", "-i", "0.2", "-W", "2", ADDRESS)
    return float(done.stdout.split("= ")[-1].split("/")[0]) / 1000


def network():
    shown = [sh("ip", "-o", "link", "show").stdout, sh("tc", "qdisc", "show").stdout]
    shown += [sh("tc", "filter", "show", "dev", "lan", hook, check=False).stdout for hook in ("egress", "ingress")]
    return "\n".join(shown)


def begin(tenant, fault, *parameters, target=NGINX, **more):
    opened = tenant.inject(fault, *parameters, target=target, **more)
    wait_until(lambda: session(opened["id"])["state"] == "active", what="it is in effect")
    return opened["id"]


def test_what_a_service_sends_is_late_and_nothing_else(agent):
    before = network()
    assert ask() < 0.2 and ask(PORT) < 0.2 and ping() < 0.1
    id = begin(agent, "network-latency", "latency=300ms")
    # The handshake's answer, and the page.
    assert ask() >= 0.6
    assert ask(PORT) < 0.3 and ping() < 0.2
    other = begin(agent.operator, "network-latency", "latency=400ms", target=["--unit", "bystander"])
    assert 0.6 <= ask() < 0.8 <= ask(PORT)
    report = agent.end(id)
    assert report["revertVerified"] and report["steps"][0]["effect"]["packets"] > 0, report
    assert ask() < 0.3 and ask(PORT) >= 0.8
    assert agent.operator.end(other)["revertVerified"]
    assert network() == before


def test_a_service_is_cut_off_and_the_host_is_not(agent):
    before = network()
    id = begin(agent, "network-partition")
    assert ask(patience=2) is None
    assert ask(PORT) < 0.3 and ping() < 0.2
    # By the addresses of the other end it may be less.
    assert agent.end(id)["revertVerified"] and ask() < 0.3
    id = begin(agent, "network-partition", "destinationIPs=10.77.0.3")
    assert ask() < 0.3
    assert agent.end(id)["revertVerified"] and network() == before


def test_what_arrives_cannot_be_told_apart(agent):
    for direction in ("ingress", "both"):
        done = agent.inject("network-loss", "percent=10", f"direction={direction}", target=NGINX, check=False)
        assert done.returncode and "what is sent to it cannot be told from the rest" in done.stderr, done.stderr


def test_a_restart_is_followed(agent):
    before = network()
    id = begin(agent, "network-latency", "latency=300ms", target=[*NGINX, "--on-restart", "reinject"])
    main = unit_property("nginx", "MainPID")
    systemctl("restart", "nginx")
    assert unit_property("nginx", "MainPID") != main
    wait_until(lambda: session(id)["state"] == "active" and ask() >= 0.6, what="the new one is hit")
    assert ask(PORT) < 0.3
    assert agent.end(id)["revertVerified"] and network() == before


def test_a_killed_agent_takes_it_back(agent):
    before = network()
    id = begin(agent, "network-latency", "latency=300ms")
    kill_agent()
    wait_until(lambda: session(id)["state"] == "ended", what="it is taken back")
    assert session(id)["revertVerified"] and network() == before and ask() < 0.3


def test_without_an_agent_it_ends_at_its_deadline(agent):
    before = network()
    begin(agent, "network-latency", "latency=300ms", duration="8s")
    # Its own end would take it back, and so would another one.
    systemctl("mask", "--runtime", "squalld")
    try:
        sh("systemctl", "kill", "--signal=KILL", "--kill-whom=all", "squalld")
        assert ask() >= 0.6
        wait_until(lambda: network() == before, what="nothing is left of it")
        assert ask() < 0.3
    finally:
        systemctl("unmask", "--runtime", "squalld")
        systemctl("restart", "squalld")
        wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")


def test_a_network_that_other_units_are_in_is_not_its_own(agent):
    drop_in = Path("/etc/systemd/system/nginx.service.d/shared.conf")
    sh("ip", "netns", "add", "shared")
    sh("systemd-run", "--unit", "beside", "--property", "NetworkNamespacePath=/run/netns/shared", "sleep", "1000")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nNetworkNamespacePath=/run/netns/shared\n")
    try:
        systemctl("daemon-reload")
        systemctl("restart", "nginx")
        for fault, *parameters in (("network-partition",), ("network-stress", f"sink={PEER}:9")):
            done = agent.inject(fault, *parameters, target=NGINX, check=False)
            assert done.returncode and "shared with cgroup /system.slice/beside.service" in done.stderr, done.stderr
        # Alone in it, it is asked for a way out of there.
        systemctl("stop", "beside")
        done = agent.inject("network-partition", target=NGINX, check=False)
        assert done.returncode and "no interface but loopback is up" in done.stderr, done.stderr
    finally:
        drop_in.unlink()
        drop_in.parent.rmdir()
        systemctl("stop", "beside", check=False)
        systemctl("daemon-reload")
        systemctl("restart", "nginx")
        sh("ip", "netns", "del", "shared")
    wait_until(lambda: ask() is not None, what="it answers")


@pytest.mark.parametrize("target", [lambda: NGINX, lambda: PostgreSQL().target], ids=["nginx", "postgresql"])
@pytest.mark.parametrize(
    "fault, parameters",
    [
        ("network-loss", ["percent=20"]),
        ("network-corruption", ["percent=5"]),
        ("network-duplication", ["percent=20"]),
        ("network-reorder", ["percent=25", "latency=20ms"]),
        ("network-rate-limit", ["rate=1Mbit"]),
        ("network-stress", [f"sink={PEER}:9", "rate=1Mbit"]),
    ],
)
def test_every_fault_on_a_network_is_taken_back(agent, fault, parameters, target):
    before = network()
    id = begin(agent, fault, *parameters, target=target())
    report = agent.end(id)
    assert report["revertVerified"], report
    assert network() == before and ask() < 0.3
