"""Every fault on every service: that it hits is seen by its users or in what the kernel counts, and so is that it is taken back."""

import contextlib
import re

import pytest
from host_kit import *
from services import PAYLOAD, Service

MIB = 1 << 20


@pytest.fixture(scope="module")
def installed(tenant, controllers):
    install(tenant)
    return tenant


@pytest.fixture
def hit(service, installed):
    """Has a fault hit the service, and takes it back; then everything is as it was, and nobody has lost anything."""

    @contextlib.contextmanager
    def hit(fault, *parameters, by=installed):
        before = service.settings()
        opened = by.inject(fault, *parameters, target=service.target)
        wait_until(lambda: session(opened["id"])["state"] == "active", what="it is in effect")
        shown = session(opened["id"])["target"]
        assert (shown["unit"], str(shown["process"]["pid"])) == (service.unit, unit_property(service.unit, "MainPID"))
        try:
            yield opened["id"]
        finally:
            report = by.end(opened["id"])
        assert report["revertVerified"], report
        assert service.settings() == before
        assert service.answers() and is_active(service.unit)

    yield hit
    print(log())


def rate(count, seconds=3):
    """How much of what is counted a second."""
    before, begun = count(), time.monotonic()
    time.sleep(seconds)
    return (count() - before) / (time.monotonic() - begun)


def cpus(service):
    return rate(lambda: service.counted("cpu.stat", "usage_usec") / 1e6)


HIT_HERE = {
    "cpu-stress", "cpu-throttle", "container-pause", "process-signal", "memory-stress", "memory-squeeze", "disk-fill", "io-stress",
    "io-throttle",
}  # fmt: skip
ON_THE_NETWORK = {
    "network-latency": ["latency=300ms"], "network-loss": ["percent=50"], "network-partition": [],
    "network-corruption": ["percent=50"], "network-duplication": ["percent=99"], "network-rate-limit": ["rate=1Mbit"],
    "network-reorder": ["percent=50", "latency=200ms"], "network-stress": ["sink=10.88.0.1:5001", "rate=1Mbit"],
}  # fmt: skip
# What a service cannot be hit by, and those of test_services.py, test_clock.py and test_power.py.
ELSEWHERE = {"container-kill", "service-stop", "service-restart", "clock-skew", "host-reboot", "host-power-off"}


def test_none_is_left_out(installed):
    lines = sh("squall", "fault", "list", "--output", "json").stdout.splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {*HIT_HERE, *ON_THE_NETWORK, *ELSEWHERE}


def test_cpu_stress(service, hit):
    assert cpus(service) < 0.15
    with hit("cpu-stress", "load=60", "workers=1"):
        assert 0.4 < cpus(service) < 0.8
    assert cpus(service) < 0.15


def test_cpu_throttle(service, hit):
    fast = service.seconds(service.work)
    with hit("cpu-throttle", "percent=20"):
        before = service.counted("cpu.stat", "throttled_usec")
        slow = service.seconds(service.work)
        assert slow > 2 * fast and service.counted("cpu.stat", "throttled_usec") > before
    assert service.seconds(service.work) < slow / 2


def test_container_pause(service, hit):
    with hit("container-pause"):
        assert unit_property(service.unit, "FreezerState") == "frozen"
        # As curl and timeout say that they have waited in vain.
        assert service.ask().returncode in (28, 124)
    assert unit_property(service.unit, "FreezerState") == "running"


def test_process_signal(service, hit):
    is_hung_up = service.is_hung_up()
    with hit("process-signal", "signal=HUP"):
        wait_until(is_hung_up, what="it has done what SIGHUP tells it")


def test_memory_stress(service, hit):
    before = service.counted("memory.stat", "anon")
    with hit("memory-stress", "size=48MiB"):
        wait_until(lambda: service.counted("memory.stat", "anon") - before > 47 * MIB, what="it is held")
        assert service.ask().returncode == 0
    assert service.counted("memory.stat", "anon") - before < 16 * MIB


def test_memory_squeeze(service, hit):
    service.read_from_disk()
    before, held_back = service.memory(), service.counted("memory.events", "high")
    assert before > PAYLOAD
    with hit("memory-squeeze", "percent=50") as id:
        wait_until(lambda: service.memory() < 0.6 * before, what="it is squeezed")
        (step,) = session(id)["steps"]
        assert step["effect"]["reclaimedBytes"] > 0.3 * before
        # It works on within half of it, being held back.
        service.read_from_disk()
        assert service.memory() < 0.6 * before and service.counted("memory.events", "high") > held_back
    service.read_from_disk()
    assert service.memory() > 0.8 * before


def test_disk_fill(service, hit, installed):
    refused = installed.inject("disk-fill", "size=64MiB", f"path={service.folder}", target=service.target, check=False)
    # A service sees the host's files: the unit alone is not enough.
    assert refused.returncode and "anywhere on the host" in refused.stderr, refused
    before = service.free_space()
    with hit("disk-fill", "size=64MiB", f"path={service.folder}", by=installed.operator):
        wait_until(lambda: abs(before - service.free_space() - 64 * MIB) < 4 * MIB, what="it is taken")
        assert service.ask().returncode == 0
    assert abs(before - service.free_space()) < 4 * MIB


