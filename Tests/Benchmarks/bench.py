"""Measures how fast and how small the agent is, each figure beside a rival in the same run, by turns. Run by scripts/bench."""

import argparse
import contextlib
import gzip
import json
import math
import multiprocessing
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from local_world import LocalAgent, LocalTarget
from running_agent import all_processes, role_of, start_time

PROGRAMS = Path(os.environ["SQUALL_PROGRAMS"]).resolve()
MICROBENCHMARKS = PROGRAMS / "Microbenchmarks"
MIB = 1 << 20


class Table:
    """One row per figure, told as it is measured."""

    def __init__(self, place):
        self.place, self.rows = place, []
        print("figure | value | unit | rival | ratio | goal | met", flush=True)

    def add(self, name, values, unit, goal=None, met=None, rivals=None, words=""):
        """`values` are of several turns: their median counts. `rivals` are what the figure is held against, in the same unit;
        `met`, of the median and the rivals', says whether the goal is reached."""
        values, rivals = listed(values), listed(rivals)
        value = statistics.median(values)
        rival = statistics.median(rivals) if rivals else None
        row = {
            "name": name, "value": value, "unit": unit, "spread": [min(values), max(values)], "rival": rival,
            "ratio": value / rival if rival else None, "goal": goal, "met": met(value, rival) if met else None,
            "words": words, "place": self.place,
        }  # fmt: skip
        self.rows.append(row)
        print(" | ".join(cells(row)), flush=True)


def listed(values):
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


def cells(row):
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    value = number(row["value"])
    low, high = row["spread"]
    if high > low:
        value += f" ({number(low)} to {number(high)})"
    return [
        row["name"], value, row["unit"], number(row["rival"]), number(row["ratio"]), row["goal"] or "", met, row["words"],
    ]  # fmt: skip


def number(value):
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def at_most(limit):
    return lambda value, _: value <= limit


def at_least(limit):
    return lambda value, _: value >= limit


def ratio_at_most(limit):
    return lambda value, rival: value <= limit * rival


def ratio_at_least(limit):
    return lambda value, rival: value >= limit * rival


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def exponent(points):
    """Of the power of the count by which a cost grows, by least squares of the logarithms; 0 is flat."""
    xs, ys = [math.log(count) for count, _ in points], [math.log(cost) for _, cost in points]
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def timed(body, *arguments):
    begun = time.perf_counter()
    body(*arguments)
    return time.perf_counter() - begun


def run(*command, **more):
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, **more)


class Wire:
    """One connection, kept; requests as bytes, since a client's own work is no figure of ours."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    @staticmethod
    def request(method, path, token):
        return f"{method} {path} HTTP/1.1\r\nHost: squall\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    def ask(self, request):
        """The status, the body, and how long it took in seconds."""
        begun = time.perf_counter()
        self.socket.sendall(request)
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = self.file.read(length)
        return status, body, time.perf_counter() - begun

    def close(self):
        self.file.close()
        self.socket.close()


def synced_write(file):
    """A line as long as a session's in the journal, made durable by whoever does nothing else."""
    begun = time.perf_counter()
    os.write(file, b"x" * 1500)
    os.fdatasync(file)
    return time.perf_counter() - begun


def disk_of(path):
    """Its file system."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    below = [fields for fields in mounts if Path(path).is_relative_to(fields[1])]
    return max(below, key=lambda fields: len(fields[1]))[2]


def memory_of(processes):
    """Bytes: what only they have, and their share of what they have with others."""
    return sum(
        int(re.search(r"^Pss: +(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)[1]) << 10
        for process in processes
    )


def wakeups_of(processes):
    """Of each thread, how often it has waited; a pool's threads come and go."""
    counts = {}
    for file in [task / "status" for process in processes for task in Path(f"/proc/{process}/task").iterdir()]:
        # One that has ended since has nothing to say.
        with contextlib.suppress(OSError):
            counts[file] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read_text(), re.MULTILINE)[1])
    return counts


def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("in vain")


