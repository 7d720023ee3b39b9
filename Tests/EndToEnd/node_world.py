"""The test node: the agent as a real CRI container, pods as targets."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import grpc
import pytest
from authority import Authority
from nodekit import cri
from nodekit.agent import Agent
from running_agent import RunningAgent, all_processes, command_line, start_time, wait_until

CGROUPS = Path("/sys/fs/cgroup")
TRACING = Path("/sys/kernel/tracing")
# As the first process of a container, which ignores SIGTERM.
DEAF = {"command": ["/bin/sleep", "86400"]}
# In the order of their numbers, capabilities(7).
CAPABILITIES = [
    "CAP_" + name
    for name in """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
    SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE""".split()
]


class ContainerAgent(RunningAgent):
    node_name = "node-1"
    api_socket = Path("/run/squall/squall.sock")
    engine_socket = Path("/run/squalld/engine.sock")
    state_directory = Path("/var/lib/squall")
    tenants_directory = Path("/etc/squall/tenants")
    policy_file = Path("/etc/squall/policy/policy.yaml")
    tls_directory = Path("/etc/squall/tls")

    def __init__(self, programs):
        manifest = Path(__file__).parents[2] / "daemonset/staging/squall.yaml"
        self.container = Agent(programs, manifest, node_name=self.node_name)
        # As it is shipped; to import it takes long.
        self.image = self.container.image() if os.environ.get("SQUALL_FROM_IMAGE") else None
        self.prepare_certificate()

    def start(self):
        self.prepare_tenants()
        # As with `tls.enabled`, which staging has not.
        tls = cri.mount(str(self.tls_directory), readonly=True)
        self.container.start(["--tls-bind-address=0.0.0.0:9443"], [tls], image=self.image)
        self.wait_until_ready()

    def prepare_certificate(self):
        directory = self.tls_directory
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(tempfile.mkdtemp(), "authority")
        certificate, key = self.authority.issue_server("server")
        for name, source in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", self.authority.file)]:
            (directory / name).write_bytes(source.read_bytes())
            (directory / name).chmod(0o600)

    def stop(self):
        self.container.stop()

    def log(self):
        return self.container.logs()

    @property
    def keeper_id(self):
        return self.container.container.pid


class Pod:
    def __init__(self, runtime, name, memory=256 << 20, container=None, **options):
        """`memory` is its limit in bytes; `container` are more options of its container, other `options` the pod's."""
        self.runtime, self.name = runtime, name
        defaults = {"namespace": "shop", "annotations": {"squall.dev/chaos": "allowed"}}
        self.pod = runtime.create_pod(name, **(defaults | options))
        self.options = {"limits": cri.resources(cpus=1, memory=memory)} | (container or {})
        self.attempt = 0
        self.ip = self.pod.ip
        self.start()

    def start(self):
        self.container = self.runtime.create_container(self.pod, attempt=self.attempt, **self.options)
        self.pid, self.id = self.container.pid, self.container.id
        self.cgroup = Path(f"/proc/{self.pid}/cgroup").read_text().strip().split("::")[1]

    @property
    def selector(self):
        return {"container": f"containerd://{self.id}"}

    @property
    def process_selector(self):
        return {"process": {"pid": self.pid, "startTime": start_time(self.pid)}}

    @property
    def cgroup_selector(self):
        return {"cgroup": self.cgroup}

    def processes(self):
        return sorted(int(pid) for pid in Path(f"{CGROUPS}{self.cgroup}/cgroup.procs").read_text().split())

    def cpu_seconds(self):
        lines = Path(f"{CGROUPS}{self.cgroup}/cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def cpu_limit(self):
        """As its file says it."""
        return Path(f"{CGROUPS}{self.cgroup}/cpu.max").read_text().strip()

    def set_cpu_limit(self, text):
        Path(f"{CGROUPS}{self.cgroup}/cpu.max").write_text(text)

    def set_cpu_burst(self, microseconds):
        Path(f"{CGROUPS}{self.cgroup}/cpu.max.burst").write_text(str(microseconds))

    def memory_stat(self, name):
        lines = Path(f"{CGROUPS}{self.cgroup}/memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)[name])

    def anonymous_bytes(self):
        return self.memory_stat("anon")

    def cached_bytes(self):
        """Of files, those in memory too."""
        return self.memory_stat("file")

    def reclaim(self, bytes):
        """Lets the kernel take memory back, as far as it can."""
        file = Path(f"{CGROUPS}{self.cgroup}/memory.reclaim")
        if not file.exists():
            pytest.skip("before Linux 5.19 nothing makes a kernel take memory back")
        with contextlib.suppress(BlockingIOError):
            file.write_text(str(bytes))

    @property
    def root(self):
        """Its file tree, as this process finds it."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, script):
        """Runs a shell script in its file tree."""
        status, output, errors = self.runtime.execute(self.id, ["sh", "-ec", script])
        assert status == 0, output + errors

    def is_running(self):
        return Path(f"/proc/{self.pid}").exists()

    def ping(self, address, count):
        """Round-trip times in milliseconds, by the container's own ping."""
        status, output, errors = self.runtime.execute(
            self.id, ["ping", "-c", str(count), "-i", "0.1", "-W", "3", address]
        )
        times = [float(time) for time in re.findall(r"time=([0-9.]+) ms", output)]
        assert len(times) == count, output + errors
        return times

    def connect(self, address, port, transport="tcp", source=0, size=1, timeout=1):
        """From its network: after how many seconds anybody says anything, if only that nobody listens there; None for
        nobody within `timeout`."""
        script = f"""if True:
            import socket, time
            s = socket.socket(socket.AF_INET, socket.{"SOCK_STREAM" if transport == "tcp" else "SOCK_DGRAM"})
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.settimeout({timeout})
            s.bind(("", {source}))
            begun = time.monotonic()
            try:
                s.connect(({address!r}, {port}))
                s.send(b"?" * {size})
                s.recv(1)
            except TimeoutError:
                print(-1)
            except OSError:
                print(time.monotonic() - begun)
        """
        enter = ["nsenter", "--net", "--target", str(self.pid)]
        seconds = float(subprocess.check_output([*enter, "python3", "-c", script], text=True))
        return None if seconds < 0 else seconds

    def freeze(self, frozen):
        """As `docker pause` does, or `unpause`."""
        Path(f"{CGROUPS}{self.cgroup}/cgroup.freeze").write_text("1" if frozen else "0")

    def is_frozen(self):
        return "frozen 1" in Path(f"{CGROUPS}{self.cgroup}/cgroup.events").read_text()

    def memory_use(self):
        return int(Path(f"{CGROUPS}{self.cgroup}/memory.current").read_text())

    def io_bytes(self):
        """Read from disks, and written to them."""
        return self.io_counts("rbytes", "wbytes")

    def io_requests(self):
        """Reads and writes, as the disks get them."""
        return self.io_counts("rios", "wios")

    def io_counts(self, *names):
        text = Path(f"{CGROUPS}{self.cgroup}/io.stat").read_text()
        return [sum(int(count) for count in re.findall(rf"{name}=(\d+)", text)) for name in names]

    def io_limits(self):
        return Path(f"{CGROUPS}{self.cgroup}/io.max").read_text()

    def memory_high(self):
        """As its file says it."""
        return Path(f"{CGROUPS}{self.cgroup}/memory.high").read_text().strip()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.runtime.wait_for_exit(self.id)

    def network_is_plain(self):
        """Of the sandbox, which outlives its containers."""
        sandbox = json.loads(
            self.runtime.call("PodSandboxStatus", pod_sandbox_id=self.pod.id, verbose=True).info["info"]
        )["pid"]
        enter = ["nsenter", "--net", "--target", str(sandbox)]
        links = json.loads(subprocess.check_output(enter + ["ip", "-j", "link"]))
        qdiscs = json.loads(subprocess.check_output(enter + ["tc", "-j", "qdisc"]))
        names = {link["ifname"] for link in links}
        return names == {"lo", "eth0"} and {qdisc["kind"] for qdisc in qdiscs} <= {"noqueue"}

    def status(self):
        return self.runtime.container_status(self.id)

    def start_again(self):
        """As kubelet starts a container again: another one with the same name, in the same pod."""
        self.attempt += 1
        self.start()

    def remove(self):
        self.runtime.remove_pod(self.pod.id)


class NodeWorld:
    def __init__(self, programs):
        self.runtime = cri.Runtime()
        self.agent = ContainerAgent(programs)
        self.count = 0
        self.mortal = None
        # Pods of tests that stay until the end.
        self.kept = []

    def __enter__(self):
        self.target, self.peer = self.make_target(), self.make_target()
        self.agent.start()
        return self

    def __exit__(self, *_):
        self.agent.stop()
        for pod in filter(None, (self.target, self.peer, self.mortal, *self.kept)):
            pod.remove()

    def make_target(self, **options):
        self.count += 1
        return Pod(self.runtime, f"target-{self.count}", **options)

    @contextlib.contextmanager
    def mortal_target(self):
        """Always the same pod, since an emulated machine takes long to make one; with a container that runs."""
        self.mortal = self.mortal or self.make_target()
        if not self.mortal.is_running():
            self.mortal.start_again()
        yield self.mortal

    @contextlib.contextmanager
    def deaf_target(self):
        """One that does not end when it is asked to."""
        target = self.make_target(container=DEAF)
        try:
            yield target
        finally:
            target.remove()

    def can_shape_traffic(self):
        return True

    # Looking at the agent's container

    def agent_spec(self):
        return self.runtime.container_info(self.agent.container.container.id)["runtimeSpec"]

    def named_capabilities(self):
        return ["CAP_" + name for name in self.agent.container.manifest.capabilities]

    def capability_mask(self):
        return sum(1 << CAPABILITIES.index(name) for name in self.named_capabilities())

    # Doing things to the node

    def containerd(self):
        return [pid for pid in all_processes() if command_line(pid)[:1] in (["containerd"], ["/usr/bin/containerd"])]

    @contextlib.contextmanager
    def stopped_runtime(self):
        (containerd,) = self.containerd()
        os.kill(containerd, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(containerd, signal.SIGCONT)

    def restart_runtime(self):
        """As an upgrade of its package does: containers go on, and its socket is another one."""
        before = os.stat(cri.SOCKET).st_ino
        (containerd,) = self.containerd()
        os.kill(containerd, signal.SIGTERM)
        wait_until(lambda: not self.containerd(), 30)
        subprocess.run(["start-containerd"], check=True)
        assert os.stat(cri.SOCKET).st_ino != before

        def answers():
            try:
                return self.runtime.call("Version", within=5)
            except grpc.RpcError:
                return False

        wait_until(answers, 60)

    @contextlib.contextmanager
    def executed_programs(self):
        """What the whole node executes meanwhile, as the kernel's trace names it: a program executed by descriptor,
        as all of the agent's are, as /dev/fd/N, any other by its path."""
        names = []
        enable = TRACING / "events/sched/sched_process_exec/enable"
        (TRACING / "trace").write_text("")
        enable.write_text("1")
        try:
            yield names
        finally:
            enable.write_text("0")
            names += re.findall(r"sched_process_exec: filename=(\S+)", (TRACING / "trace").read_text())
