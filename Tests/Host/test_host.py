"""Faults on the host as a whole: all of it is hit, but for what it is reached by, and a reserve stays."""

import contextlib

import pytest
from host_kit import *

ADDRESS, PEER = "10.77.0.1", "10.77.0.2"
OTHER_ADDRESS, OTHER_PEER = "10.78.0.1", "10.78.0.2"
PORT, AGENT = 8077, 9443
HOST = ["--host"]
MIB = 1 << 20
WHOLE = POLICY.replace("guardrails: {host: allowed}", "guardrails: {host: whole}").replace(
    "root: {host: allowed", "root: {host: whole"
)
# To whoever connects, or asks over UDP, it says one byte.
ECHO = """
import socket, sys, threading
def serve(address, port):
    listener = socket.create_server((address, port))
    while True:
        with listener.accept()[0] as connection:
            connection.sendall(b"x")
def answer(address, port):
    mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mouth.bind((address, port))
    while True:
        mouth.sendto(b"x", mouth.recvfrom(512)[1])
for way in sys.argv[2:]:
    kind, port = way.split(":")
    threading.Thread(target=serve if kind == "tcp" else answer, args=(sys.argv[1], int(port))).start()
"""
ASK = """
import socket, sys, time
kind, source, address, port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
begun = time.monotonic()
with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as asking:
    asking.settimeout(3)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source: asking.bind(("", source))
    asking.connect((address, port))
    if kind == "udp": asking.send(b"?")
    asking.recv(1)
print(time.monotonic() - begun)
"""


def is_listened(port):
    return bool(sh("ss", "-Hltn", f"sport = :{port}").stdout.strip())


@pytest.fixture(scope="module", autouse=True)
def peer(tenant, controllers):
    """Another machine, by two lines; what answers there and here; and an agent whose policy lets the whole host be hit."""
    install(tenant)
    sh("ip", "netns", "add", "peer")
    for name, own, other in (("lan", ADDRESS, PEER), ("lan2", OTHER_ADDRESS, OTHER_PEER)):
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", "peer")
        sh("ip", "addr", "add", f"{own}/24", "dev", name)
        sh("ip", "link", "set", name, "up")
        sh("ip", "-n", "peer", "addr", "add", f"{other}/24", "dev", name)
        sh("ip", "-n", "peer", "link", "set", name, "up")
    here = [f"tcp:{PORT}"] + ([] if is_listened(22) else ["tcp:22"])
    sh("systemd-run", "--unit", "here", "python3", "-c", ECHO, "0.0.0.0", *here)
    sh("systemd-run", "--unit", "there", "ip", "netns", "exec", "peer", "python3", "-c", ECHO, "0.0.0.0",
       "tcp:22", "tcp:53", "udp:53", "tcp:853", f"tcp:{PORT}", f"tcp:{AGENT}")  # fmt: skip
    defaults = Path("/etc/default/squalld")
    known = defaults.read_text() if defaults.exists() else None
    defaults.write_text(f'SQUALLD_OPTIONS="--probe-bind-address 0.0.0.0:{AGENT} --spare-port 51820/udp"\n')
    Path("/etc/squall/policy.yaml").write_text(WHOLE)
    systemctl("restart", "squalld")
    wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")
    for port in (PORT, 22, AGENT):
        wait_until(lambda: asked(ADDRESS, port) is not None, what=f"port {port} answers")
    wait_until(lambda: asks(PEER, 53) is not None, what="the peer answers")
    yield
    systemctl("stop", "here", "there", check=False)
    for name in ("lan", "lan2"):
        sh("ip", "link", "del", name)
    sh("ip", "netns", "del", "peer")
    defaults.unlink() if known is None else defaults.write_text(known)
    tenant.onboard()


@pytest.fixture
def root(tenant):
    yield tenant.operator
    print(log())


def timed(*words, tries=3):
    """Seconds, of the fastest of three; None without an answer."""
    times = []
    for _ in range(tries):
        done = sh(*words, check=False)
        if done.returncode == 0:
            times.append(float(done.stdout))
    return min(times, default=None)


