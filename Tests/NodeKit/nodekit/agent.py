"""The agent as it runs on a node: from an image with nothing else in it, in a container that is not privileged."""

import os
import signal
import time

from . import cri, images
from .processes import processes

IMAGE = "node.local/squall:test"
PROGRAMS = ("squalld", "squall-gateway", "squall-runtimes", "squall-worker", "squall")
NAMESPACE, NAME = "kube-system", "squall"
RUN, PRIVATE_RUN, STATE, CONFIGURATION = "/run/squall", "/run/squalld", "/var/lib/squall", "/etc/squall"


def capabilities_in(path):
    """The names in daemonset/capabilities."""
    with open(path) as file:
        return [name for line in file if (name := line.split("#")[0].strip())]


class Agent:
    """At most one at a time on a node.

    `programs` is a folder with the static binaries, or the archive that images.py made of them outside the node,
    which saves much time. `capabilities` is the path of daemonset/capabilities.
    """

    def __init__(self, programs, capabilities, node_name="node", runtime=None):
        self.programs = programs
        self.capabilities = capabilities_in(capabilities)
        self.node_name = node_name
        self.runtime = runtime or cri.Runtime()
        self.pod = None
        self.container = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, arguments=(), image=None):
        """Starts the agent in a pod of its own, from another image if one is given."""
        image = image or self.load_image()
        for directory in (RUN, PRIVATE_RUN, STATE, f"{CONFIGURATION}/tenants"):
            os.makedirs(directory, exist_ok=True)
        self.pod = self.runtime.create_pod(NAME, namespace=NAMESPACE, labels={"app": NAME}, host_pid=True)
        try:
            self.container = self.runtime.create_container(self.pod, **self.container_options(image, arguments))
        except Exception:
            self.stop()
            raise

    def container_options(self, image, arguments=()):
        return {
            "name": NAME,
            "image": image,
            "command": ["/squalld", "--node-name", self.node_name, *arguments],
            "drop_capabilities": ["ALL"],
            "add_capabilities": self.capabilities,
            "readonly_root": True,
            "mounts": [
                cri.mount(RUN),
                cri.mount(PRIVATE_RUN),
                cri.mount(STATE),
                cri.mount(CONFIGURATION, readonly=True),
                # The node's own mount: the container's private one shows only the container's cgroup.
                cri.mount("/sys/fs/cgroup"),
                cri.mount(cri.SOCKET),
            ],
        }

    def load_image(self):
        if os.path.isdir(self.programs):
            return images.import_image(IMAGE, {f"/{name}": f"{self.programs}/{name}" for name in PROGRAMS})
        images.import_archive(self.programs)
        return IMAGE

    def stop(self, grace=10):
        """As kubelet deletes a pod: SIGTERM, some grace, SIGKILL. Keeps state and run directories."""
        if self.container:
            self.runtime.stop_container(self.container.id, grace)
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
