"""The programs where this machine's userland is not: in a root with nothing but them, and in those of two Debian releases.
They need of it what every container has: /proc, where Swift reads a program's arguments, /dev/null and /sys/fs/cgroup."""

import contextlib
import http.server
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import IN_NODE, PROGRAMS, ROOT
from local_world import LocalAgent, LocalTarget
from test_cpu_stress import about, load
from test_disk_fill import used

from running_agent import wait_until

MIB = 1 << 20
NAMES = ["squall", "squall-deadman", "squall-gateway", "squall-runtimes", "squall-worker", "squalld"]
DEBIAN = {"bookworm": "12", "trixie": "13"}

pytestmark = pytest.mark.skipif(IN_NODE, reason="needs root file systems of its own, and an agent in them")


# MARK: What they ask for


class Program:
    """What an ELF file asks of whoever starts it."""

    INTERPRETER, NOTES = 3, 4

    def __init__(self, file):
        data = Path(file).read_bytes()
        assert data[:6] == b"\x7fELF\x02\x01", f"{file} is no 64-bit little-endian program"
        offset, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
        headers = [struct.unpack_from("<IIQQQQQQ", data, offset + size * number) for number in range(count)]
        self.segments = [header[0] for header in headers]
        self.notes = {}
        for kind, _, begin, _, _, length, _, align in headers:
            if kind == self.NOTES:
                self.read_notes(data[begin : begin + length], align)

    def read_notes(self, data, align):
        while len(data) >= 12:
            name, description, kind = struct.unpack_from("<III", data)
            begin = 12 + (name + 3) // 4 * 4
            self.notes[data[12 : 12 + name], kind] = data[begin : begin + description]
            data = data[begin + (description + align - 1) // align * align :]

    @property
    def oldest_kernel(self):
        """That it runs on, as the C library says; None where no note says it."""
        note = self.notes.get((b"GNU\0", 1))
        return note and struct.unpack("<IIII", note)[1:]


@pytest.mark.parametrize("name", NAMES)
def test_they_need_no_library_and_no_newer_kernel_than_the_documents_say(name):
    program = Program(PROGRAMS / name)
    assert Program.INTERPRETER not in program.segments
    assert (program.oldest_kernel or (0, 0, 0)) <= (5, 10, 0)
    # Everything of the C library says it; the dead-man's process has none.
    assert (program.oldest_kernel is None) == (name == "squall-deadman")


def test_what_needs_libraries_is_told_from_what_does_not():
    assert Program.INTERPRETER in Program(sys.executable).segments


# MARK: Places


class Place:
    """A root file system with the programs at its top."""

    ENTER = 'mount -t proc none "$0/proc" && mount --rbind /sys/fs/cgroup "$0/sys/fs/cgroup" && exec chroot "$0" "$@"'

    def __init__(self, tree):
        self.tree = tree
        # The gateway is nobody in particular.
        tree.chmod(0o755)
        for name in NAMES:
            shutil.copy2(PROGRAMS / name, tree)
        for folder in ("dev", "proc", "sys/fs/cgroup"):
            (tree / folder).mkdir(parents=True, exist_ok=True)
        os.mknod(tree / "dev/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (tree / "dev/null").chmod(0o666)
        # In a mount namespace of its own, so that nothing stays mounted.
        self.begun_by = ("unshare", "--mount", "sh", "-c", self.ENTER, str(tree))

    def run(self, *words):
        return subprocess.run([*self.begun_by, *map(str, words)], cwd=self.tree, capture_output=True, text=True, timeout=60)

    def squall(self, *words, code=0):
        done = self.run("/squall", *words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def make_place(folder, userland=None):
    if userland:
        source = ROOT / ".build/userlands" / userland
        if not source.is_dir():
            pytest.skip(f"needs Debian {userland}, which scripts/test unpacks where the mirror has it")
        subprocess.run(["cp", "-a", f"{source}/.", folder], check=True)
    return Place(folder)


@pytest.fixture(scope="module", params=["nothing", *DEBIAN])
def place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    place = make_place(folder, None if request.param == "nothing" else request.param)
    place.name = request.param
    yield place
    shutil.rmtree(folder)


def test_the_empty_root_has_nothing_that_others_need(tmp_path):
    place = Place(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == {*NAMES, "dev/null"}
    shutil.copy2(shutil.which("true"), tmp_path / "true")
    done = place.run("/true")
    assert done.returncode == 127 and "No such file or directory" in done.stderr, done


EXPERIMENT = """
apiVersion: squall/v1
kind: Experiment
metadata: {name: say}
spec:
  steps:
    - name: wait
      wait: 1s
"""
NO_AGENT = ["--socket", "nowhere", "--engine-socket", "nowhere"]
SAYINGS = [
    ["squall", "--version"],
    ["squall", "version", "--output", "json"],
    ["squall", "help", "inject"],
    ["squall", "fault", "list", *NO_AGENT],
    ["squall", "fault", "show", "network-latency", *NO_AGENT],
    ["squall", "policy", "schema"],
    ["squall", "policy", "check", "policy.yaml"],
    ["squall", "policy", "check", "wrong.yaml"],
    ["squall", "experiment", "validate", "experiment.yaml"],
    ["squall", "completion", "zsh"],
    ["squalld", "--version"],
    ["squalld", "capabilities", "--policy", "policy.yaml"],
    ["squalld", "--nonsense"],
    ["squall-gateway", "--help"],
    ["squall-runtimes", "--help"],
    ["squall-worker"],
    ["squall-deadman"],
]


@pytest.mark.parametrize("words", SAYINGS, ids=" ".join)
def test_they_say_what_they_say_here(place, words):
    (place.tree / "policy.yaml").write_text('version: 1\ntenants: {shop: {namespaces: [shop], faults: ["cpu-*"]}}\n')
    (place.tree / "wrong.yaml").write_text("version: 1\ntenants: {shop: {faults: [cpu-stres]}}\n")
    (place.tree / "experiment.yaml").write_text(EXPERIMENT)
    there = place.run(f"/{words[0]}", *words[1:])
    here = subprocess.run([PROGRAMS / words[0], *words[1:]], cwd=place.tree, capture_output=True, text=True, timeout=60)
    assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
    refused = {"wrong.yaml": 2, "--nonsense": 64, "squall-worker": 2, "squall-deadman": 64}
    assert there.returncode == refused.get(words[-1], 0)
    # Who reads no words says none.
    assert there.stdout + there.stderr or words == ["squall-deadman"]


# MARK: An agent in them


class PlacedAgent(LocalAgent):
    """With everything where it is unless told otherwise."""

    def __init__(self, place):
        super().__init__(PROGRAMS, place.tree)
        self.begun_by = place.begun_by
        self.api_socket = self.root / "run/squall/squall.sock"
        self.engine_socket = self.root / "run/squalld/engine.sock"
        self.state_directory = self.root / "var/lib/squall"
        self.tenants_directory = self.root / "etc/squall/tenants"
        self.policy_file = self.root / "etc/squall/policy.yaml"
        # Where a container has its volumes.
        for folder in ("run", "var/lib"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def command(self):
        return ["/squalld", "--node-name", self.node_name]


@pytest.fixture(scope="module")
def running(place):
    agent = PlacedAgent(place)
    agent.start()
    yield agent
    assert agent.stop() == 0, agent.log()


@pytest.fixture
def agent(running):
    yield running
    running.end_all_sessions()


@pytest.fixture(scope="module")
def target(place):
    """Of that userland, where there is one."""
    name = f"squall-test-{place.tree.name}-{place.tree.parent.name}"
    target = LocalTarget(name, tree=place.tree if place.name in DEBIAN else None)
    yield target
    target.remove()


def is_lowered(target):
    return target.cpu_limit().split()[0] not in ("max", "-1")


FAULTS = {
    "cpu-stress": ({"load": 40, "workers": 1}, lambda target: load(target, 2) == about(0.4)),
    "cpu-throttle": ({"percent": 50}, is_lowered),
    "memory-stress": ({"size": "32MiB"}, lambda target: target.anonymous_bytes() > 32 * MIB),
    "disk-fill": ({"size": "16MiB"}, lambda target: used(target) >= 16 * MIB),
    "container-pause": ({}, LocalTarget.is_frozen),
}


def begin(agent, target, fault, parameters, duration="60s"):
    session = agent.tenant.begin(fault, target.selector, parameters, duration=duration)
    with agent.tenant.stream(session) as events:
        # What a worker does takes a moment; what the engine writes is done.
        until = "worker-reached" if fault in ("memory-stress", "disk-fill") else "active"
        assert any(event["kind"] == until for event in events)
    return session


@pytest.mark.parametrize("fault", FAULTS)
def test_it_hits_and_takes_back(agent, target, fault):
    parameters, is_hit = FAULTS[fault]
    before = target.state()
    assert not is_hit(target)
    session = begin(agent, target, fault, parameters)
    assert is_hit(target), agent.tenant.read(session)
    report = agent.tenant.end(session).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True), report
    assert target.state() == before and not is_hit(target)


def test_a_killed_engine_is_followed_by_another_that_takes_back(agent, target):
    before = target.state()
    sessions = [begin(agent, target, fault, FAULTS[fault][0]) for fault in ("cpu-throttle", "cpu-stress")]
    assert target.state() != before
    agent.kill_engine()
    for session in sessions:
        report = agent.tenant.wait_until_ended(session)
        assert (report["ending"], report["revertVerified"]) == ("recovered", True), report
    assert target.state() == before


def test_what_an_agent_leaves_is_taken_back_without_one(agent, place, target):
    before = target.state()
    session = begin(agent, target, "cpu-throttle", FAULTS["cpu-throttle"][0])
    agent.kill_all()
    try:
        assert is_lowered(target)
        place.squall("recover", "--offline")
        assert target.state() == before
    finally:
        agent.start()
    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("recovered", True), report


def test_a_tenant_makes_its_key_and_hits_from_there(agent, place, target):
    place.squall("keygen", "--tenant", "late", "--out", "/")
    shutil.copy2(place.tree / "late.jwks.json", agent.tenants_directory)
    checks = json.loads(place.run("/squall", "doctor", "--output", "json").stdout.splitlines()[-1])["checks"]
    state = {check["check"]: check["state"] for check in checks}
    for name in ("gateway", "readiness", "engine", "system-call filters", "tenants", "policy", "journal", "fault cpu-throttle"):
        assert state[name] == "ok", checks
    before = target.state()
    words = ["--pid", target.process.pid, "--key", "/late.key.jwk", "--duration", "60s", "--output", "json"]
    # The engine looks for keys once a second.
    wait_until(lambda: place.run("/squall", "inject", "cpu-throttle", "percent=50", *words, "--dry-run").returncode == 0, 5)
    session = json.loads(place.squall("inject", "cpu-throttle", "percent=50", *words))["id"]
    assert is_lowered(target)
    report = json.loads(place.squall("session", "revert", session, "--key", "/late.key.jwk", "--output", "json"))
    assert report["revertVerified"] and target.state() == before


@contextlib.contextmanager
def shop():
    """A service that says where it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.headers["Host"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_an_experiment_has_the_programs_and_names_of_there(agent, place, target):
    """Had a static program the C library look up a name, that would load modules of its own release."""
    command, said = ["/squall", "--version"], place.squall("--version")
    if place.name in DEBIAN:
        command, said = ["bash", "-c", ". /etc/os-release; echo $VERSION_ID"], f"{DEBIAN[place.name]}\n"
    # Where a script finds what is known so far.
    (place.tree / "tmp").mkdir(exist_ok=True)
    (place.tree / "etc/hosts").write_text("127.0.0.1 shop.internal\n")
    (place.tree / "key.jwk").write_text(json.dumps(agent.tenant.private_jwk))
    with shop() as port:
        url = f"http://shop.internal:{port}/"
        (place.tree / "experiment.yaml").write_text(json.dumps({
            "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "there"},
            "spec": {
                "probes": [{"name": "answers", "mode": "OnChaos", "pollingInterval": "500ms", "http": {"url": url}}],
                "steps": [
                    {"name": "say", "script": {"command": command}},
                    {"name": "throttle", "fault": "cpu-throttle", "parameters": {"percent": 50}, "target": target.selector,
                     "duration": "2s"},
                    {"name": "ask", "http": {"url": url, "method": "GET"}},
                ],
            },
        }))  # fmt: skip
        options = ["--key", "/key.jwk", "--tenant", agent.tenant.name, "--output", "json"]
        result = json.loads(place.squall("experiment", "run", "/experiment.yaml", *options))
    steps = {step["name"]: step for step in result["steps"]}
    assert (result["verdict"], result["score"]) == ("Pass", 100), result
    assert steps["say"]["output"].strip() == said.strip()
    assert steps["ask"]["output"]["body"] == f"shop.internal:{port}"
    assert [session["revertVerified"] for session in result["sessions"]] == [True]