def asked(address, port, kind="tcp", tries=3):
    """Of the host by its peer."""
    if port == AGENT:
        return timed("ip", "netns", "exec", "peer", "curl", "-sf", "-m", 3, "-o", "/dev/null", "-w", "%{time_total}",
                     f"http://{address}:{port}/livez", tries=tries)  # fmt: skip
    return timed("ip", "netns", "exec", "peer", "python3", "-c", ASK, kind, 0, address, port, tries=tries)


def asks(address, port, kind="tcp", source=0, tries=3):
    """Of its peer by the host."""
    return timed("python3", "-c", ASK, kind, source, address, port, tries=tries)


def network():
    shown = [sh("ip", "-o", "link", "show").stdout, sh("tc", "qdisc", "show").stdout]
    for name in ("lan", "lan2"):
        shown += [sh("tc", "filter", "show", "dev", name, hook, check=False).stdout for hook in ("egress", "ingress")]
    return "\n".join(shown)


@contextlib.contextmanager
def hit(tenant, fault, *parameters, target=HOST, alone=True, **more):
    """Has a fault hit the host, and takes it back; its network is as it was then, but where another session goes on."""
    before = network()
    opened = tenant.inject(fault, *parameters, target=target, **more)
    wait_until(lambda: session(opened["id"])["state"] != "applying", what="it is in effect")
    try:
        assert session(opened["id"])["state"] == "active", session(opened["id"])
        yield opened["id"]
    finally:
        report = tenant.end(opened["id"])
    assert report["revertVerified"], report
    assert not alone or network() == before


def planned(tenant):
    return sh("squall", "inject", "network-latency", "--dry-run", *HOST, "--key", tenant.key, check=False)


def test_without_a_word_in_the_policy_it_is_refused(tenant, root):
    done = tenant.inject("network-latency", target=HOST, check=False)
    assert done.returncode and "may not hit the whole host" in done.stderr, done.stderr
    # Both have to say so.
    assert planned(root).returncode == 0
    Path("/etc/squall/policy.yaml").write_text(WHOLE.replace("guardrails: {host: whole}", "guardrails: {host: allowed}"))
    try:
        wait_until(lambda: "may not hit the whole host" in planned(root).stderr, what="it is read")
    finally:
        Path("/etc/squall/policy.yaml").write_text(WHOLE)
    wait_until(lambda: planned(root).returncode == 0, what="it is read")


def test_all_is_late_but_what_it_is_reached_by(root):
    with hit(root, "network-latency", "latency=300ms") as id:
        # The handshake's answer, and what is said; or what asks for the handshake, and what ends it.
        assert asked(ADDRESS, PORT) >= 0.6 and asked(OTHER_ADDRESS, PORT) >= 0.6
        assert asks(PEER, PORT) >= 0.6
        for port in (22, AGENT):
            assert asked(ADDRESS, port) < 0.2, port
        # As a client it is no agent.
        assert asks(PEER, AGENT) >= 0.6
        for port in (22, 53, 853):
            assert asks(PEER, port) < 0.2, port
        assert asks(PEER, 53, "udp") < 0.2
        (step,) = session(id)["steps"]
        assert step["effect"]["packets"] > 0
        for words in ("tcp port 22 (SSH)", f"tcp port {AGENT} (the agent's own API)", "udp port 51820", "DHCP", "(DNS)"):
            assert words in step["summary"], step
    assert asked(ADDRESS, PORT) < 0.2


def test_of_many_interfaces_one_can_be_named(root):
    names = [f"many{number}" for number in range(30)]
    for number, name in enumerate(names):
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", "peer")
        sh("ip", "addr", "add", f"10.79.{number}.1/24", "dev", name)
        sh("ip", "link", "set", name, "up")
    try:
        # What the agent knows of the host's addresses is some seconds old.
        time.sleep(11)
        done = root.inject("network-latency", "latency=300ms", "direction=both", target=HOST, check=False)
        assert done.returncode and "name one of the interfaces" in done.stderr, done.stderr
        with hit(root, "network-latency", "latency=300ms", "direction=both", "interfaces=lan"):
            assert asked(ADDRESS, PORT) >= 1.2 and asked(OTHER_ADDRESS, PORT) < 0.2 and asked(ADDRESS, 22) < 0.2
    finally:
        for name in names:
            sh("ip", "link", "del", name)


