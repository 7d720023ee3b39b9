"""This machine: the agent as processes in a pid namespace of its own, targets that are made and removed here.

Run below `unshare --pid --mount --fork --mount-proc`, as scripts/test does: process 1 is then ours, and nothing of the
machine itself is in reach.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from running_agent import RunningAgent, start_time, wait_until


class LocalAgent(RunningAgent):
    node_name = "here"
    # What begins it, as nsenter does, in the same process.
    begun_by = ()

    def __init__(self, programs, root, options=()):
        self.programs, self.options = programs, options
        self.root = Path(root)
        self.api_socket = self.root / "run/squall.sock"
        self.engine_socket = self.root / "private/engine.sock"
        self.state_directory = self.root / "state"
        self.tenants_directory = self.root / "tenants"
        self.policy_file = self.root / "policy.yaml"
        self.log_file = self.root / "log"

    def command(self):
        return [
            self.programs / "squalld",
            "--node-name", self.node_name,
            "--run-directory", self.root / "run",
            "--private-directory", self.root / "private",
            "--state-directory", self.state_directory,
            "--tenants-directory", self.tenants_directory,
            "--policy", self.policy_file,
        ]  # fmt: skip

    def start(self, poll=0.05):
        self.prepare_tenants()
        command = [*self.begun_by, *self.command(), *self.options]
        self.keeper = subprocess.Popen(command, stderr=self.log_file.open("ab"))
        self.wait_until_ready(poll=poll)

    def stop(self):
        self.keeper.send_signal(signal.SIGTERM)
        return self.keeper.wait(30)

    def kill_all(self):
        """All at once, as when the power fails: an engine that outlives its keeper would take everything back."""
        engine = self.role("engine")
        self.keeper.send_signal(signal.SIGSTOP)
        self.kill(engine)
        self.keeper.kill()
        self.keeper.wait()
        # Nobody here reaps what a killed keeper leaves.
        wait_until(lambda: self.process_status(engine)["State"][0] == "Z", 10)

    def log(self):
        return self.log_file.read_text()

    @property
    def keeper_id(self):
        return self.keeper.pid


class LocalTarget:
    """A process in a cgroup and a network namespace of its own."""

    CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "unified")

    TMP_BYTES = 256 << 20

    def __init__(self, name, memory=256 << 20, user_namespace=False, tmp=None, tree=None):
        """`memory` is its limit in bytes. It has a /tmp of its own, with `tmp` as options. `tree` is its root, from which it
        has its program, too."""
        self.name = name
        self.ip = None
        root = Path("/sys/fs/cgroup")
        if (root / "cgroup.controllers").exists():
            self.directories = [root / name]
        else:
            self.directories = [root / c / name for c in self.CONTROLLERS if (root / c).is_dir()]
        for directory in self.directories:
            directory.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                # Version 2's root has none, and its children need none.
                if (directory / file).exists() and (directory.parent / file).exists():
                    (directory / file).write_text((directory.parent / file).read_text())
        if memory:
            for file in ("memory.max", "memory.limit_in_bytes"):
                for directory in self.directories:
                    if (directory / file).exists():
                        (directory / file).write_text(str(memory))
        mount = f"mount -t tmpfs -o {tmp or f'size={self.TMP_BYTES}'},mode=1777 none {tree or ''}/tmp"
        begin = f"{mount} && exec {f'chroot {tree} ' if tree else ''}sleep 3600"
        if user_namespace:
            self.process = self.begin_in_user_namespace(begin)
        else:
            self.process = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", begin])
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(self.process.pid))
        # unshare, then the shell, then sleep: the last is the target.
        while "sleep" not in Path(f"/proc/{self.process.pid}/cmdline").read_text().split("\0")[0]:
            assert self.process.poll() is None, "the target could not be made"
            time.sleep(0.01)

    @staticmethod
    def begin_in_user_namespace(script):
        """Where root is another user of this machine, as in a pod with a user namespace."""
        NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
        program = f"""
