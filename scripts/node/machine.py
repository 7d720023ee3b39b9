"""The test node as a QEMU machine: start it cold or restored, run scripts in it, save its state."""

import ctypes
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

KERNEL_OPTIONS = "console=hvc0 panic=-1 mitigations=off quiet nokaslr tsc=reliable random.trust_cpu=on".split()
# QEMU's name of a processor, and the machine with it. The second is one whose pointers are not authenticated: that takes long.
PROCESSORS = {
    "x86_64": ("-machine", "q35", "-cpu", "max"),
    "aarch64": ("-machine", "virt,gic-version=3", "-cpu", "neoverse-n1"),
}
MEMORY_MIB = 2048
# What guest/command-agent says when it begins.
READY = b"@@READY\n"
# In place of a script's status.
REBOOTED = -1
BOOT_SECONDS = 150
BOOT_ATTEMPTS = 3
# Folders of build's kernel step, named for their Debian suites. Only the older has all controllers for cgroup v1.
KERNEL, OLD_KERNEL = "trixie", "bullseye"
# Bookworm's; QEMU 10 ships none.
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"


class MachineError(Exception):
    pass


def default_directory():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("SQUALL_NODE_DIR") or os.path.join(cache, "squall", "node")


def _die_with_parent():
    """No QEMU may outlive us, even when we are killed by SIGKILL."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Channel:
    """A Unix socket that QEMU serves, read into a buffer."""

    def __init__(self, path, process, deadline):
        self.buffer = b""
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                return
            except OSError:
                self.socket.close()
            if process.poll() is not None:
                raise MachineError(f"QEMU ended with status {process.returncode}")
            if time.monotonic() > deadline:
                raise MachineError(f"QEMU does not open {path}")
            time.sleep(0.01)

    def receive(self, deadline, waiting_for):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError(f"timed out waiting for {waiting_for}")
        self.socket.settimeout(remaining)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise TimeoutError(f"timed out waiting for {waiting_for}") from None
        if not data:
            raise MachineError(f"the machine is gone (waiting for {waiting_for})")
        self.buffer += data

    def send(self, data):
        self.socket.settimeout(60)
        self.socket.sendall(data)


class Monitor(Channel):
    """QEMU's own protocol (QMP)."""

    def __init__(self, path, process, deadline):
        super().__init__(path, process, deadline)
        self._message("greeting")
        self("qmp_capabilities")

    def _message(self, waiting_for):
        deadline = time.monotonic() + 60
        while b"\n" not in self.buffer:
            self.receive(deadline, waiting_for)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def __call__(self, command, **arguments):
        # QMP writes its names with dashes.
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            message = self._message(command)
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise MachineError(f"QEMU refuses {command}: {message['error']['desc']}")


class CommandChannel(Channel):
    """The host's end of guest/command-agent."""

    def wait_until_ready(self, deadline):
        while READY not in self.buffer:
            self.receive(deadline, "the guest to boot")
        self.buffer = self.buffer.split(READY, 1)[1]

    def run(self, script, deadline, output):
        """Runs a shell script; its output goes to `output(bytes)` as it comes. Returns its exit status."""
        token = secrets.token_hex(8)
        body = script.encode() + b"\n"
        self.send(b"%s %d\n%s" % (token.encode(), len(body), body))
        start = f"@@{token} ".encode()
        end = re.compile(re.escape(start) + rb"(\d+)\n")
        while True:
            if (cut := self.buffer.find(READY)) >= 0:
                # It has booted since, and whatever ran is gone.
                output(self.buffer[:cut])
                self.buffer = self.buffer[cut:]
                return REBOOTED
            if found := end.search(self.buffer):
                output(self.buffer[: found.start()])
                self.buffer = self.buffer[found.end() :]
                return int(found.group(1))
            keep = self._possible_end(start)
            output(self.buffer[:keep])
            self.buffer = self.buffer[keep:]
            self.receive(deadline, "the command")

    def _possible_end(self, start):
        """Where an end mark that has not wholly arrived may begin."""
        if (found := self.buffer.find(start)) >= 0:
            return found
        for length in range(min(max(len(start), len(READY)), len(self.buffer)), 0, -1):
            if self.buffer.endswith((start[:length], READY[:length])):
                return len(self.buffer) - length
        return len(self.buffer)