def test_dns_is_hit_where_it_is_named(root):
    with hit(root, "network-latency", "latency=300ms", "destinationPorts=53"):
        assert asks(PEER, 53, "udp") >= 0.3 and asks(PEER, 53) >= 0.3
        assert asks(PEER, 853) < 0.2 and asked(ADDRESS, PORT) < 0.2
    # Not in so many words.
    with hit(root, "network-latency", "latency=300ms", "destinationPorts=52-53"):
        assert asks(PEER, 53, "udp") < 0.2


@pytest.mark.parametrize("direction", ["egress", "ingress", "both"])
def test_one_interface_is_hit_in_each_direction(root, direction):
    with hit(root, "network-latency", "latency=300ms", "interfaces=lan", f"direction={direction}"):
        assert asked(ADDRESS, PORT) >= (1.2 if direction == "both" else 0.6)
        assert asked(OTHER_ADDRESS, PORT) < 0.2
        assert asked(ADDRESS, 22) < 0.2 and asks(PEER, 53) < 0.2


def test_what_it_is_reached_by_cannot_be_named(root):
    for parameter, port in (("destinationPorts", 22), ("sourcePorts", 22), ("sourcePorts", AGENT)):
        done = root.inject("network-loss", "percent=50", f"{parameter}={port}", target=HOST, check=False)
        assert done.returncode and "is never hit with the whole host" in done.stderr, done.stderr
        assert parameter in done.stderr, done.stderr


def test_it_is_cut_off_and_still_reached(root):
    with hit(root, "network-partition", "direction=both", duration="30s"):
        assert asked(ADDRESS, PORT, tries=1) is None and asks(PEER, PORT, tries=1) is None
        assert asked(ADDRESS, 22) < 0.2 and asked(ADDRESS, AGENT) < 0.2 and asks(PEER, 53, "udp") < 0.2
        # Neighbours are found, so that the way does not end with what is known of them.
        sh("ip", "neigh", "flush", "dev", "lan")
        assert asked(ADDRESS, 22, tries=1) < 1.5
    assert asked(ADDRESS, PORT) < 0.2


def test_a_unit_is_hit_beside_it(tenant, root):
    target = ["--unit", "here"]
    with hit(root, "network-latency", "latency=300ms", target=target):
        assert 0.6 <= asked(ADDRESS, PORT) < 1.1
        with hit(root, "network-latency", "latency=300ms", alone=False):
            assert asked(ADDRESS, PORT) >= 1.2
            assert 0.6 <= asks(PEER, PORT) < 1.1
            assert asked(ADDRESS, AGENT) < 0.2
        assert 0.6 <= asked(ADDRESS, PORT) < 1.1
    with hit(root, "network-latency", "latency=300ms"):
        with hit(root, "network-latency", "latency=300ms", target=target, alone=False):
            assert asked(ADDRESS, PORT) >= 1.2
        assert 0.6 <= asked(ADDRESS, PORT) < 1.1


@pytest.mark.parametrize(
    "fault, parameters",
    [
        ("network-loss", ["percent=20"]),
        ("network-corruption", ["percent=5"]),
        ("network-duplication", ["percent=20"]),
        ("network-reorder", ["percent=25", "latency=20ms"]),
        ("network-rate-limit", ["rate=1Mbit", "direction=both"]),
    ],
)
def test_every_fault_on_its_network_is_taken_back(root, fault, parameters):
    with hit(root, fault, *parameters):
        for _ in range(20):
            asked(ADDRESS, PORT, tries=1)
        assert asked(ADDRESS, 22) < 0.2
    assert asked(ADDRESS, PORT) < 0.2


def test_a_killed_agent_takes_it_back(root):
    before = network()
    id = root.inject("network-latency", "latency=300ms", "direction=both", target=HOST)["id"]
    wait_until(lambda: session(id)["state"] == "active", what="it is in effect")
    kill_agent()
    wait_until(lambda: session(id)["state"] == "ended", what="it is taken back")
    assert session(id)["revertVerified"] and network() == before and asked(ADDRESS, PORT) < 0.2