def test_io_stress(service, hit, installed):
    refused = installed.inject("io-stress", f"path={service.folder}", target=service.target, check=False)
    assert refused.returncode and "anywhere on the host" in refused.stderr, refused
    with hit("io-stress", "size=16MiB", f"path={service.folder}", by=installed.operator):
        wait_until(lambda: rate(service.disk_bytes, 1) > MIB, what="the disk is kept busy")
        assert service.ask().returncode == 0
    assert rate(service.disk_bytes) < MIB / 4


def test_io_throttle(service, hit):
    fast = service.read_from_disk()
    with hit("io-throttle", "readBytesPerSec=6MB"):
        slow = service.read_from_disk()
        # Some of it the service may have in memory of its own.
        assert slow > 2 * fast and slow > 0.6 * PAYLOAD / 6e6
    assert service.read_from_disk() < slow / 2


def test_a_service_has_no_container_runtime(service, installed):
    before = service.settings(), service.processes()
    refused = installed.operator.inject("container-kill", target=service.target, check=False)
    assert refused.returncode and "not named as a container" in refused.stderr, refused
    assert (service.settings(), service.processes()) == before and service.answers()


def test_a_killed_service_has_lost_nothing_when_it_is_started(service, installed):
    opened = installed.inject("process-signal", "signal=KILL", target=service.target)
    wait_until(lambda: not is_active(service.unit), what="it is dead")
    ended = wait_until(lambda: (now := session(opened["id"]))["state"] == "ended" and now, what="its session ends")
    assert (ended["ending"], ended["revertVerified"]) == ("target-gone", True), ended
    assert service.ask().returncode not in (0, 28, 124)
    systemctl("start", service.unit)
    wait_until(service.answers, what="it answers again")


# MARK: With a network of its own; on the host's: test_traffic.py


@pytest.fixture(scope="module")
def alone(service):
    """The service in a network namespace, joined by a wire to that of its client."""
    for name in ("own", "client"):
        sh("ip", "netns", "add", name)
    sh("ip", "link", "add", "eth0", "netns", "own", "type", "veth", "peer", "name", "eth0", "netns", "client")
    for number, name in enumerate(["client", "own"], 1):
        for words in ("link set lo up", f"addr add 10.88.0.{number}/24 dev eth0", "link set eth0 up"):
            sh("ip", "-n", name, *words.split())
    service.listen_to_others()
    drop_in = Path(f"/etc/systemd/system/{service.unit}.d/own.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nNetworkNamespacePath=/run/netns/own\n")
    systemctl("daemon-reload")
    systemctl("restart", service.unit)
    service.address = "10.88.0.2"
    wait_until(service.answers, what="it answers from its network")
    yield service
    service.address = None
    drop_in.unlink()
    drop_in.parent.rmdir()
    systemctl("daemon-reload")
    systemctl("restart", service.unit)
    for name in ("own", "client"):
        sh("ip", "netns", "del", name)


def pings(address, pattern, count=40):
    """What of the answers matches."""
    said = sh(*Service.user(address), "ping", "-c", count, "-i", "0.05", "-W", "2", address, check=False).stdout
    return [float(each) for each in re.findall(pattern, said)]


def received_bytes():
    """By the client's interface."""
    (link,) = json.loads(sh("ip", "-n", "client", "-s", "-j", "link", "show", "eth0").stdout)
    return link["stats64"]["rx"]["bytes"]


def is_hit_on_the_network(service, fault):
    address = service.address
    if fault == "network-latency":
        return min(pings(address, r"time=([\d.]+)", count=5)) >= 300
    if fault == "network-partition":
        return service.ask().returncode in (28, 124)
    if fault in ("network-loss", "network-corruption"):
        # So few or so many are lost by chance once in ten million times. What arrives damaged is said to, behind its time.
        return 4 < len(pings(address, r"(?m)time=([\d.]+) ms$")) < 36
    if fault == "network-duplication":
        return len(pings(address, r"time=([\d.]+)")) > 60
    if fault == "network-reorder":
        order = pings(address, r"icmp_seq=(\d+)")
        return order != sorted(order)
    if fault == "network-rate-limit":
        return service.seconds(service.fetch) > service.FETCHED * 8 / 1e6 * 0.8
    if fault == "network-stress":
        return 0.7e6 < rate(received_bytes) * 8 < 1.3e6
    raise AssertionError(f"nobody knows how {fault} is seen")


@pytest.mark.parametrize("fault", ON_THE_NETWORK)
def test_on_a_network_of_its_own(alone, hit, fault):
    assert alone.ask().returncode == 0 and not is_hit_on_the_network(alone, fault)
    with hit(fault, *ON_THE_NETWORK[fault]):
        assert is_hit_on_the_network(alone, fault)
    assert not is_hit_on_the_network(alone, fault)
