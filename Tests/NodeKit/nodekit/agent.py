"""The agent as it runs on a node: as its manifest says, with nothing else in its root."""

import os
import shutil
import signal
import time

from . import cri, images
from .manifest import Manifest
from .processes import processes

EMPTY_IMAGE = "node.local/empty:1"
PROGRAM_COPIES = "/run/squall-node/programs"
PROGRAMS = images.AGENT_PROGRAMS


class Agent:
    """At most one at a time on a node.

    `programs` is a folder with the static binaries, `manifest` the path of a rendered DaemonSet.
    """

    def __init__(self, programs, manifest, node_name="node", runtime=None):
        self.programs = programs
        self.manifest = Manifest(manifest)
        self.node_name = node_name
        self.runtime = runtime or cri.Runtime()
        self.pod = None
        self.container = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, arguments=(), mounts=(), image=None):
        """Starts the agent in a pod of its own, as the manifest says, with more arguments and mounts.

        Without an image (see `image`) its programs are mounted into an empty root, which differs for nobody in the
        container, because an emulated CPU takes a minute to import an image of their size.
        """
        options = self.manifest.container_options(self.node_name)
        options["args"] += arguments
        options["mounts"] += [*mounts, *([] if image else self._program_mounts())]
        self.pod = self.runtime.create_pod(self.manifest.name, **self.manifest.pod_options())
        try:
            self.container = self.runtime.create_container(self.pod, image=image or EMPTY_IMAGE, **options)
        except Exception:
            self.stop()
            raise

    def image(self):
        """Imports an image with the programs, as the agent is shipped, and returns its name for `start`. The archive
        beside the programs is used if there is one."""
        archive = os.path.join(self.programs, images.AGENT_ARCHIVE)
        if not os.path.exists(archive):
            images.write_agent_archive(self.programs)
        images.import_archive(archive)
        return images.AGENT_IMAGE

    def _program_mounts(self):
        # Copies: the share would be slow, and must not change under a running agent.
        os.makedirs(PROGRAM_COPIES, exist_ok=True)
        names = [name for name in PROGRAMS if os.path.exists(f"{self.programs}/{name}")]
        for name in names:
            if not os.path.exists(f"{PROGRAM_COPIES}/{name}"):
                shutil.copy2(f"{self.programs}/{name}", PROGRAM_COPIES)
        return [cri.mount(f"{PROGRAM_COPIES}/{name}", f"/{name}", readonly=True) for name in names]

    def stop(self, grace=None):
        """As kubelet deletes a pod: SIGTERM, some grace, SIGKILL. Keeps state and run directories."""
        if self.container:
            self.runtime.stop_container(self.container.id, self.manifest.grace if grace is None else grace)
        if self.pod:
            self.runtime.remove_pod(self.pod.id)
        self.pod = self.container = None

    def kill(self, name):
        """SIGKILL to all of the agent's processes with this role (see `pids`)."""
        for pid in self.pids().get(name, []):
            os.kill(pid, signal.SIGKILL)

    def processes(self):
        """The agent's processes as the node sees them, also those that have left its container's cgroup."""
        return [process for process in processes() if _program(process).startswith("squall")]

    def pids(self):
        """Process ids by role: keeper, engine, gateway, runtimes, worker."""
        roles = {}
        for process in self.processes():
            roles.setdefault(_role(process), []).append(process.pid)
        return roles

    def logs(self):
        """What the container wrote, without the runtime's prefixes, oldest run first."""
        folder = os.path.dirname(self.container.log_path)
        text = ""
        for name in sorted(os.listdir(folder), key=lambda name: int(name.split(".")[0])):
            with open(os.path.join(folder, name), errors="replace") as file:
                # Each line is: time, stream, P(artial) or F(ull), text.
                for line in file:
                    _, _, completeness, rest = line.split(" ", 3)
                    text += rest if completeness == "F" else rest.rstrip("\n")
        return text

    def wait_until(self, condition, timeout=30):
        """Waits for `condition(self)`; says what the agent logged when it does not come."""
        deadline = time.monotonic() + timeout
        while not (value := condition(self)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the agent is not as awaited after {timeout} s; its log:\n{self.logs()}")
            time.sleep(0.05)
        return value


def _program(process):
    # A program in a memfd is "/memfd:NAME (deleted)"; a script's is its interpreter, so its own name is better.
    name = os.path.basename(process.exe or "").removeprefix("memfd:").removesuffix(" (deleted)")
    return name if name.startswith("squall") else process.comm


def _role(process):
    program = _program(process)
    if program == "squalld":
        return "engine" if "engine" in process.cmdline else "keeper"
    return program.removeprefix("squall-")