@pytest.mark.parametrize("parameters", [[], ["interfaces=lan", "direction=both"]], ids=["all", "lan"])
def test_without_an_agent_it_ends_at_its_deadline(root, parameters):
    before = network()
    root.inject("network-latency", "latency=300ms", *parameters, target=HOST, duration="20s")
    systemctl("mask", "--runtime", "squalld")
    try:
        sh("systemctl", "kill", "--signal=KILL", "--kill-whom=all", "squalld")
        assert asked(ADDRESS, PORT, tries=1) >= 0.6 and asked(ADDRESS, 22) < 0.2
        wait_until(lambda: network() == before, what="nothing is left of it")
        assert asked(ADDRESS, PORT) < 0.2
    finally:
        systemctl("unmask", "--runtime", "squalld")
        systemctl("restart", "squalld")
        wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")


def memory(name="MemAvailable"):
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def reserve():
    return max(memory("MemTotal") // 10, 256 * MIB)


def test_memory_is_held_but_for_a_reserve(root):
    for parameters in (["percent=95", "of=node"], [f"size={memory('MemTotal') // MIB}MiB"]):
        done = root.inject("memory-stress", *parameters, target=HOST, check=False)
        assert done.returncode and "would leave less than" in done.stderr, done.stderr
    done = root.inject("memory-stress", "percent=50", target=HOST, check=False)
    assert done.returncode and "or say of=node" in done.stderr, done.stderr
    before = memory()
    size = before - reserve() - 128 * MIB
    with hit(root, "memory-stress", f"size={size // MIB}MiB") as id:
        wait_until(lambda: before - memory() > size * 0.9, what="it is held")
        assert memory() > reserve() / 2 and asked(ADDRESS, 22) < 2
        (worker,) = workers(id)
        assert Path(f"/proc/{worker}/oom_score_adj").read_text().strip() == "1000"
        assert Path(f"/proc/{worker}/cgroup").read_text().splitlines()[-1] == "0::/"
    wait_until(lambda: memory() > before - size / 4, what="it is given back")


def test_memory_is_given_back_when_others_need_it(root):
    opened = root.inject("memory-stress", f"size={(memory() - reserve()) // MIB - 64}MiB", target=HOST)
    held = bytearray()
    try:
        while session(opened["id"])["state"] != "ended" and len(held) < 2 * reserve():
            held += b"x" * (32 * MIB)
            time.sleep(0.2)
        report = session(opened["id"])
        assert report["state"] == "ended" and report["ending"] == "fault-ended", report
        # The kernel had no reason to kill anybody.
        events = sh("squall", "session", "watch", opened["id"], "--key", root.key, "--output", "json", check=False).stdout
        assert "worker-ended" in events and "in reserve" in events and "killed at" not in events, events
    finally:
        del held


def kills():
    """Of processes, for want of memory, on all of the machine."""
    return int(dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())["oom_kill"])


def test_who_ended_it_is_told_whoever_else_the_kernel_killed(root):
    opened = root.inject("memory-stress", f"size={(memory() - reserve()) // MIB - 64}MiB", target=HOST)
    held = bytearray()
    try:
        wait_until(lambda: session(opened["id"])["state"] == "active", what="it is in effect")
        before = kills()
        sh("systemd-run", "--wait", "--property", "MemoryMax=24M", "--property", "MemorySwapMax=0",
           "python3", "-c", "len(b'x' * (64 << 20))", check=False)  # fmt: skip
        assert kills() > before
        while session(opened["id"])["state"] != "ended" and len(held) < 2 * reserve():
            held += b"x" * (32 * MIB)
            time.sleep(0.2)
        report = session(opened["id"])
        assert report["state"] == "ended" and report["ending"] == "fault-ended", report
        events = sh("squall", "session", "watch", opened["id"], "--key", root.key, "--output", "json", check=False).stdout
        assert "worker-ended" in events and "in reserve" in events and "worker-oom-killed" not in events, events
    finally:
        del held


@contextlib.contextmanager
def running_unit(name, *properties):
    sh("systemd-run", "--unit", name, *(word for each in properties for word in ("--property", each)), "sleep", "infinity")
    try:
        yield ["--unit", name]
    finally:
        systemctl("stop", name, check=False)


