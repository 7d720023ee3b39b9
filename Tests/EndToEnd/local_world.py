"""This machine: the agent as processes in a pid namespace of its own, targets that are made and removed here.

Run below `unshare --pid --mount --fork --mount-proc`, as scripts/test does: process 1 is then ours, and nothing of the
machine itself is in reach.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from running_agent import RunningAgent, role_of, start_time


class LocalAgent(RunningAgent):
    node_name = "here"

    def __init__(self, programs, root):
        self.programs = programs
        self.root = Path(root)
        self.api_socket = self.root / "run/squall.sock"
        self.engine_socket = self.root / "private/engine.sock"
        self.tenants_directory = self.root / "tenants"
        self.log_file = self.root / "log"

    def start(self):
        self.prepare_tenants()
        self.keeper = subprocess.Popen(
            [
                self.programs / "squalld",
                "--node-name", self.node_name,
                "--run-directory", self.root / "run",
                "--private-directory", self.root / "private",
                "--state-directory", self.root / "state",
                "--tenants-directory", self.tenants_directory,
            ],
            stderr=self.log_file.open("ab"),
        )  # fmt: skip
        self.wait_until_ready()

    def stop(self):
        self.keeper.send_signal(signal.SIGTERM)
        return self.keeper.wait(30)

    def log(self):
        return self.log_file.read_text()

    def processes(self):
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children").read_text().split()
        return [(self.keeper.pid, "keeper")] + [(int(pid), role_of(int(pid))) for pid in children if role_of(int(pid))]


class LocalTarget:
    """A process in a cgroup and a network namespace of its own."""

    CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "unified")

    def __init__(self, name):
        self.name = name
        root = Path("/sys/fs/cgroup")
        if (root / "cgroup.controllers").exists():
            self.directories = [root / name]
        else:
            self.directories = [root / c / name for c in self.CONTROLLERS if (root / c).is_dir()]
        for directory in self.directories:
            directory.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (directory / file).exists():
                    (directory / file).write_text((directory.parent / file).read_text())
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(self.process.pid))
        while "sleep" not in Path(f"/proc/{self.process.pid}/cmdline").read_text().split("\0")[0]:
            time.sleep(0.01)

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
        self.agent = LocalAgent(self.programs, self.root)
        self.agent.start()
        return self

    def can_shape_traffic(self):
        """Not here: a target without a peer has nobody to ping."""
        return False

    def make_target(self):
        self.count += 1
        return LocalTarget(f"squall-test-{os.path.basename(self.root)}-{self.count}")

    def __exit__(self, *_):
        self.agent.stop()
        self.target.remove()
        shutil.rmtree(self.root)
