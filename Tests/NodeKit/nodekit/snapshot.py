"""The whole state of a node as plain data, to prove that nothing is left behind.

    python3 -m nodekit.snapshot take FILE
    python3 -m nodekit.snapshot compare BEFORE AFTER    (status 1 when they differ)

A snapshot is {kind: {key: value}}. Keep its file where snapshots do not look: in the share or /run/squall-node.
What may differ is in snapshot-ignores.json, each entry with its reason: `kind`, a pattern for the whole `key`, and,
to ignore no more than a changed field of it, a pattern for the `field`.
"""

import argparse
import json
import os
import re
import stat
import sys

from . import network
from .processes import link, processes, read

IGNORES = os.path.join(os.path.dirname(__file__), "..", "snapshot-ignores.json")
CGROUP_ROOT = "/sys/fs/cgroup"
NAMESPACE_TYPES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
# Folders of the node where something could be left; the rest of its disk holds Debian's packages.
FOLDERS = ("/dev", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/var")
# In a container's root, all but the kernel's own file systems.
KERNEL_FOLDERS = ("/proc", "/sys")
# The runtime's own. Where it is mounted into a container, as into the agent's, all containers are seen through it once more,
# that one within itself.
RUNTIME_FOLDER = "/run/containerd"
# Writable files of a cgroup that are commands, lists of tasks, counters or measurements instead of settings.
NOT_SETTINGS = re.compile(
    r"cgroup\.(kill|procs|threads|event_control|clone_children)|tasks|.*(cpu|io|memory|irq)\.pressure"
    r"|memory\.(reclaim|force_empty|pressure_level|numa_stat)|.*(peak|usage_in_bytes|usage|failcnt|reset_stats)"
)


def take():
    """A snapshot of this node."""
    snapshot = _Snapshot()
    # Not the process that looks: it is another one each time.
    alive = [process for process in processes() if process.pid != os.getpid()]
    alive.sort(key=lambda process: (process.start, process.pid))
    for process in alive:
        snapshot.add("process", f"{process.pid} started {process.start}", _describe_process(process))
    for path, settings in _cgroups(alive):
        snapshot.add("cgroup", path, settings)
    for name, pid in _owners("mnt", alive).items():
        unseen = None if name == "node" else f"{RUNTIME_FOLDER}/"
        for mountpoint, value in _mounts(pid):
            if not (unseen and mountpoint.startswith(unseen)):
                snapshot.add("mount", f"in {name} {mountpoint}", value)
        folders = FOLDERS if name == "node" else _top_folders(f"/proc/{pid}/root")
        for path, value in _files(f"/proc/{pid}/root", folders, unseen):
            snapshot.add("file", path if name == "node" else f"in {name} {path}", value)
    namespaces = _namespaces(alive)
    for identity in sorted(namespaces):
        snapshot.add("namespace", identity, {"type": identity.split(":")[0]})
    networks = dict(_network_namespaces(alive, namespaces))
    for name, contents in zip(networks, network.describe(networks.values())):
        for kind, key, value in contents:
            snapshot.add(kind, f"in {name} {key}", value)
    for line in read("/proc/modules").splitlines():
        snapshot.add("module", line.split()[0], {})
    return snapshot.kinds


class _Snapshot:
    def __init__(self):
        self.kinds = {}

    def add(self, kind, key, value):
        """A key that is there already (two routes, two mounts on each other) gets a number."""
        entries = self.kinds.setdefault(kind, {})
        name, count = key, 1
        while name in entries:
            count += 1
            name = f"{key} #{count}"
        entries[name] = value


def _describe_process(process):
    state = {"T": "stopped", "t": "traced", "Z": "zombie"}.get(process.state, "alive")
    try:
        affinity = sorted(os.sched_getaffinity(process.pid))
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
    except OSError:
        affinity = nice = None
    return {
        "comm": process.comm,
        "cmdline": list(process.cmdline),
        "exe": process.exe,
        "parent": process.ppid,
        "state": state,
        "cgroup": process.cgroup,
        "affinity": affinity,
        "nice": nice,
        "oom_score_adj": read(f"/proc/{process.pid}/oom_score_adj").strip(),
        "limits": read(f"/proc/{process.pid}/limits").splitlines()[1:],
        **{f"{type} namespace": link(f"/proc/{process.pid}/ns/{type}") for type in NAMESPACE_TYPES},
    }


def _cgroups(alive):
    names = {str(process.pid): f"{process.pid} started {process.start} {process.comm}" for process in alive}
    for path, folders, files in os.walk(CGROUP_ROOT):
        folders.sort()
        settings = {}
        for file in sorted(files):
            writable = os.stat(os.path.join(path, file)).st_mode & 0o222
            if writable and not NOT_SETTINGS.fullmatch(file):
                settings[file] = read(os.path.join(path, file), None)
        pids = read(os.path.join(path, "cgroup.procs")).split()
        settings["processes"] = sorted(names[pid] for pid in pids if pid in names)
        yield path, settings


def _owners(type, alive):
    """Each namespace of a type that some process is in: {name: pid}.

    It is named for the cgroup of its oldest process, because that is still the pod after processes have come and gone.
    """
    found, names = {}, {}
    for process in [p for p in alive if p.pid == 1] + alive:
        identity = link(f"/proc/{process.pid}/ns/{type}")
        if identity and identity not in found:
            name = base = "node" if process.pid == 1 else process.cgroup
            while name in names:
                name = f"{base} {identity}"
            found[identity] = name
            names[name] = process.pid
    return names


def _mounts(pid):
    """Mount points with everything but numbers that the kernel deals out."""
    for line in read(f"/proc/{pid}/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, root, mountpoint, options, *propagation = left.split(" ")
        file_system, source, super_options = right.split(" ", 2)
        yield mountpoint, {
            "root": root,
            "options": options,
            "propagation": sorted(field.split(":")[0] for field in propagation),
            "file system": file_system,
            "source": source,
            "super options": super_options,
        }


def _top_folders(root):
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    return [f"/{name}" for name in names if f"/{name}" not in KERNEL_FOLDERS]


def _files(root, folders, unseen=None):
    """Everything below these folders of a root, itself perhaps another mount namespace's; but nothing whose path begins
    with what is unseen."""
    waiting = list(folders)
    while waiting:
        path = waiting.pop()
        if unseen and path.startswith(unseen):
            continue
        try:
            status = os.lstat(root + path)
        except OSError:
            continue  # It went away, or was never there.
        value = {
            "type": stat.filemode(status.st_mode)[0],
            "mode": oct(stat.S_IMODE(status.st_mode)),
            "owner": f"{status.st_uid}:{status.st_gid}",
        }
        if stat.S_ISDIR(status.st_mode):
            try:
                waiting += [f"{path}/{name}" for name in os.listdir(root + path)]
            except OSError:
                pass
        elif stat.S_ISLNK(status.st_mode):
            value["target"] = link(root + path)
        elif stat.S_ISREG(status.st_mode):
            value |= {"size": status.st_size, "modified": status.st_mtime_ns}
        yield path, value


def _namespaces(alive):
    """{"net:[4026531840]": a path to it} of all namespaces held by a process, a descriptor or a mount."""
    found = {}
    for process in alive:
        for type in NAMESPACE_TYPES:
            path = f"/proc/{process.pid}/ns/{type}"
            if identity := link(path):
                found.setdefault(identity, path)
    # After them: the runtime opens a pod's network now and then, and a descriptor may be closed before it is used.
    for process in alive:
        folder = f"/proc/{process.pid}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        for descriptor in descriptors:
            path = f"{folder}/{descriptor}"
            if (identity := link(path) or "").partition(":[")[0] in NAMESPACE_TYPES:
                found.setdefault(identity, path)
    for mountpoint, mount in _mounts(1):
        if mount["file system"] == "nsfs":
            found.setdefault(mount["root"], mountpoint)
    return found


def _network_namespaces(alive, namespaces):
    names = {link(f"/proc/{pid}/ns/net"): name for name, pid in _owners("net", alive).items()}
    for identity, path in sorted(namespaces.items()):
        if identity.startswith("net:"):
            yield names.get(identity, path if path.startswith("/run/netns/") else identity), path


# Comparing


def load_ignores(path=IGNORES):
    with open(path) as file:
        return json.load(file)


def compare(before, after, ignores=None):
    """What differs, each as a line for people. No differences: an empty list."""
    ignores = load_ignores() if ignores is None else ignores
    differences = []
    for kind in sorted({*before, *after}):
        old, new = before.get(kind, {}), after.get(kind, {})
        for key in sorted({*old, *new}):
            if key not in new:
                lines = [(None, f"missing {json.dumps(old[key])}")]
            elif key not in old:
                lines = [(None, f"extra {json.dumps(new[key])}")]
            else:
                lines = _changed_fields(old[key], new[key])
            differences += [
                f"{kind} {key}: {text}" for field, text in lines if not _is_ignored(ignores, kind, key, field)
            ]
    return differences


def _changed_fields(old, new, prefix=""):
    """(field, text) of each change; the fields of nested values have dotted names."""
    for name in sorted({*old, *new}):
        field = prefix + name
        if (was := old.get(name)) == (now := new.get(name)):
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _changed_fields(was, now, f"{field}.")
        elif isinstance(was, list) and isinstance(now, list):
            yield field, f"{field}: " + ", ".join(
                [f"missing {json.dumps(item)}" for item in was if item not in now]
                + [f"extra {json.dumps(item)}" for item in now if item not in was]
            )
        else:
            yield field, f"{field}: {json.dumps(was)} became {json.dumps(now)}"


def _is_ignored(ignores, kind, key, field):
    """An entry without a field covers all of the key; one with a field does not cover the key's coming and going."""
    return any(
        entry["kind"] == kind
        and re.fullmatch(entry["key"], key)
        and ("field" not in entry or (field is not None and re.fullmatch(entry["field"], field)))
        for entry in ignores
    )


def main():
    parser = argparse.ArgumentParser(prog="nodekit.snapshot", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("take").add_argument("file")
    comparison = commands.add_parser("compare")
    comparison.add_argument("before")
    comparison.add_argument("after")
    options = parser.parse_args()
    if options.command == "take":
        snapshot = take()
        with open(options.file, "w") as file:
            json.dump(snapshot, file, indent=1, sort_keys=True)
        return 0
    snapshots = []
    for path in (options.before, options.after):
        with open(path) as file:
            snapshots.append(json.load(file))
    differences = compare(*snapshots)
    print("\n".join(differences) or "no differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