def test_a_unit_without_a_limit_leaves_the_same_reserve(root):
    with running_unit("boundless") as target:
        size = (memory() - reserve()) // MIB + 64
        done = root.inject("memory-stress", f"size={size}MiB", target=target, check=False)
        assert done.returncode and "would leave less than" in done.stderr, done.stderr
        done = root.inject("memory-stress", "size=8MiB", "oomScoreAdj=0", target=target, check=False)
        assert done.returncode and "the kernel kills first" in done.stderr, done.stderr
    with running_unit("bounded", "MemoryMax=64M") as target:
        with hit(root, "memory-stress", "size=8MiB", "oomScoreAdj=0", target=target):
            pass


def test_memory_of_a_unit_without_a_limit_is_given_back_when_others_need_it(root):
    with running_unit("boundless") as target:
        opened = root.inject("memory-stress", f"size={(memory() - reserve()) // MIB - 64}MiB", target=target)
        held = bytearray()
        try:
            while session(opened["id"])["state"] != "ended" and len(held) < 2 * reserve():
                held += b"x" * (32 * MIB)
                time.sleep(0.2)
            report = session(opened["id"])
            assert report["state"] == "ended" and report["ending"] == "fault-ended", report
            assert is_active("boundless")
        finally:
            del held


@pytest.fixture
def in_memory():
    """A tmpfs that says it has as much room as the host has memory."""
    folder = Path("/mnt/in-memory")
    folder.mkdir(exist_ok=True)
    sh("mount", "-t", "tmpfs", "-o", f"size={memory('MemTotal')}", "none", folder)
    yield folder
    sh("umount", folder)
    folder.rmdir()


def test_files_in_memory_leave_its_reserve(root, in_memory):
    parameters = [f"path={in_memory}", "reserve=1", "visible=true"]
    with running_unit("boundless") as unit:
        for target in (HOST, unit):
            done = root.inject("disk-fill", "percent=95", *parameters, target=target, check=False)
            assert done.returncode and "would leave less than" in done.stderr, done.stderr
            with hit(root, "disk-fill", "size=64MiB", *parameters, target=target) as id:
                wait_until(lambda: session(id)["steps"][0].get("effect", {}).get("diskBytes", 0) >= 64 * MIB, what="it is filled")
            assert not list(in_memory.iterdir())


def test_a_ramfs_is_not_filled(root, tmp_path):
    sh("mount", "-t", "ramfs", "none", tmp_path)
    try:
        done = root.inject("disk-fill", f"path={tmp_path}", "size=1MiB", target=HOST, check=False)
        assert done.returncode and "no size that would bound it" in done.stderr, done.stderr
    finally:
        sh("umount", tmp_path)


def test_files_in_memory_go_when_others_need_it(root, in_memory):
    size = (memory() - reserve()) // MIB - 64
    opened = root.inject("disk-fill", f"path={in_memory}", f"size={size}MiB", "reserve=1", "visible=true", target=HOST)
    held = bytearray()
    try:
        while session(opened["id"])["state"] != "ended" and len(held) < 2 * reserve():
            held += b"x" * (32 * MIB)
            time.sleep(0.2)
        report = session(opened["id"])
        assert report["state"] == "ended" and report["ending"] == "fault-ended" and report["revertVerified"], report
        assert not list(in_memory.iterdir())
    finally:
        del held


@pytest.mark.parametrize("fault", ["disk-fill", "io-stress"])
def test_a_part_of_the_host_fills_no_container_s_files(root, fault):
    volume = Path("/var/lib/kubelet/pods/0/volumes/data")
    new = next(folder for folder in reversed([volume, *volume.parents]) if not folder.exists())
    volume.mkdir(parents=True)
    link, mount = Path("/srv/linked"), Path("/srv/mounted")
    link.symlink_to(volume)
    mount.mkdir()
    sh("mount", "--bind", volume, mount)
    try:
        with running_unit("neighbour") as target:
            for path in (volume, link, mount, "/var/lib/squall"):
                done = root.inject(fault, "size=1MiB", f"path={path}", target=target, check=False)
                assert done.returncode and "of containers or of the agent" in done.stderr, (path, done.stderr)
            with hit(root, fault, "size=1MiB", "path=/srv", target=target):
                pass
        # All of the host is all of it.
        with hit(root, fault, "size=1MiB", f"path={volume}"):
            pass
    finally:
        sh("umount", mount)
        mount.rmdir()
        link.unlink()
        sh("rm", "-r", new)