@contextlib.contextmanager
def removed(*things):
    """What is made for a figure is gone after it, whatever became of that."""
    try:
        yield things[0]
    finally:
        for thing in things:
            thing.remove()


class Crowd:
    """Many targets that do nothing: each a process in a cgroup of its own, or in a network namespace of its own."""

    def __init__(self, count, with_network=False):
        self.home = LocalTarget(f"squall-crowd-{uuid.uuid4().hex[:8]}", memory=0)
        self.processes, self.directories = [], []
        command = ["sleep", "7200"]
        if with_network:
            link = "ip link add eth0 up type veth peer name peer0 && exec sleep 7200"
            command = ["unshare", "--net", "sh", "-c", link]
        with contextlib.ExitStack() as failed:
            failed.callback(self.remove)
            for index in range(count):
                process = os.posix_spawnp(command[0], command, dict(os.environ))
                self.processes.append(process)
                for directory in self.home.directories:
                    place = directory
                    if not with_network:
                        place = directory / str(index)
                        place.mkdir()
                        self.directories.append(place)
                        for file in ("cpuset.cpus", "cpuset.mems"):
                            if (place / file).exists():
                                (place / file).write_text((directory / file).read_text())
                    (place / "cgroup.procs").write_text(str(process))
            until(lambda: all(Path(f"/proc/{process}/comm").read_text() == "sleep\n" for process in self.processes), 60)
            failed.pop_all()

    @property
    def selectors(self):
        return [{"process": {"pid": process, "startTime": start_time(process)}} for process in self.processes]

    def remove(self):
        for process in self.processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        for directory in self.directories:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    directory.rmdir()
                    break
                time.sleep(0.01)
        self.home.remove()


class EmptyCgroups:
    """More targets than this machine has memory for as processes."""

    def __init__(self, count):
        root = Path("/sys/fs/cgroup")
        is_unified = (root / "cgroup.controllers").exists()
        self.home = (root if is_unified else root / "cpu") / f"squall-crowd-{uuid.uuid4().hex[:8]}"
        self.home.mkdir()
        if is_unified:
            (self.home / "cgroup.subtree_control").write_text("+cpu")
        for index in range(count):
            (self.home / str(index)).mkdir()
        self.selectors = [{"cgroup": f"/{self.home.name}/{index}"} for index in range(count)]

    def remove(self):
        for directory in [*self.home.glob("*/"), self.home]:
            directory.rmdir()


