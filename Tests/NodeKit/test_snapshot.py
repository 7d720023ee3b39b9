"""A snapshot sees every kind of leftover. Runs on the test node, as root."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from nodekit import snapshot

with open("/run/pods.json") as file:
    WEB, DB = json.load(file)
CGROUP = f"/sys/fs/cgroup/kubepods/burstable/pod{WEB['uid']}/{WEB['container']}"
IN_POD = f"in /kubepods/burstable/pod{WEB['uid']}/"


def run(command):
    subprocess.run(command, shell=True, check=True)


@contextlib.contextmanager
def planted(command, undo):
    run(command)
    yield
    run(undo)


@contextlib.contextmanager
def planted_in_pod(command, undo):
    enter = f"nsenter --target {WEB['pid']} --net"
    with planted(f"{enter} {command}", f"{enter} {undo}"):
        yield


@contextlib.contextmanager
def planted_setting(path, value):
    with open(path, "r+") as file:
        previous = file.read()
        file.write(value)
    yield
    with open(path, "w") as file:
        file.write(previous)


@contextlib.contextmanager
def planted_file(path, mode=0o644):
    with open(path, "w") as file:
        file.write("left behind")
    os.chmod(path, mode)
    yield
    os.unlink(path)


@contextlib.contextmanager
def planted_process(*command, cgroup=None):
    process = subprocess.Popen([*command, "sleep", "86400"])
    if cgroup:
        with open(f"{cgroup}/cgroup.procs", "w") as file:
            file.write(str(process.pid))
    yield process
    process.kill()
    process.wait()


@contextlib.contextmanager
def planted_descriptor():
    """A network namespace with no process in it and no name, only a descriptor."""
    program = """
import os, time
home = os.open("/proc/self/ns/net", os.O_RDONLY)
os.unshare(os.CLONE_NEWNET)
kept = os.open("/proc/self/ns/net", os.O_RDONLY)
os.setns(home, os.CLONE_NEWNET)
print("ready", flush=True)
time.sleep(86400)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield
        process.kill()


@contextlib.contextmanager
def changed_process(pid):
    os.kill(pid, signal.SIGSTOP)
    os.setpriority(os.PRIO_PROCESS, pid, 5)
    os.sched_setaffinity(pid, {0})
    yield
    os.sched_setaffinity(pid, {0, 1})
    os.setpriority(os.PRIO_PROCESS, pid, 0)
    os.kill(pid, signal.SIGCONT)


def plant_everything(stack):
    """Plants one leftover of each kind. Their undoing is pushed on the stack, so it goes backwards."""
    plants = [
        planted_in_pod("ip link add left0 type bridge", "ip link delete left0"),
        # The kernel takes no alias while it makes a link.
        planted_in_pod("ip link set left0 alias leftover", "true"),
        planted_in_pod("ip address add 192.0.2.1/32 dev lo", "ip address delete 192.0.2.1/32 dev lo"),
        planted_in_pod("ip route add 198.51.100.0/24 dev eth0", "ip route delete 198.51.100.0/24 dev eth0"),
        planted_in_pod("ip rule add from 192.0.2.1 table 77", "ip rule delete from 192.0.2.1 table 77"),
        # The first qdisc on a link without a queue sets its txqueuelen (see qdisc_create in the kernel).
        planted_in_pod("true", "ip link set eth0 txqueuelen 0"),
        planted_in_pod("tc qdisc add dev eth0 clsact", "tc qdisc delete dev eth0 clsact"),
        planted_in_pod("tc filter add dev eth0 egress matchall action pass", "tc filter delete dev eth0 egress"),
        planted_in_pod("tc filter add dev eth0 ingress matchall action pass", "tc filter delete dev eth0 ingress"),
        planted_in_pod("tc qdisc add dev left0 root handle 1: htb", "tc qdisc delete dev left0 root"),
        planted_in_pod("tc class add dev left0 parent 1: classid 1:7 htb rate 1mbit", "true"),
        planted_in_pod("tc filter add dev left0 parent 1: matchall flowid 1:7", "true"),
        planted_in_pod("tc qdisc add dev left0 parent 1:7 netem delay 1ms", "true"),
        planted_in_pod("tc actions add action pass index 99", "tc actions delete action gact index 99"),
        planted_in_pod("nft add table inet leftover", "nft delete table inet leftover"),
        # Not `ip netns`, which also makes /run/netns a mount, for good.
        planted("touch /run/netns/leftover && unshare --net=/run/netns/leftover true",
                "umount /run/netns/leftover && rm /run/netns/leftover"),
        planted_descriptor(),
        planted("mkdir /sys/fs/cgroup/system/leftover", "rmdir /sys/fs/cgroup/system/leftover"),
        planted_setting(f"{CGROUP}/cpu.max", "50000 100000"),
        planted_setting(f"{CGROUP}/memory.high", "100000000"),
        planted_process(cgroup=CGROUP),
        changed_process(DB["pid"]),
        planted_file("/tmp/leftover"),
        planted_file("/dev/shm/leftover", mode=0o4755),
        planted_file(f"/proc/{WEB['pid']}/root/leftover"),
        planted("mkdir /run/leftover && mount -t tmpfs leftover /run/leftover",
                "umount /run/leftover && rmdir /run/leftover"),
        planted(f"nsenter --target {WEB['pid']} --mount busybox mount -t tmpfs tmpfs /tmp",
                f"nsenter --target {WEB['pid']} --mount busybox umount /tmp"),
    ]  # fmt: skip
    for plant in plants:
        stack.enter_context(plant)