def workers(id):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"squall-worker" in words[0] and any(id.encode() in word for word in words):
            found.append(process.name)
    return found


def busy():
    """CPUs' worth of work in a second or two."""

    def idle():
        fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]))
        return sum(fields), fields[3] + fields[4]

    (whole, idle_before), _ = idle(), time.sleep(2)
    whole_after, idle_after = idle()
    return (1 - (idle_after - idle_before) / (whole_after - whole)) * os.cpu_count()


def test_every_cpu_is_busy_and_somebody_can_log_in(root):
    with hit(root, "cpu-stress", "load=100"):
        assert busy() > 0.85 * os.cpu_count()
        assert asked(ADDRESS, 22) < 2
    done = root.inject("cpu-stress", f"workers={os.cpu_count() + 1}", target=HOST, check=False)
    assert done.returncode and "would leave the rest of the host too little" in done.stderr, done.stderr


def test_all_sessions_together_have_a_thread_for_each_cpu(root):
    with hit(root, "cpu-stress", "load=10"):
        done = root.inject("cpu-stress", "load=10", "workers=1", target=HOST, check=False)
        assert done.returncode and "burn CPU time of the whole host already" in done.stderr, done.stderr
        # Its own share of the CPUs bounds a part of the host.
        with running_unit("part") as target, hit(root, "cpu-stress", "load=5", "workers=1", target=target, alone=False):
            pass
    with hit(root, "cpu-stress", "load=10", "workers=1"):
        pass


def test_a_killed_agent_leaves_no_worker(root):
    id = root.inject("cpu-stress", "load=50", target=HOST)["id"]
    wait_until(lambda: workers(id), what="it works")
    kill_agent()
    wait_until(lambda: session(id)["state"] == "ended", what="it is taken back")
    assert session(id)["revertVerified"] and not workers(id)


def test_a_disk_is_filled_but_for_a_reserve(root):
    space = os.statvfs("/var/tmp")
    before = space.f_bavail * space.f_frsize
    with hit(root, "disk-fill", "path=/var/tmp", "size=64MiB") as id:
        wait_until(lambda: before - os.statvfs("/var/tmp").f_bavail * space.f_frsize > 60 * MIB, what="it is filled")
    done = root.inject("disk-fill", "path=/var/tmp", "percent=99", target=HOST, check=False)
    assert done.returncode and "stay free" in done.stderr, done.stderr
    with hit(root, "io-stress", "path=/var/tmp", "size=16MiB") as id:
        wait_until(lambda: session(id)["steps"][0].get("effect", {}).get("writeOps"), what="it works")


@pytest.mark.parametrize(
    "fault, parameters",
    [
        ("cpu-throttle", ["percent=50"]),
        ("memory-squeeze", []),
        ("io-throttle", []),
        ("container-pause", []),
        ("container-kill", []),
        ("process-signal", ["signal=CONT"]),
        ("service-stop", []),
        ("service-restart", []),
        ("network-stress", [f"sink={PEER}:9"]),
    ],
)
def test_what_parts_alone_can_have_is_refused(root, fault, parameters):
    done = root.inject(fault, *parameters, target=HOST, check=False)
    assert done.returncode and f"{fault} hits a part of the host, and never all of it" in done.stderr, done.stderr
    assert "name a unit" in done.stderr, done.stderr


def test_it_is_shown(root):
    shown = sh("squall", "target", "show", *HOST).stdout
    assert "the whole host" in shown and "spare what the host is reached by" in shown, shown
    plan = sh("squall", "inject", "network-latency", "--dry-run", *HOST, "--key", root.key).stdout
    for words in ("the whole host", "everything on the host", "port 22 (SSH)", "what containers send"):
        assert words in plan, plan
