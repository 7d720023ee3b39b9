"""Containers of Docker and Podman on a host without Kubernetes: by name and identifier, of their tenants, across restarts."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest
from host_kit import *

IMAGE = "localhost/busybox"
MIB = 1 << 20
SOCKETS = {"docker": "/run/docker.sock", "podman": "/run/podman/podman.sock"}
SERVICES = {"docker": ["docker.socket", "docker.service"], "podman": ["podman.socket", "podman.service"]}
SETTINGS = ("cpu.max", "memory.high", "memory.max", "cgroup.freeze", "io.max")


class Engine:
    def __init__(self, program):
        self.program = program
        self.socket = SOCKETS[program]

    def __call__(self, *words, check=True):
        return sh(self.program, *words, check=check).stdout.strip()

    def run(self, name, *options, command=("sleep", "100000")):
        self("run", "--detach", "--name", name, *options, IMAGE, "/bin/busybox", *command)
        return Container(self, name)


class Container:
    def __init__(self, engine, name):
        self.engine, self.name, self.target = engine, name, ["--container", name]

    def told(self, template):
        return self.engine("inspect", "--format", template, self.name)

    @property
    def id(self):
        return self.told("{{.Id}}")

    @property
    def pid(self):
        return int(self.told("{{.State.Pid}}"))

    @property
    def is_running(self):
        return self.told("{{.State.Running}}") == "true"

    @property
    def address(self):
        return self.told("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    @property
    def cgroup(self):
        return Path("/sys/fs/cgroup" + Path(f"/proc/{self.pid}/cgroup").read_text().strip().removeprefix("0::"))

    def file(self, name):
        return (self.cgroup / name).read_text().strip()

    def settings(self):
        return {name: self.file(name) for name in SETTINGS if (self.cgroup / name).exists()}

    def counted(self, file, name):
        return int(dict(line.split() for line in self.file(file).splitlines())[name])

    def get(self, address, *options):
        """As a program in its network does it."""
        return sh("nsenter", "-t", self.pid, "-n", "curl", "-sf", "--max-time", 10, *options, f"http://{address}/", check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "root/bin").mkdir(parents=True)
    (folder / "root/tmp").mkdir()
    sh("cp", "/usr/bin/busybox", folder / "root/bin/busybox")
    (folder / "root/index.html").write_text("ok\n")
    sh("tar", "-C", folder / "root", "-cf", folder / "image.tar", ".")
    return folder / "image.tar"


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(request, image):
    program = request.param
    if program == "docker":
        # They outlive their daemon, as Podman's do.
        Path("/etc/docker").mkdir(exist_ok=True)
        Path("/etc/docker/daemon.json").write_text('{"live-restore": true}\n')
    systemctl("start", *(unit for unit in SERVICES[program] if unit != "podman.service"))
    engine = Engine(program)
    engine("import", image, IMAGE)
    yield engine
    engine("rm", "--force", *engine("ps", "--all", "--quiet").split(), check=False)
    systemctl("stop", *SERVICES[program], *(["containerd"] if program == "docker" else []))
    if program == "docker":
        # It leaves its firewall behind, which would forward nothing for Podman.
        sh("iptables", "--policy", "FORWARD", "ACCEPT")


@pytest.fixture(scope="module")
def agent(tenant, controllers, engine):
    install(tenant)
    yield tenant
    print(log())


@pytest.fixture
def containers(engine, agent):
    """Makes containers that are removed at the end."""
    made = []

    def make(name, *options, **arguments):
        container = engine.run(name, *options, **arguments)
        made.append(container)
        return container

    yield make
    # Who has joined another's network goes first.
    for container in reversed(made):
        engine("rm", "--force", container.name, check=False)


def begun(tenant, fault, *parameters, target, **options):
    opened = tenant.inject(fault, *parameters, target=target, **options)
    wait_until(lambda: session(opened["id"])["state"] == "active", what="it is in effect")
    return opened["id"]


def free_space():
    status = os.statvfs("/var/lib")
    return status.f_bfree * status.f_frsize


def ended(id, timeout=30):
    return wait_until(lambda: (now := session(id))["state"] == "ended" and now, timeout, f"session {id} has ended")


def refusal(tenant, container):
    done = tenant.inject("cpu-throttle", "percent=50", target=["--container", container], check=False)
    assert done.returncode, done
    return done.stderr


def test_it_is_found_without_being_told(agent, engine):
    doctor = sh("squall", "doctor").stdout
    (line,) = [line for line in doctor.splitlines() if engine.socket in line]
    assert re.search(rf"{engine.program} \d+\.\d+", line), doctor
    assert "/run/containerd" not in doctor or engine.program == "docker", doctor


def test_nobody_but_root_is_let_in_and_the_process_has_no_capability(agent, engine):
    (process,) = sh("pgrep", "-x", "squall-runtimes").stdout.split()
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line)
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}, status
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1" and status["Uid"].split()[0] == "0"


def user_of_runtimes():
    found = sh("pgrep", "-x", "squall-runtimes", check=False).stdout.split()
    if len(found) != 1:
        return None
    status = Path(f"/proc/{found[0]}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("Uid:"))


def restart_agent():
    main = int(unit_property("squalld", "MainPID"))
    systemctl("restart", "squalld")
    wait_for_another_agent(main)


def test_it_is_root_only_where_there_is_a_socket(agent, engine):
    """Behind a folder that only root enters nobody else sees whether there is one."""
    if engine.program != "podman":
        pytest.skip("Docker's socket is in a folder that everybody enters")
    folder = Path(engine.socket).parent
    systemctl("stop", *SERVICES["podman"])
    try:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        for socket in SOCKETS.values():
            Path(socket).unlink(missing_ok=True)
        restart_agent()
        sh("squall", "doctor")
        wait_until(lambda: user_of_runtimes() == 65533, what="its own user again")
        # It is not started again and again.
        process = sh("pgrep", "-x", "squall-runtimes").stdout
        sh("squall", "doctor")
        time.sleep(3)
        sh("squall", "doctor")
        assert sh("pgrep", "-x", "squall-runtimes").stdout == process
    finally:
        systemctl("start", "podman.socket")
        folder.chmod(0o700)
    # What comes later is found all the same.
    wait_until(lambda: user_of_runtimes() == 0, 40, "root, for the socket")
    wait_until(lambda: re.search(r"podman \d", sh("squall", "doctor", check=False).stdout), what="it is found")


LISTENER = """
import os, socket, sys, time
os.setuid(65534)
os.umask(0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
time.sleep(1000)
"""


def test_nobody_else_is_believed_at_its_socket(agent, engine):
    """Whoever listens there would say whose a container is."""
    other = SOCKETS["podman" if engine.program == "docker" else "docker"]
    Path(other).parent.mkdir(exist_ok=True)
    Path(other).unlink(missing_ok=True)
    folder = Path("/run/squall-listener")
    folder.mkdir(exist_ok=True)
    os.chown(folder, 65534, 65534)
    made = folder / "made.sock"
    listener = subprocess.Popen([sys.executable, "-c", LISTENER, made], stdout=subprocess.PIPE, text=True)
    try:
        assert listener.stdout.readline() == "listens\n"
        made.rename(other)
        doctor = wait_until(
            lambda: (told := sh("squall", "doctor", check=False).stdout) and "user 65534 listens there" in told and told,
            what="it is told",
        )
        assert re.search(rf"{engine.program} \d", doctor), doctor
    finally:
        Path(other).unlink(missing_ok=True)
        made.unlink(missing_ok=True)
        listener.kill()
        listener.wait()


def test_it_is_named_by_name_and_identifier(agent, engine, containers):
    container = containers("shop-db")
    for words in (container.name, container.id, container.id[:12]):
        id = begun(agent, "cpu-throttle", "percent=50", target=["--container", words])
        report = session(id)
        assert report["target"]["container"] == {"id": container.id, "name": "shop-db"}, report
        assert report["target"]["process"]["pid"] == container.pid
        assert agent.end(id)["revertVerified"]
    shown = sh("squall", "target", "show", "--container", "shop-db").stdout
    assert "container shop-db" in shown and container.id in shown, shown


@contextlib.contextmanager
def hit(tenant, container, fault, *parameters):
    before = container.settings()
    id = begun(tenant, fault, *parameters, target=container.target)
    try:
        yield id
    finally:
        report = tenant.end(id)
    assert report["revertVerified"], report
    assert container.settings() == before and container.is_running


def test_its_resources_are_hit(agent, containers):
    container = containers("shop-db")
    with hit(agent, container, "cpu-throttle", "percent=20"):
        assert not container.file("cpu.max").startswith("max")
    with hit(agent, container, "cpu-stress", "load=50", "workers=1"):
        before = container.counted("cpu.stat", "usage_usec")
        time.sleep(3)
        assert container.counted("cpu.stat", "usage_usec") - before > 600_000
    with hit(agent, container, "memory-stress", "size=32MiB"):
        wait_until(lambda: container.counted("memory.stat", "anon") > 31 * MIB, what="it is held")
    before = free_space()
    with hit(agent, container, "disk-fill", "size=64MiB", "path=/tmp"):
        wait_until(lambda: before - free_space() > 60 * MIB, what="it is taken")
    assert before - free_space() < 32 * MIB and list(Path(f"/proc/{container.pid}/root/tmp").iterdir()) == []
    with hit(agent, container, "container-pause"):
        assert container.file("cgroup.freeze") == "1"


def test_its_network_is_hit(agent, containers):
    server = containers("shop-web", command=("httpd", "-f", "-p", "80", "-h", "/"))
    client = containers("shop-client")
    address = server.address

    def seconds():
        done = client.get(address, "--output", "/dev/null", "--write-out", "%{time_total}")
        assert done.returncode == 0, done
        return float(done.stdout)

    wait_until(lambda: client.get(address).stdout == "ok\n", what="it answers")
    assert seconds() < 0.3
    with hit(agent, server, "network-latency", "latency=400ms"):
        assert seconds() > 0.8
    assert seconds() < 0.3
    with hit(agent, server, "network-partition"):
        assert client.get(address, "--max-time", 2).returncode == 28
    assert seconds() < 0.3


def test_on_the_hosts_network_only_what_it_sends_is_hit(agent, containers):
    server = containers("shop-web", "--network", "host", command=("httpd", "-f", "-p", "8088", "-h", "/"))
    client = containers("shop-client")
    host = client.told("{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")

    def seconds(port):
        done = client.get(f"{host}:{port}", "--output", "/dev/null", "--write-out", "%{time_total}")
        assert done.returncode == 0, done
        return float(done.stdout)

    wait_until(lambda: client.get(f"{host}:8088").stdout == "ok\n", what="it answers")
    with hit(agent, server, "network-latency", "latency=400ms"):
        assert seconds(8088) > 0.4 and seconds(80) < 0.3
    assert seconds(8088) < 0.3


def test_a_network_that_others_are_in_is_not_its_own(agent, engine, containers):
    bank = containers("bank-db", command=("httpd", "-f", "-p", "80", "-h", "/"))
    client = containers("shop-client")
    sidecar = containers("shop-sidecar", "--network", "container:bank-db")
    wait_until(lambda: client.get(bank.address).stdout == "ok\n", what="it answers")
    for fault, *parameters in (("network-partition",), ("network-stress", f"sink={client.address}:9")):
        done = agent.inject(fault, *parameters, target=sidecar.target, check=False)
        assert done.returncode and "network namespace is shared with cgroup" in done.stderr, done.stderr
        assert bank.id in done.stderr, done.stderr
    # What it has by itself is hit as ever.
    with hit(agent, sidecar, "cpu-throttle", "percent=50"):
        assert client.get(bank.address, "--max-time", 2).stdout == "ok\n"
    # Nor is it hit by its owner, with whoever is beside it, but by who may hit the whole host.
    with hit(agent.operator, sidecar, "network-partition"):
        assert client.get(bank.address, "--max-time", 2).returncode == 28
    assert client.get(bank.address).stdout == "ok\n"


def test_a_network_that_others_are_in_is_not_followed_into(agent, engine, containers):
    containers("bank-db")
    alone = containers("shop-sidecar")
    id = begun(agent, "network-latency", "latency=100ms", target=[*alone.target, "--on-restart", "reinject"])
    engine("rm", "--force", "shop-sidecar")
    containers("shop-sidecar", "--network", "container:bank-db")
    time.sleep(5)
    assert session(id)["state"] == "waiting", session(id)
    assert agent.end(id)["revertVerified"]
    events = sh("squall", "session", "watch", id, "--key", agent.key, "--output", "json", check=False).stdout
    assert "not-reinjected" in events and "network namespace is shared with cgroup" in events, events


@pytest.mark.parametrize("grace, code", [("0s", 137), ("20s", 0)], ids=["at once", "with time"])
def test_it_is_stopped(agent, engine, containers, grace, code):
    script = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.2; done"
    container = containers("shop-db", "--restart", "always", "--stop-signal", "TERM", command=("sh", "-c", script))
    other = containers("shop-other")
    report = ended(agent.inject("container-kill", f"gracePeriod={grace}", target=container.target)["id"])
    assert report["ending"] == "completed" and report["steps"][0]["effect"]["exitCode"] == code, report
    time.sleep(2)
    assert not container.is_running and other.is_running
    assert "the container is not running" in refusal(agent, "shop-db")
    engine("start", "shop-db")
    assert container.is_running


@pytest.mark.parametrize("how", ["by its policy", "anew"])
def test_a_restart_is_followed(agent, engine, containers, how):
    container = containers("shop-db", *(["--restart", "always"] if how == "by its policy" else []))
    first, pid = container.id, container.pid
    id = begun(agent, "cpu-throttle", "percent=50", target=[*container.target, "--on-restart", "reinject"])
    if how == "by its policy":
        os.kill(pid, signal.SIGKILL)
    else:
        engine("rm", "--force", "shop-db")
        assert session(id)["state"] == "waiting"
        container = containers("shop-db")
    wait_until(lambda: session(id)["state"] == "active" and session(id)["target"]["process"]["pid"] != pid, what="it is followed")
    report = session(id)
    assert report["target"]["process"]["pid"] == container.pid
    assert (report["target"]["container"]["id"] == first) == (how == "by its policy")
    assert not container.file("cpu.max").startswith("max")
    assert agent.end(id)["revertVerified"]
    assert container.file("cpu.max").startswith("max")


def test_without_it_a_session_ends_with_the_container(agent, engine, containers):
    container = containers("shop-db")
    id = begun(agent, "cpu-throttle", "percent=50", target=container.target)
    engine("stop", "--time", "0", "shop-db")
    assert ended(id)["ending"] == "target-gone"


def test_a_tenant_hits_its_own_only(agent, containers):
    container = containers("bank-db")
    assert "is none of tenant shop's" in refusal(agent, "bank-db")
    # Nor does it learn whether there is one.
    assert refusal(agent, "bank-none").replace("bank-none", "bank-db") == refusal(agent, "bank-db")
    # Nor, by its identifier, what it is called.
    for words in (container.id, container.id[:12]):
        told = refusal(agent, words)
        assert "the container is none of tenant shop's" in told and "bank-db" not in told, told
    assert "name the container" in refusal_of_cgroup(agent.operator, container)
    assert "knows the container" in refusal(agent, "shop-none")
    id = begun(agent.operator, "cpu-throttle", "percent=50", target=container.target)
    assert agent.operator.end(id)["revertVerified"]


def refusal_of_cgroup(tenant, container):
    cgroup = str(container.cgroup).removeprefix("/sys/fs/cgroup")
    return tenant.inject("cpu-throttle", "percent=50", target=["--cgroup", cgroup], check=False).stderr


def test_a_daemon_that_is_away_hurts_no_session(agent, engine, containers):
    container = containers("shop-db")
    lives = begun(agent, "cpu-throttle", "percent=50", target=container.target)
    expires = begun(agent, "memory-stress", "size=8MiB", target=container.target, duration="10s")
    systemctl("stop", *SERVICES[engine.program])
    try:
        begun_at = time.monotonic()
        assert "runtime" in refusal(agent, "shop-db") and time.monotonic() - begun_at < 15
        assert session(lives)["state"] == "active"
        assert ended(expires)["ending"] == "expired"
        # Neither when the agent is killed meanwhile.
        kill_agent()
        report = ended(lives)
        assert (report["ending"], report["revertVerified"]) == ("recovered", True), report
    finally:
        systemctl("start", SERVICES[engine.program][0], *(["docker.service"] if engine.program == "docker" else []))
    assert container.is_running and container.file("cpu.max").startswith("max")
    wait_until(lambda: engine("ps", "--quiet"), what="it is there again")
    assert agent.end(begun(agent, "cpu-throttle", "percent=50", target=container.target))["revertVerified"]


def test_a_daemon_that_hangs_holds_nobody_up(agent, engine, containers):
    container = containers("shop-db")
    if engine.program == "podman":
        sh("curl", "-sf", "--unix-socket", engine.socket, "http://localhost/version")
    daemon = int(unit_property(SERVICES[engine.program][1], "MainPID"))
    id = begun(agent, "cpu-throttle", "percent=50", target=container.target)
    os.kill(daemon, signal.SIGSTOP)
    try:
        assert "no answer in time" in refusal(agent, "shop-db")
        assert agent.end(id)["revertVerified"]
    finally:
        os.kill(daemon, signal.SIGCONT)
    assert container.file("cpu.max").startswith("max")