EXPECTED = {
    "link": [f"link {IN_POD}", "dev left0: extra", '"ifalias": "leftover"'],
    "address": [f"address {IN_POD}", "dev lo 192.0.2.1/32: extra"],
    "route": [f"route {IN_POD}", "198.51.100.0/24 dev eth0 table main: extra"],
    "rule": [f"rule {IN_POD}", "table 77: extra"],
    "clsact": [f"qdisc {IN_POD}", "dev eth0 parent ffff:fff1: extra"],
    "queue length": [f"link {IN_POD}", "dev eth0: txqlen: null became 1000"],
    "root qdisc": [f"qdisc {IN_POD}", "dev left0 root: extra", '"kind": "htb"'],
    "child qdisc": [f"qdisc {IN_POD}", "dev left0 parent 1:7: extra", '"kind": "netem"'],
    "class": [f"class {IN_POD}", "dev left0 htb 1:7: extra"],
    "egress filter": [f"filter {IN_POD}", "dev eth0 egress pref", "extra"],
    "ingress filter": [f"filter {IN_POD}", "dev eth0 ingress pref", "extra"],
    "filter of a qdisc": [f"filter {IN_POD}", "dev left0 parent 1: pref", "extra"],
    "action": [f"action {IN_POD}", "gact 99: extra"],
    "nft table": [f"nft {IN_POD}", "table inet", "leftover: extra"],
    "named network namespace": ["link in /run/netns/leftover dev lo: extra"],
    "its file": ["file /run/netns/leftover: extra"],
    "namespace held by a descriptor": ["link in net:[", "dev lo: extra"],
    "cgroup": ["cgroup /sys/fs/cgroup/system/leftover: extra"],
    "cpu.max": [f'cgroup {CGROUP}: cpu.max: "100000 100000\\n" became "50000 100000\\n"'],
    "memory.high": [f"cgroup {CGROUP}: memory.high:"],
    "process in a cgroup": [f"cgroup {CGROUP}: processes: extra", "sleep"],
    "process": ["process ", "extra", '"sleep", "86400"', f'"cgroup": "{CGROUP.removeprefix("/sys/fs/cgroup")}"'],
    "stopped process": [f"process {DB['pid']} started", 'state: "alive" became "stopped"'],
    "niced process": [f"process {DB['pid']} started", "nice: 0 became 5"],
    "pinned process": [f"process {DB['pid']} started", "affinity: missing 1"],
    "file": ["file /tmp/leftover: extra"],
    "file with a mode": ["file /dev/shm/leftover: extra", '"0o4755"'],
    "file in a container": [f"file {IN_POD}{WEB['container']} /leftover: extra"],
    "mount": ["mount in node /run/leftover: extra"],
    "mount in a container": [f"mount {IN_POD}{WEB['container']} /tmp: extra"],
}


@pytest.fixture(scope="module")
def before():
    return snapshot.take()


@pytest.fixture(scope="module")
def differences(before):
    with contextlib.ExitStack() as stack:
        plant_everything(stack)
        return snapshot.compare(before, snapshot.take())


def test_nothing_done_makes_no_difference(before):
    assert snapshot.compare(before, snapshot.take()) == []


@pytest.mark.parametrize("kind", EXPECTED)
def test_sees_a_leftover(differences, kind):
    parts = EXPECTED[kind]
    matching = [line for line in differences if line.startswith(parts[0]) and all(part in line for part in parts)]
    assert matching, "not among:\n" + "\n".join(differences)


def test_sees_what_is_missing(before):
    [missing] = snapshot.compare({"link": {"in node dev a": {}}}, {}, ignores=[])
    assert missing == "link in node dev a: missing {}"


def test_leftovers_that_were_taken_back_make_no_difference(before, differences):
    assert snapshot.compare(before, snapshot.take()) == []


def test_an_ignored_field_does_not_hide_an_extra_key():
    ignores = [{"kind": "file", "key": "/log", "field": "size", "reason": "grows"}]
    assert snapshot.compare({"file": {"/log": {"size": 1}}}, {"file": {"/log": {"size": 2}}}, ignores) == []
    assert snapshot.compare({}, {"file": {"/log": {"size": 2}}}, ignores) == ['file /log: extra {"size": 2}']


def test_every_ignore_has_a_reason():
    for entry in snapshot.load_ignores():
        assert {"kind", "key", "reason"} <= entry.keys() <= {"kind", "key", "field", "reason"}
        assert entry["reason"].endswith(".")


def test_the_command_compares_files(tmp_path):
    files = []
    for name, state in {"before": {"link": {}}, "after": {"link": {"dev x": {}}}}.items():
        files.append(tmp_path / name)
        files[-1].write_text(json.dumps(state))
    command = [sys.executable, "-m", "nodekit.snapshot", "compare"]
    options = {"cwd": os.path.dirname(__file__), "capture_output": True, "text": True}
    same = subprocess.run([*command, files[0], files[0]], **options)
    different = subprocess.run([*command, *files], **options)
    assert (same.returncode, same.stdout) == (0, "no differences\n")
    assert (different.returncode, different.stdout) == (1, "link dev x: extra {}\n")
