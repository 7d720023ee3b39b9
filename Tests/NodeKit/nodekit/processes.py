"""The node's processes, read from /proc."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    pid: int
    ppid: int
    start: int
    """In clock ticks since boot; with the pid it names a process for good."""
    comm: str
    state: str
    is_kernel_thread: bool
    cmdline: tuple
    exe: str | None
    cgroup: str


PF_KTHREAD = 0x00200000


def read(path, default=""):
    """A file of /proc or /sys, or the default when it (or its process) is gone or unreadable."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return default


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def cgroup_path(text):
    """The cgroup v2 path in a /proc/PID/cgroup; the first line's on v1."""
    lines = text.splitlines()
    unified = [line for line in lines if line.startswith("0::")]
    return (unified or lines or ["0::"])[0].split(":", 2)[2]


def process(pid):
    """None when there is no such process."""
    stat = read(f"/proc/{pid}/stat")
    if not stat:
        return None
    # The name is in parentheses and may contain any character, also a parenthesis.
    comm = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        start=int(fields[19]),
        comm=comm,
        state=fields[0],
        is_kernel_thread=bool(int(fields[6]) & PF_KTHREAD),
        cmdline=tuple(read(f"/proc/{pid}/cmdline").split("\0")[:-1]),
        exe=link(f"/proc/{pid}/exe"),
        cgroup=cgroup_path(read(f"/proc/{pid}/cgroup")),
    )


def processes():
    """All but kernel threads."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process and not process.is_kernel_thread]