class Bench:
    def __init__(self, quick, root, table, minutes=60):
        self.quick, self.root, self.table, self.minutes = quick, root, table, minutes
        self.agent = LocalAgent(PROGRAMS, root / "agent", ["--max-sessions", "20000", "--max-memory", str(1 << 30)])
        self.agent.root.mkdir(mode=0o755)
        self.target = LocalTarget(f"squall-bench-{uuid.uuid4().hex[:8]}", memory=1 << 30)

    def __enter__(self):
        try:
            # As a pod has it.
            self.target.in_network("ip", "link", "add", "eth0", "up", "type", "veth", "peer", "name", "peer0")
            self.agent.start()
        except BaseException:
            self.target.remove()
            raise
        return self

    def __exit__(self, *_):
        with removed(self.target):
            self.agent.stop()

    def times(self, count):
        return range(max(3, count // 10) if self.quick else count)

    def injection(self, fault="cpu-throttle", target=None, duration="30m", parameters=None):
        token = self.agent.tenant.token(
            "inject", fault=fault, target=target or self.target.selector, parameters=parameters or {"percent": 90},
            duration=duration, exp=int(time.time()) + 15,
        )  # fmt: skip
        return Wire.request("POST", "/v1/sessions", token)

    def end(self, session):
        return Wire.request("DELETE", f"/v1/sessions/{session}", self.agent.tenant.token("end", session=session, exp=int(time.time()) + 15))

    def begin_all(self, targets, **more):
        wire, seconds = Wire(self.agent.api_socket), []
        for target in targets:
            status, body, each = wire.ask(self.injection(target=target, **more))
            assert status == 201, body
            seconds.append(each)
        wire.close()
        return seconds

    def squall(self, *words):
        run(PROGRAMS / "squall", *words, "--engine-socket", self.agent.engine_socket, timeout=600)

    def halt(self):
        """Takes every session back; how long that took."""
        seconds = timed(self.squall, "halt")
        self.squall("resume")
        return seconds

    def processes(self):
        deadmen = [process for process in all_processes() if role_of(process) == "deadman"]
        return [process for process, _ in self.agent.processes()] + deadmen

    def nsenter(self):
        return ["nsenter", f"--net=/proc/{self.target.process.pid}/ns/net"]

    def part(self, name, count, place=None):
        """What Microbenchmarks prints, by what it measured."""
        with tempfile.TemporaryDirectory(dir=self.root) as directory:
            output = subprocess.check_output([MICROBENCHMARKS, name, str(count), place or directory], text=True)
        told = map(json.loads, output.splitlines())
        return {each["name"]: each for each in told}

    # Groups

    def start(self):
        """What there is before the first session."""
        seconds = []
        for _ in self.times(10):
            self.agent.stop()
            begun = time.perf_counter()
            self.agent.start(poll=0.001)
            seconds.append((time.perf_counter() - begun) * 1e3)
        self.table.add("keeper started to ready", seconds, "ms", "100 ms at most", at_most(100))
        image = PROGRAMS / "squall.tar"
        if image.exists():
            packed = len(gzip.compress(image.read_bytes(), 6)) / MIB
            self.table.add("image, compressed", packed, "MiB", "30 MiB at most", at_most(30))
        memory = memory_of(self.processes()) / MIB
        self.table.add("memory of all processes, idle", memory, "MiB", "24 MiB at most", at_most(24))
        self.table.add("wake-ups, no session", self.wakeups(), "1/s", "0", at_most(0))

    def wakeups(self):
        # Threads that nobody needs end after some seconds.
        time.sleep(8)
        processes = self.processes()
        before = wakeups_of(processes)
        time.sleep(10)
        return sum(count - before.get(file, 0) for file, count in wakeups_of(processes).items()) / 10

    def parts(self):
        """What one request consists of, each alone."""
        words = {
            "json": "claims parsed and written", "frame": "a frame written and read",
            "eddsa": "a token verified, Ed25519", "es256": "a token verified, P-256",
        }  # fmt: skip
        for name, what in words.items():
            told = self.part(name, 2000)[name]
            self.table.add(what, [told[key] / 1e3 for key in ("median", "p10", "p90")], "µs")
        told = self.part("journal", 100 if self.quick else 1000)
        ours, bare = ([told[name][key] / 1e3 for key in ("median", "p10", "p90")] for name in ("journal", "fdatasync"))
        self.table.add("an entry made durable", ours, "µs", None, None, bare, f"beside fdatasync, {disk_of(self.root)}")
        told = self.part("clsact", 1000)["clsact"]
        tc = [*self.nsenter(), "tc", "qdisc"]
        theirs = []
        for _ in self.times(30):
            seconds = timed(run, *tc, "add", "dev", "eth0", "clsact") + timed(run, *tc, "del", "dev", "eth0", "clsact")
            theirs.append(seconds * 1e6)
        self.table.add(
            "clsact added and deleted", [told[key] / 1e3 for key in ("median", "p10", "p90")], "µs", "1/50 of nsenter tc",
            ratio_at_most(1 / 50), theirs,
        )  # fmt: skip

    def instructions(self):
        """What does not depend on how busy the machine is."""
        if not shutil.which("valgrind"):
            print("instructions: valgrind is not installed", file=sys.stderr)
            return
        for name in ("json", "frame", "eddsa", "es256"):
            counts = []
            for count in (0, 200):
                with tempfile.TemporaryDirectory(dir=self.root) as directory:
                    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out", "--quiet"]
                    run(*command, MICROBENCHMARKS, name, count, directory)
                    text = Path(f"{directory}/out").read_text()
                    counts.append(int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)[1]))
            self.table.add(f"instructions: {name}", (counts[1] - counts[0]) / 200, "")

    def latency(self):
        """The kernel change of network-latency, where the kernel has netem."""
        if not self.has("network-latency", {"latency": "100ms"}):
            return
        network = f"/proc/{self.target.process.pid}/ns/net"
        told = self.part("latency", 20 if self.quick else 200, place=network)["latency"]
        tc = [*self.nsenter(), "tc", "qdisc"]
        theirs = []
        for _ in self.times(50):
            seconds = timed(run, *tc, "add", "dev", "eth0", "root", "netem", "delay", "100ms")
            theirs.append((seconds + timed(run, *tc, "del", "dev", "eth0", "root")) * 1e3)
        self.table.add(
            "network-latency's change of the kernel, made, verified and taken back",
            [told[key] / 1e6 for key in ("median", "p10", "p90")], "ms", "1/50 of nsenter tc", ratio_at_most(1 / 50), theirs,
        )  # fmt: skip

    def has(self, fault, parameters):
        answer = self.agent.tenant.plan(fault, self.target.selector, parameters)
        if answer.status != 200:
            print(f"{fault}: not on this kernel: {answer.body.get('detail')}", file=sys.stderr)
        return answer.status == 200

    def requests(self):
        """A whole request, by one caller."""
        wire = Wire(self.agent.api_socket)
        file = os.open(self.agent.state_directory / "witness", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        tc = [*self.nsenter(), "tc", "qdisc"]
        # What every kernel has; a helper pod adds netem, which takes no less.
        rival = ("dev", "eth0", "root", "handle", "1:", "tbf", "rate", "1gbit", "burst", "1mb", "latency", "1ms")
        faults = {
            "network-latency": {"latency": "100ms"}, "cpu-throttle": {"percent": 90}, "memory-squeeze": {"percent": 90},
            "io-throttle": {"path": "/var/tmp", "writeBytesPerSec": "100MiB"},
        }  # fmt: skip
        for fault, parameters in faults.items():
            if not self.has(fault, parameters):
                continue
            ours, theirs, synced = [], [], []
            for turn in self.times(1000):
                status, body, seconds = wire.ask(self.injection(fault, parameters=parameters))
                assert status == 201, body
                ours.append(seconds * 1e3)
                status, body, _ = wire.ask(self.end(json.loads(body)["id"]))
                assert status == 200, body
                synced.append(synced_write(file) * 1e3)
                if turn % 20 == 0:
                    theirs.append(timed(run, *tc, "add", *rival) * 1e3)
                    run(*tc, "del", "dev", "eth0", "root")
            middle = [percentile(ours, 50), percentile(ours, 10), percentile(ours, 90)]
            self.table.add(f"{fault}, a whole request", middle, "ms", "1/4 of nsenter tc", ratio_at_most(1 / 4), theirs)
            self.table.add(
                f"{fault}, a whole request, 99th percentile", percentile(ours, 99), "ms", "1 ms above fdatasync's",
                lambda value, bare: value <= bare + 1, percentile(synced, 99), f"journal on {disk_of(self.agent.state_directory)}",
            )  # fmt: skip
        os.close(file)
        wire.close()

    def load(self):
        """cpu-stress: how soon it begins, and how exactly it keeps to what was asked."""
        directories = [directory / "cgroup.procs" for directory in self.target.directories]

        def by_hand(*words):
            def enter():
                for file in directories:
                    file.write_text("0")

            return subprocess.Popen(["stress-ng", *words], preexec_fn=enter, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def has_run(name):
            """How long those processes of the target's that are called so have had a CPU, in milliseconds."""
            total = 0
            for process in self.target.processes():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{process}/comm").read_text().startswith(name):
                        # clock_getcpuclockid(3): to the instant, where /proc tells what was at the last tick.
                        total += time.clock_gettime((~process << 3) | 2)
            return total * 1e3

        wire = Wire(self.agent.api_socket)

        def until_busy(prepare, name):
            """Until what loads the CPU has done so for 5 ms, without these 5 ms."""
            begin = prepare()
            # What went before is over.
            time.sleep(0.3)
            begun = time.perf_counter()
            ended = begin()
            while has_run(name) < 5:
                assert time.perf_counter() - begun < 10, "never busy"
                # Whoever looks all the time takes a CPU himself.
                time.sleep(0.0002)
            seconds = time.perf_counter() - begun
            ended()
            return seconds * 1e3 - 5

        def ours(load=100):
            request = self.injection("cpu-stress", parameters={"load": load, "workers": 1})

            def begin():
                status, body, _ = wire.ask(request)
                assert status == 201, body
                return lambda: wire.ask(self.end(json.loads(body)["id"]))

            return begin

        def theirs(*words):
            def begin():
                process = by_hand("--cpu", "1", *words)
                return lambda: (process.terminate(), process.wait())

            return begin

        own, rival = [], []
        for _ in self.times(20):
            own.append(until_busy(ours, "squall-worker"))
            rival.append(until_busy(theirs, "stress-ng-cpu"))
        self.table.add("cpu-stress, request to a busy CPU", own, "ms", "1/3 of stress-ng", ratio_at_most(1 / 3), rival)

        def errors(begin, asked):
            """Of the whole, and of each second on average, in percent of a CPU."""
            ended = begin()
            time.sleep(2)
            seconds = []
            first, start = last, at = self.target.cpu_seconds(), time.perf_counter()
            for _ in range(5 if self.quick else 20):
                time.sleep(1)
                used, now = self.target.cpu_seconds(), time.perf_counter()
                seconds.append(abs(100 * (used - last) / (now - at) - asked))
                last, at = used, now
            ended()
            return abs(100 * (last - first) / (at - start) - asked), statistics.mean(seconds)

        for asked in (10, 37, 50, 90):
            own = errors(ours(asked), asked)
            rival = errors(theirs("--cpu-load", str(asked)), asked)
            for index, what in enumerate(("", ", second by second")):
                self.table.add(
                    f"cpu-stress, error at {asked} %{what}", own[index], "% of a CPU", "1/10 of stress-ng",
                    ratio_at_most(1 / 10), rival[index],
                )  # fmt: skip

    def fill(self):
        """memory-stress: how fast it has what it is to hold, and what it needs beside that."""
        size = 512 * MIB
        directories = [directory / "cgroup.procs" for directory in self.target.directories]

        def enter():
            for file in directories:
                file.write_text("0")

        def rate(begin):
            """Bytes a second from the first eighth to the last."""
            ended = begin()
            until(lambda: self.target.anonymous_bytes() >= size / 8, 60)
            first, begun = self.target.anonymous_bytes(), time.perf_counter()
            until(lambda: self.target.anonymous_bytes() >= size * 7 / 8, 60)
            last = self.target.anonymous_bytes()
            seconds = time.perf_counter() - begun
            ended()
            return (last - first) / seconds / MIB

        def ours():
            wire = Wire(self.agent.api_socket)
            # Not waited for: it is in effect when all is held.
            wire.socket.sendall(self.injection("memory-stress", parameters={"size": "512MiB"}))
            return lambda: (self.halt(), wire.close())

        def theirs(*command):
            def begin():
                process = subprocess.Popen([str(word) for word in command], preexec_fn=enter, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

                def end():
                    process.terminate()
                    process.wait()
                    while self.target.anonymous_bytes() > size / 16:
                        time.sleep(0.01)

                return end

            return begin

        touching = theirs(MICROBENCHMARKS, "touch", size, self.root)
        stress = theirs("stress-ng", "--vm", "1", "--vm-bytes", "512M", "--vm-populate", "--vm-keep", "--vm-hang", "0")
        rates = {name: [] for name in ("ours", "touching", "stress")}
        for _ in self.times(20):
            rates["ours"].append(rate(ours))
            rates["touching"].append(rate(touching))
            rates["stress"].append(rate(stress))
        name = "memory-stress, filling"
        self.table.add(
            f"{name}, beside a loop that touches each page", rates["ours"], "MiB/s", "1.3 times", ratio_at_least(1.3),
            rates["touching"],
        )  # fmt: skip
        self.table.add(
            f"{name}, beside stress-ng --vm-populate", rates["ours"], "MiB/s", "no slower", ratio_at_least(1), rates["stress"]
        )
        session = self.agent.tenant.begin("memory-stress", self.target.selector, {"size": "64MiB"}, duration="60s")
        time.sleep(2)
        (worker,) = self.agent.workers(session)
        resident = int(self.agent.process_status(worker)["VmRSS"].split()[0])
        self.agent.tenant.end(session)
        self.table.add("a worker, beyond what it holds", resident / 1024 - 64, "MiB", "2 MiB at most", at_most(2))

    def disk(self):
        """io-stress beside fio with the same job, by turns, on the disk that this lies on."""
        place = self.root / "io"
        place.mkdir()
        file = place / "fio"

        def told(session):
            effect = self.agent.tenant.read(session).body["steps"][0]["effect"]
            return effect["readBytes"] + effect["writtenBytes"], effect["seconds"]

        def ours(size, share):
            parameters = {"path": str(place), "size": "64MiB", "blockSize": size, "readPercent": share, "workers": 1}
            session = self.agent.tenant.begin("io-stress", self.target.selector, parameters, duration="60s")
            time.sleep(2)
            bytes, since = told(session)
            time.sleep(4)
            later, now = told(session)
            self.agent.tenant.end(session)
            return (later - bytes) / (now - since) / MIB

        def theirs(size, share, seconds=4):
            command = ["fio", "--name=job", f"--filename={file}", "--size=64M", "--thread", "--direct=1", "--ioengine=psync",
                       "--time_based", "--ramp_time=2", f"--runtime={seconds}", "--output-format=json", "--rw=randrw",
                       f"--rwmixread={share}", f"--bs={size.removesuffix('iB')}"]  # fmt: skip
            (job,) = json.loads(subprocess.check_output(command))["jobs"]
            return (job["read"]["bw_bytes"] + job["write"]["bw_bytes"]) / MIB

        # Both begin with a file that is there.
        theirs("1MiB", 0, seconds=1)
        for size, share in (("4KiB", 50), ("64KiB", 0)):
            own, rival = [], []
            for _ in self.times(7):
                own.append(ours(size, share))
                rival.append(theirs(size, share))
            self.table.add(
                f"io-stress, blocks of {size}, {share} % read", own, "MiB/s", "0.95 of fio", ratio_at_least(0.95), rival,
                words=f"on {disk_of(place)}",
            )  # fmt: skip

    def throughput(self):
        """Sessions begun in a second, by one caller and by 64 at once, each with a target of its own."""
        with removed(Crowd(64)) as crowd:
            self.throughput_among(crowd.selectors)

    def throughput_among(self, targets):
        def rate(callers, each):
            ready, statuses = multiprocessing.Barrier(callers + 1), multiprocessing.Queue()

            def call(target):
                requests = [self.injection(target=target) for _ in range(each)]
                wire = Wire(self.agent.api_socket)
                ready.wait(60)
                statuses.put([wire.ask(request)[0] for request in requests])

            processes = [multiprocessing.Process(target=call, args=(target,)) for target in targets[:callers]]
            for process in processes:
                process.start()
            ready.wait(60)
            begun = time.perf_counter()
            told = [status for _ in processes for status in statuses.get(timeout=60)]
            seconds = time.perf_counter() - begun
            for process in processes:
                process.join()
            assert set(told) == {201}, sorted(set(told))
            self.halt()
            return callers * each / seconds

        alone, together = [], []
        for _ in range(1 if self.quick else 5):
            alone.append(rate(1, 200))
            together.append(rate(64, 20))
        self.table.add(
            "sessions begun in a second, 64 callers beside one", together, "1/s", "5 times, and 1,000",
            lambda value, rival: value >= 5 * rival and value >= 1000, alone,
        )  # fmt: skip

    def crowd(self):
        """What sessions that only live cost, by their number."""
        self.crowds("cpu-throttle", {"percent": 90}, (10, 100) if self.quick else (10, 100, 1000), Crowd)

    def many(self):
        """The same of ten thousand, where a process may open files for so many."""
        self.crowds("cpu-throttle", {"percent": 90}, (100, 1000) if self.quick else (1000, 10_000), EmptyCgroups)

    def networks(self):
        """The same in network namespaces, where the kernel has netem."""
        if self.has("network-latency", {"latency": "100ms"}):
            counts = (10, 100) if self.quick else (10, 100, 1000)
            self.crowds("network-latency", {"latency": "100ms"}, counts, lambda count: Crowd(count, with_network=True))

    def crowds(self, fault, parameters, counts, targets):
        costs = {"begin": [], "end": [], "recover": [], "memory": []}
        for count in counts:
            with removed(targets(count)) as crowd:
                selectors = crowd.selectors
                # An engine that has seen nothing yet, so that what it holds is of these sessions.
                self.agent.stop()
                self.agent.start()
                # What it needs for any session is there before it is measured.
                self.begin_all([self.target.selector] * 20, fault=fault, parameters=parameters)
                self.halt()
                before = memory_of(self.processes())
                seconds = self.begin_all(selectors, fault=fault, parameters=parameters)
                costs["begin"].append((count, sum(seconds) / count * 1e3))
                each = (memory_of(self.processes()) - before) / count / 1024
                costs["memory"].append((count, each))
                if count == counts[-1]:
                    self.table.add(f"{fault}: wake-ups, {count} sessions", self.wakeups(), "1/s", "1 at most", at_most(1))
                    scrapes = [
                        timed(self.agent.tenant.call, "GET", "/metrics") * 1e3 for _ in range(20)
                    ]
                    self.table.add(f"{fault}: a scrape, {count} sessions", scrapes, "ms", "5 ms at most", at_most(5))
                    self.table.add(f"{fault}: memory of each of {count} sessions", each, "KiB", "16 KiB at most", at_most(16))
                costs["end"].append((count, self.halt() / count * 1e3))
                self.begin_all(selectors, fault=fault, parameters=parameters)
                begun = time.perf_counter()
                self.agent.kill_engine()
                # It serves when it has taken back all that it can.
                self.agent.wait_until_ready(600, poll=0.001)
                taken_back = self.agent.tenant.list().body["sessions"]
                assert all(session["state"] == "ended" for session in taken_back), taken_back
                costs["recover"].append((count, (time.perf_counter() - begun) / count * 1e3))
        for what in ("end", "recover"):
            count, each = costs[what][-1]
            name = "a halt" if what == "end" else "recovery after SIGKILL"
            self.table.add(f"{fault}: {name}, each of {count}", each, "ms", "0.5 ms at most", at_most(0.5))
        for what, points in costs.items():
            told = ", ".join(f"{count}: {number(cost)}" for count, cost in points)
            unit = "KiB" if what == "memory" else "ms"
            # What is there once for all makes few sessions dear: growth from the second figure on is what counts.
            self.table.add(
                f"{fault}: growth of {what} for each", exponent(points), "exponent", "flat: 0.08 at most", at_most(0.08),
                words=f"{told} {unit}",
            )  # fmt: skip


    def soak(self):
        """Sessions of all families that begin and end at random: what the agent holds is to be the same at the end."""
        faults = {
            "cpu-throttle": {"percent": 80}, "cpu-stress": {"load": 5, "workers": 1}, "memory-stress": {"size": "8MiB"},
            "memory-squeeze": {"percent": 95}, "disk-fill": {"path": "/tmp", "size": "4MiB"}, "container-pause": {},
            "io-stress": {"path": "/tmp", "size": "4MiB"}, "network-latency": {"latency": "10ms"},
            "network-loss": {"percent": 1}, "network-partition": {"destinationIPs": ["192.0.2.1"]},
            "network-rate-limit": {"rate": "100Mbit"},
        }  # fmt: skip
        usable = {name: parameters for name, parameters in faults.items() if self.has(name, parameters)}
        targets = [LocalTarget(f"squall-soak-{uuid.uuid4().hex[:8]}") for number in range(8)]
        with removed(*targets):
            self.soak_among(targets, usable)

    def soak_among(self, targets, usable):
        for target in targets:
            target.in_network("ip", "link", "add", "eth0", "up", "type", "veth", "peer", "name", "peer0")
        chance, live, samples, refused = random.Random(1), [], [], 0
        end = time.monotonic() + self.minutes * 60
        latencies, next_sample = [], time.monotonic() + 10
        wire = Wire(self.agent.api_socket)
        while time.monotonic() < end:
            name = chance.choice(list(usable))
            request = self.injection(
                name, target=chance.choice(targets).selector, duration=f"{chance.randint(1, 10)}s", parameters=usable[name]
            )
            status, body, seconds = wire.ask(request)
            # A paused target, or one that is short of memory, takes no other.
            refused += status != 201
            if status == 201:
                live.append(json.loads(body)["id"])
                latencies.append(seconds * 1e3)
            if len(live) > 20:
                wire.ask(self.end(live.pop(chance.randrange(len(live)))))
            time.sleep(chance.uniform(0, 0.1))
            if time.monotonic() > next_sample and latencies:
                processes = self.processes()
                samples.append({
                    "memory": memory_of(processes) / MIB,
                    "descriptors": sum(len(os.listdir(f"/proc/{process}/fd")) for process in processes),
                    "threads": sum(len(os.listdir(f"/proc/{process}/task")) for process in processes),
                    "latency": statistics.median(latencies),
                })  # fmt: skip
                next_sample, latencies = time.monotonic() + 10, []
        wire.close()
        self.halt()
        # What is kept of sessions that are over is full by then.
        samples = samples[len(samples) // 5 :]
        part = max(1, len(samples) // 4)
        words = f"{', '.join(usable)}; {refused} refused"
        for what, unit, most in (("memory", "MiB", 1.1), ("descriptors", "", 1.1), ("threads", "", 1.1), ("latency", "ms", 1.3)):
            values = [sample[what] for sample in samples]
            self.table.add(
                f"soak of {self.minutes} minutes: {what}, the last quarter beside the first", values[-part:], unit,
                f"{most} times at most", ratio_at_most(most), values[:part], words,
            )  # fmt: skip


GROUPS = (
    "start", "parts", "instructions", "latency", "requests", "load", "fill", "disk", "throughput", "crowd", "networks", "many", "soak",
)  # fmt: skip
ONLY_NAMED = ("many", "soak")


def main():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", type=Path, help="the rows, as an array of objects")
    parser.add_argument("--minutes", type=int, default=60, help="how long the soak lasts")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; all but {' and '.join(ONLY_NAMED)} unless told")
    options = parser.parse_args()
    for group in set(options.groups) - set(GROUPS):
        parser.error(f"there is no group {group}")
    # On a disk, never in memory: what is durable is part of each figure.
    root = Path(tempfile.mkdtemp(prefix="squall-bench.", dir="/var/tmp"))
    root.chmod(0o755)
    table = Table(f"Linux {platform.release()}, {os.cpu_count()} CPUs")
    try:
        with Bench(options.quick, root, table, options.minutes) as bench:
            for group in GROUPS:
                if group in options.groups or (not options.groups and group not in ONLY_NAMED):
                    getattr(bench, group)()
    finally:
        shutil.rmtree(root, ignore_errors=True)
        if options.json:
            options.json.write_text(json.dumps(table.rows, indent=2) + "\n")
    missed = [row for row in table.rows if row["met"] is False]
    print(f"{len(table.rows)} figures, {len(missed)} short of their goal")


if __name__ == "__main__":
    main()