import ctypes, os, sys
assert ctypes.CDLL(None).unshare({NEWNS | NEWUSER | NEWNET}) == 0
print("unshared", flush=True)
sys.stdin.readline()
os.setgroups([]); os.setgid(0); os.setuid(0)
os.execvp("sh", ["sh", "-c", sys.argv[1]])
"""
        process = subprocess.Popen(
            ["python3", "-c", program, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "unshared\n"
        for file in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{file}").write_text("0 100000 65536\n")
        process.stdin.write("go\n")
        process.stdin.flush()
        return process

    @property
    def selector(self):
        return self.process_selector

    @property
    def process_selector(self):
        return {"process": {"pid": self.process.pid, "startTime": start_time(self.process.pid)}}

    @property
    def cgroup_selector(self):
        return {"cgroup": f"/{self.name}"}

    def processes(self):
        return sorted(int(pid) for pid in (self.directories[0] / "cgroup.procs").read_text().split())

    def cpu_seconds(self):
        for directory in self.directories:
            if (directory / "cpuacct.usage").exists():
                return int((directory / "cpuacct.usage").read_text()) / 1e9
        usage = dict(line.split() for line in (self.directories[0] / "cpu.stat").read_text().splitlines())
        return int(usage["usage_usec"]) / 1e6

    def cpu_limit_file(self):
        files = [directory / name for directory in self.directories for name in ("cpu.max", "cpu.cfs_quota_us")]
        return next(file for file in files if file.exists())

    def cpu_limit(self):
        """As its file says it."""
        return self.cpu_limit_file().read_text().strip()

    def set_cpu_limit(self, text):
        self.cpu_limit_file().write_text(text)

    def set_cpu_burst(self, microseconds):
        name = "cpu.max.burst" if self.cpu_limit_file().name == "cpu.max" else "cpu.cfs_burst_us"
        (self.cpu_limit_file().parent / name).write_text(str(microseconds))

    def memory_stat(self, *names):
        """By the first of these names that is there."""
        (file,) = [each / "memory.stat" for each in self.directories if (each / "memory.stat").exists()]
        stat = dict(line.split() for line in file.read_text().splitlines())
        return int(next(stat[name] for name in names if name in stat))

    def anonymous_bytes(self):
        return self.memory_stat("anon", "rss")

    def cached_bytes(self):
        """Of files, those in memory too."""
        return self.memory_stat("file", "cache")

    @property
    def root(self):
        """Its file tree, as this process finds it."""
        return Path(f"/proc/{self.process.pid}/root")

    def run(self, script):
        """Runs a shell script in its file tree."""
        subprocess.run(["nsenter", "--mount", "--target", str(self.process.pid), "sh", "-ec", script], check=True)

    def in_network(self, *command):
        """What a command says in its network namespace."""
        return subprocess.check_output(["nsenter", "--net", "--target", str(self.process.pid), *command], text=True)

    def ping(self, address, count):
        """Round-trip times in milliseconds."""
        output = self.in_network("ping", "-c", str(count), "-i", "0.1", "-W", "3", address)
        times = [float(time) for time in re.findall(r"time=([0-9.]+) ms", output)]
        assert len(times) == count, output
        return times

    def state(self):
        """What a fault could have left here."""
        shown = [("ip", "addr"), ("tc", "qdisc"), ("tc", "filter", "show", "dev", "lo", "egress")]
        if self.ip:
            shown.append(("tc", "filter", "show", "dev", "eth0", "egress"))
        own = [self.processes(), self.cpu_limit(), sorted(os.listdir(self.root / "tmp"))]
        return own + [self.in_network(*each) for each in shown]

    def is_running(self):
        return self.process.poll() is None

    def freeze(self, frozen):
        """As `docker pause` does, or `unpause`."""
        for directory in self.directories:
            if (directory / "cgroup.freeze").exists():
                (directory / "cgroup.freeze").write_text("1" if frozen else "0")
            if (directory / "freezer.state").exists():
                (directory / "freezer.state").write_text("FROZEN" if frozen else "THAWED")

    def is_frozen(self):
        files = [directory / name for directory in self.directories for name in ("cgroup.events", "freezer.state")]
        return any("frozen 1" in text or "FR" in text for text in (f.read_text() for f in files if f.exists()))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.kill()
        for directory in self.directories:
            for _ in range(100):
                try:
                    directory.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)


class LocalWorld:
    def __init__(self, programs):
        self.programs = programs

    def __enter__(self):
        if os.readlink("/proc/1/exe") == "" or not os.access("/proc/1/ns/net", os.F_OK):
            raise RuntimeError("run these tests below `unshare --pid --mount --fork --mount-proc`")
        self.root = tempfile.mkdtemp(prefix="squall-test.")
        # The gateway, which is nobody in particular, passes through it.
        os.chmod(self.root, 0o755)
        self.count = 0
        self.target = self.make_target()
        self.peer = self.make_peer() if self.can_shape_traffic() else None
        self.agent = LocalAgent(self.programs, self.root)
        self.agent.start()
        return self

    def can_shape_traffic(self):
        """Whether this kernel has what network faults need, tried in a network namespace that nobody uses."""
        script = """ip link add probe type ifb && tc qdisc add dev probe root netem delay 1ms &&
            tc qdisc add dev lo clsact && tc filter add dev lo egress flower action mirred egress redirect dev probe"""
        return subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True).returncode == 0

    def make_peer(self):
        """A second target, joined to the first by a wire of their own."""
        peer = self.make_target()
        namespaces = [str(each.process.pid) for each in (self.target, peer)]
        wire = ["ip", "link", "add", "eth0", "netns", namespaces[0], "type", "veth"]
        subprocess.run([*wire, "peer", "name", "eth0", "netns", namespaces[1]], check=True)
        for number, each in enumerate((self.target, peer), 1):
            each.ip = f"10.9.0.{number}"
            each.in_network("ip", "addr", "add", f"{each.ip}/24", "dev", "eth0")
            each.in_network("ip", "link", "set", "eth0", "up")
        return peer

    def make_target(self, **options):
        self.count += 1
        return LocalTarget(f"squall-test-{os.path.basename(self.root)}-{self.count}", **options)

    @contextlib.contextmanager
    def mortal_target(self):
        target = self.make_target()
        yield target
        target.remove()

    def __exit__(self, *_):
        self.agent.stop()
        for target in filter(None, (self.target, self.peer)):
            target.remove()
        shutil.rmtree(self.root)