class Machine:
    """One run of the test node; use it as a context manager. Many can run side by side."""

    def __init__(self, directory, share=None, scratch_mib=0, reboots=False):
        self.directory = directory
        self.node = os.path.join(directory, "node")
        self.share = share
        self.scratch_mib = scratch_mib
        # Whether the guest may boot again, with its disk as it left it, or ends the machine so.
        self.reboots = reboots
        self.processes = []
        self.temporary = None

    def __enter__(self):
        self.temporary = tempfile.mkdtemp(prefix="squall-node.")
        return self

    def __exit__(self, *_):
        self._end_processes()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _end_processes(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.processes.clear()

    # Ways to start

    def boot(self, options=(), kernel=KERNEL):
        """Boots from root.img; changes to the disk are dropped."""
        if self.share:
            options = [*options, "squall.share=1"]

        def launch():
            extra = []
            if self.share:
                extra = ["-chardev", f"socket,id=share,path={self._serve_share()}", "-device", self._share_device()]
            with self._locked():
                self._launch(
                    memory=f"memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on",
                    disk=f"file={self.node}/root.img,format=raw,snapshot=on",
                    kernel=kernel,
                    options=options,
                    extra=extra,
                )

        self._boot(launch)
        if self.scratch_mib:
            self._plug_scratch()

    def boot_to_save(self):
        """Boots so that save() can keep the machine: with its disk and its memory in files."""

        def launch():
            for name in ("warm.qcow2", "warm.memory"):
                if os.path.exists(f"{self.node}/{name}"):
                    os.unlink(f"{self.node}/{name}")
            # The relative name keeps the folder movable.
            create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "root.img", "-F", "raw", "warm.qcow2"]
            subprocess.run(create, cwd=self.node, check=True)
            self._launch(
                memory=f"memory-backend-file,id=memory,size={MEMORY_MIB}M,share=on,mem-path={self.node}/warm.memory",
                disk=f"file={self.node}/warm.qcow2,format=qcow2",
                options=["squall.containerd=1"],
            )

        self._boot(launch)

    def _boot(self, launch):
        """Starts over when the machine does not come up: under emulation a kernel hangs now and then before it has
        said anything. It takes 20 s otherwise."""
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            launch()
            try:
                return self.wait_until_ready()
            except TimeoutError:
                if attempt == BOOT_ATTEMPTS:
                    raise
                print(f"vm: not up after {BOOT_SECONDS} s; once more\n{self.post_mortem()}", end="", file=sys.stderr)
                self._end_processes()

    def save(self):
        """Saves everything but the memory, which is in its file already, and ends the machine."""
        self.monitor("stop")
        self._ignore_shared_memory()
        self.monitor("migrate-set-parameters", max_bandwidth=1 << 40)
        self.monitor("migrate", uri=f"exec:cat > {self.node}/warm.state")
        while (status := self.monitor("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise MachineError("QEMU cannot save the machine")
            time.sleep(0.02)
        self.power_off()

    def restore(self):
        """Goes on where save() stopped; changes to the disk are dropped."""
        # Memory must be shared for virtiofs, so each run needs a copy of its own.
        memory = tempfile.NamedTemporaryFile(prefix="squall-node.", dir="/dev/shm")
        with memory, self._locked():
            subprocess.run(["cp", "--sparse=always", f"{self.node}/warm.memory", memory.name], check=True)
            self._launch(
                memory=f"memory-backend-file,id=memory,size={MEMORY_MIB}M,share=on,mem-path={memory.name}",
                disk=f"file={self.node}/warm.qcow2,format=qcow2,snapshot=on",
                extra=["-incoming", "defer"],
            )
            self._ignore_shared_memory()
            self.monitor("migrate-incoming", uri=f"exec:cat {self.node}/warm.state")
            self._resume()
        if self.scratch_mib:
            self._plug_scratch()
        if self.share:
            self._plug_share()
        self._script(f"date -u -s @{time.time():.6f} >/dev/null", "set the clock")

    # While it runs

    def run(self, script, timeout, output):
        return self.commands.run(script, time.monotonic() + timeout, output)

    def wait_until_ready(self):
        self.commands.wait_until_ready(time.monotonic() + BOOT_SECONDS)

    def forward(self, host_port, guest_port):
        """Makes a TCP port of the guest reachable on 127.0.0.1."""
        answer = self.monitor(
            "human-monitor-command", command_line=f"hostfwd_add network tcp:127.0.0.1:{host_port}-:{guest_port}"
        )
        if answer.strip():
            raise MachineError(f"cannot forward port {host_port}: {answer.strip()}")

    def switch_on_again(self):
        """Whenever it has switched itself off, until it ends."""

        def watch():
            try:
                while True:
                    time.sleep(1)
                    if self.monitor("query-status")["status"] == "shutdown":
                        self.monitor("system_reset")
                        self.monitor("cont")
            except (MachineError, OSError):
                pass  # QEMU has ended.

        threading.Thread(target=watch, daemon=True).start()

    def power_off(self):
        """Ends QEMU, which writes out what it holds of a writable disk."""
        self.monitor("quit")
        self.qemu.wait(20)

    def post_mortem(self):
        """The ends of the logs, for an error message."""
        text = ""
        for name in ("console.log", "qemu.log", "virtiofsd.log"):
            try:
                with open(f"{self.temporary}/{name}", errors="replace") as log:
                    tail = log.read()[-3000:].strip()
            except OSError:
                continue
            if tail:
                text += f"--- {name}\n{tail}\n"
        return text

    # Inside

    def _locked(self):
        """Holds off `build`, which replaces the files in one go, until QEMU has opened them."""
        if not os.path.exists(f"{self.node}/root.img"):
            raise MachineError(f"there is no test node in {self.directory}: run scripts/node/build first")
        lock = open(os.path.join(self.directory, "lock"), "w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock

    def _start(self, arguments, log, pass_fds=()):
        with open(f"{self.temporary}/{log}", "w") as output:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                pass_fds=pass_fds,
                # Ctrl-C is for us; we then end them in order.
                process_group=0,
            )
        self.processes.append(process)
        return process

    def _launch(self, memory, disk, kernel=KERNEL, options=(), extra=()):
        qemu = f"{self.directory}/qemu/usr"
        kernel = f"{self.directory}/kernel/{kernel}"
        if self.scratch_mib:
            with open(f"{self.temporary}/scratch.img", "wb") as scratch:
                scratch.truncate(self.scratch_mib << 20)
            extra = [*extra, "-drive", f"file={self.temporary}/scratch.img,format=raw,if=none,id=scratch,cache=unsafe"]
        processor = next(name for name in PROCESSORS if os.path.exists(f"{qemu}/bin/qemu-system-{name}"))
        # A saved state only fits the same devices in the same order.
        self.qemu = self._start(
            [
                f"{qemu}/bin/qemu-system-{processor}",
                *("-L", f"{qemu}/share/qemu", "-L", f"{qemu}/share/seabios"),
                *(*PROCESSORS[processor], "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2"),
                *("-m", str(MEMORY_MIB), "-object", memory, "-numa", "node,memdev=memory"),
                *("-nodefaults", "-no-user-config", "-display", "none"),
                *(("-action", "shutdown=pause") if self.reboots else ("-no-reboot",)),
                *("-kernel", f"{kernel}/vmlinux", "-initrd", f"{kernel}/initramfs"),
                *("-append", " ".join([*KERNEL_OPTIONS, *options])),
                *("-device", "virtio-serial-pci,id=serial,max_ports=2"),
                *("-chardev", f"file,id=console,path={self.temporary}/console.log"),
                *("-device", "virtconsole,chardev=console,bus=serial.0,nr=0"),
                *("-chardev", f"socket,id=command,path={self.temporary}/command,server=on,wait=off"),
                *("-device", "virtserialport,chardev=command,name=command,bus=serial.0,nr=1"),
                *("-qmp", f"unix:{self.temporary}/monitor,server=on,wait=off"),
                *("-netdev", "user,id=network,restrict=on,ipv6=off"),
                *("-device", "virtio-net-pci,netdev=network,romfile="),
                *("-drive", f"{disk},if=none,id=root,cache=unsafe"),
                *("-device", "virtio-blk-pci,drive=root,bootindex=1"),
                # Free slots: virtiofs cannot be saved, so it is plugged in after a restore.
                *("-device", "pcie-root-port,id=slot-share,slot=1,chassis=1"),
                *("-device", "pcie-root-port,id=slot-scratch,slot=2,chassis=2"),
                *extra,
            ],
            "qemu.log",
        )
        deadline = time.monotonic() + 30
        self.monitor = Monitor(f"{self.temporary}/monitor", self.qemu, deadline)
        self.commands = CommandChannel(f"{self.temporary}/command", self.qemu, deadline)

    def _ignore_shared_memory(self):
        self.monitor("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def _resume(self):
        deadline = time.monotonic() + 30
        while (status := self.monitor("query-status")["status"]) != "running":
            if status == "paused":
                self.monitor("cont")
            if time.monotonic() > deadline:
                raise MachineError(f"the saved state does not load: QEMU is in state {status}")
            time.sleep(0.01)

    def _serve_share(self):
        path = f"{self.temporary}/share"
        if os.path.exists(path):
            os.unlink(path)
        # Whoever connects waits for it to begin, rather than for the socket's file, which is there before anybody listens.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            self._start(
                [
                    *(VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={os.path.abspath(self.share)}"),
                    *("-o", "cache=auto", "-o", "sandbox=chroot", "--thread-pool-size=1"),
                ],
                "virtiofsd.log",
                pass_fds=[listener.fileno()],
            )
        return path

    @staticmethod
    def _share_device():
        return "vhost-user-fs-pci,chardev=share,tag=share,queue-size=1024,bus=slot-share"

    def _plug_share(self):
        address = {"type": "unix", "data": {"path": self._serve_share()}}
        self.monitor("chardev-add", id="share", backend={"type": "socket", "data": {"addr": address, "server": False}})
        self.monitor(
            "device_add",
            driver="vhost-user-fs-pci",
            id="share",
            chardev="share",
            tag="share",
            queue_size=1024,
            bus="slot-share",
        )
        self._script(self._retry("mount -t virtiofs share /mnt/host"), "mount the share")

    def _plug_scratch(self):
        self.monitor("device_add", driver="virtio-blk-pci", id="scratch", drive="scratch", bus="slot-scratch")
        self._script(self._retry("test -b /dev/vdb"), "find the scratch disk")

    @staticmethod
    def _retry(command):
        """Hot-plugged devices appear a moment later."""
        return f"for try in $(seq 500); do {command} 2>/dev/null && exit; sleep 0.02; done; {command}"

    def _script(self, script, purpose):
        output = []
        if self.run(script, 60, output.append) != 0:
            raise MachineError(f"the guest cannot {purpose}: {b''.join(output).decode(errors='replace').strip()}")
