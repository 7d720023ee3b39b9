"""What was asked for against what came of it, for each fault at several intensities, by witnesses that are not the agent's:
ping, iperf3, fio, frames compared bit by bit, and the kernel's own statistics of cgroups, interfaces and file systems.
Beside it, where there is such a thing, what `tc`, `stress-ng` and others reach that are called by hand in the same run. Run by
scripts/accuracy, in the test node."""

import argparse
import contextlib
import json
import math
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

from conftest import IN_NODE

if not IN_NODE:
    sys.exit("run it with scripts/accuracy: it is for the test node")

from node_world import CGROUPS, NodeWorld  # noqa: E402: found by conftest

MIB = 1 << 20
AT_MOST, AT_LEAST = "at most that", "at least that"
# A rate that nobody may exceed, as seen by who is held to it: others may keep it from being reached.
RATE = "3 % more at most"
BEYOND = {AT_MOST: lambda ours, asked: ours <= asked, AT_LEAST: lambda ours, asked: ours >= asked,
          RATE: lambda ours, asked: ours <= 1.03 * asked}  # fmt: skip
ROWS = []


def row(fault, asked, unit, ours, by_hand, witness, bound=None):
    """`bound`: how far ours may be from what was asked, or one of BEYOND."""
    ROWS.append((fault, asked, unit, ours, by_hand, witness, bound))
    print(" | ".join(words(ROWS[-1])), flush=True)


def words(cells):
    fault, asked, unit, ours, by_hand, witness, bound = cells
    if bound in BEYOND:
        is_near, aim = BEYOND[bound](ours, asked), bound
    else:
        is_near, aim = bound is not None and abs(ours - asked) <= bound, "" if bound is None else f"± {bound:.2f}"
    is_within = "" if bound is None else "yes" if is_near else "NO"

    def number(value):
        return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

    return [fault, f"{number(asked)} {unit}", number(ours), number(by_hand), aim, is_within, witness]


def frame(source, destination, addresses, size=1400):
    """A whole Ethernet frame with a UDP datagram for nobody, between these hardware and IPv4 addresses."""
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28 + size, 1, 0, 64, socket.IPPROTO_UDP, 0) + b"".join(
        socket.inet_aton(address) for address in addresses
    )
    total = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:]
    datagram = struct.pack("!4H", 9, 9, 8 + size, 0) + bytes(number % 256 for number in range(size))
    return destination + source + struct.pack("!H", 0x0800) + header + datagram


class Accuracy:
    def __init__(self, world):
        self.agent, self.target, self.peer = world.agent, world.target, world.peer
        self.world = world
        self.cgroup = Path(f"{CGROUPS}{self.target.cgroup}")

    @contextlib.contextmanager
    def session(self, fault, tenant=None, **parameters):
        tenant = tenant or self.agent.tenant
        session = tenant.begin(fault, self.target.selector, parameters, duration="10m")
        yield session
        report = tenant.end(session).body
        assert report["revertVerified"], report

    def in_network(self, pod, *command):
        return ["nsenter", "--net", "--target", str(pod.pid), *command]

    @contextlib.contextmanager
    def netem(self, *words):
        """As it is done by hand."""
        tc = self.in_network(self.target, "tc", "qdisc")
        subprocess.check_call([*tc, "add", "dev", "eth0", "root", "netem", "limit", "100000", *words])
        yield
        subprocess.check_call([*tc, "del", "dev", "eth0", "root"])

    def packet_socket(self, pod):
        """For whole frames on its interface."""
        own, other = (os.open(f"/proc/{process}/ns/net", os.O_RDONLY) for process in ("self", pod.pid))
        os.setns(other, os.CLONE_NEWNET)
        try:
            # ETH_P_ALL
            result = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
            result.bind(("eth0", 0x0003))
        finally:
            os.setns(own, os.CLONE_NEWNET)
            os.close(own)
            os.close(other)
        result.setblocking(False)
        return result

    def among_targets(self, *command):
        """The words of a program that runs in the target's cgroup."""
        return ["sh", "-c", f"echo $$ > {self.cgroup}/cgroup.procs && exec \"$@\"", "sh", *command]

    @contextlib.contextmanager
    def in_cgroup(self, *command):
        """A program that runs among the target's own."""
        process = subprocess.Popen(self.among_targets(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield process
        process.terminate()
        process.wait()

    def ping(self, address, count=20, interval=0.05):
        return subprocess.run(
            self.in_network(self.target, "ping", "-3", "-c", str(count), "-i", str(interval), "-W", "2", address),
            text=True, stdout=subprocess.PIPE,
        ).stdout  # fmt: skip

    def round_trip(self, address):
        return statistics.median(float(time) for time in re.findall(r"time=([0-9.]+) ms", self.ping(address)))

    def added(self, impairment, address):
        """Milliseconds, with and without by turns."""
        without, impaired = [], []
        for _ in range(3):
            without.append(self.round_trip(address))
            with impairment():
                impaired.append(self.round_trip(address))
        return statistics.median(impaired) - statistics.median(without)

    @contextlib.contextmanager
    def awake(self):
        """Keeps the CPUs out of a halt, from which a virtual one wakes late: whoever has to do anything comes first."""
        spin = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
        processes = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(os.cpu_count())]
        try:
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def latency(self):
        with self.awake():
            self.latencies()

    def latencies(self):
        peer = self.peer.ip
        for asked in (10, 50, 200):
            ours = self.added(lambda: self.session("network-latency", latency=f"{asked}ms"), peer)
            by_hand = self.added(lambda: self.netem("delay", f"{asked}ms"), peer)
            row("network-latency", asked, "ms", ours, by_hand, "ping", 0.5)

        def filtered():
            return self.session("network-latency", latency="50ms", destinationIPs=[peer])

        row("network-latency, one address", 50, "ms", self.added(filtered, peer), None, "ping", 0.5)
        with self.world.mortal_target() as other:
            row("network-latency, another address", 0, "ms", self.added(filtered, other.ip), None, "ping", 0.2)
        ingress = self.added(lambda: self.session("network-latency", latency="50ms", direction="ingress"), peer)
        row("network-latency, ingress", 50, "ms", ingress, None, "ping", 0.5)

        @contextlib.contextmanager
        def composed():
            with self.session("network-latency", latency="20ms"):
                with self.session("network-latency", self.agent.other_tenant, latency="30ms"):
                    yield

        row("network-latency, of two sessions", 50, "ms", self.added(composed, peer), None, "ping", 0.5)

    def shares(self):
        """Of packets, in percent."""
        count = 1000

        def lost(output, count=count):
            return 100 * (1 - int(re.search(r"(\d+) received", output)[1]) / count)

        def twice(output):
            found = re.search(r"\+(\d+) duplicates", output)
            return 100 * int(found[1]) / count if found else 0.0

        def late(output):
            return 100 * sum(float(time) >= 100 for time in re.findall(r"time=([0-9.]+) ms", output)) / count

        faults = [
            ("network-loss", {}, "loss", lost), ("network-duplication", {}, "duplicate", twice),
            ("network-reorder", {"latency": "100ms"}, None, late),
        ]  # fmt: skip
        for fault, more, word, measure in faults:
            for asked in (5, 20, 50):
                with self.session(fault, percent=asked, **more):
                    ours = measure(self.ping(self.peer.ip, count, 0.004))
                by_hand = None
                if word:
                    with self.netem(word, f"{asked}%"):
                        by_hand = measure(self.ping(self.peer.ip, count, 0.004))
                # 99 % of all runs lie within.
                bound = 2.576 * math.sqrt(asked * (100 - asked) / count)
                row(fault, asked, "%", ours, by_hand, "ping", bound)
        with self.session("network-partition"):
            row("network-partition", 100, "%", lost(self.ping(self.peer.ip, 100, 0.01), 100), None, "ping", 0)

    def corruption(self):
        """Of packets that did not arrive as they were sent, in percent: each bit of each frame is compared."""
        count, bits = 1000, "frames, compared"

        def changed():
            with self.packet_socket(self.target) as sender, self.packet_socket(self.peer) as receiver:
                source, destination = sender.getsockname()[4], receiver.getsockname()[4]
                sent = frame(source, destination, (self.target.ip, self.peer.ip))
                intact = 0
                for each in range(count + 1):
                    if each < count:
                        sender.send(sent)
                    # Long enough for one; for what comes last, more.
                    time.sleep(0.002 if each < count else 1)
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            intact += receiver.recv(65536) == sent
            return 100 * (1 - intact / count)

        row("network-corruption, none asked", 0, "%", changed(), None, bits, 0.0)
        for asked in (5, 20, 50):
            with self.session("network-corruption", percent=asked):
                ours = changed()
            with self.netem("corrupt", f"{asked}%"):
                by_hand = changed()
            bound = 2.576 * math.sqrt(asked * (100 - asked) / count)
            row("network-corruption", asked, "%", ours, by_hand, bits, bound)

    def rates(self):
        server = subprocess.Popen(self.in_network(self.peer, "iperf3", "-s"), stdout=subprocess.DEVNULL)
        time.sleep(1)

        def megabits(asked):
            client = self.in_network(
                self.target, "iperf3", "-c", self.peer.ip, "-u", "-b", f"{2 * asked}M", "-l", "1400", "-t", "8"
            )
            with subprocess.Popen(client, stdout=subprocess.DEVNULL) as process:
                # What was in the queues at first is over.
                time.sleep(2)
                before, begun = self.received(), time.monotonic()
                time.sleep(5)
                result = (self.received() - before) * 8 / (time.monotonic() - begun) / 1e6
                process.wait()
            return result

        for asked in (1, 5, 20):
            with self.session("network-rate-limit", rate=f"{asked}Mbit"):
                ours = megabits(asked)
            with self.netem("rate", f"{asked}mbit"):
                by_hand = megabits(asked)
            row("network-rate-limit", asked, "Mbit/s", ours, by_hand, "iperf3, the peer's interface", 0.03 * asked)
        server.terminate()
        server.wait()

    def load(self):
        """What arrives, without the headers of Ethernet, IP and UDP."""
        size, headers = 1400, 42

        def megabits():
            time.sleep(1)
            before, begun = self.received(), time.monotonic()
            time.sleep(5)
            return (self.received() - before) * 8 / (time.monotonic() - begun) / 1e6 * size / (size + headers)

        server = subprocess.Popen(self.in_network(self.peer, "iperf3", "-s"), stdout=subprocess.DEVNULL)
        time.sleep(1)
        for asked in (1, 5, 20):
            with self.session("network-stress", sink=f"{self.peer.ip}:9", rate=f"{asked}Mbit", packetSize=f"{size}B"):
                ours = megabits()
            client = self.among_targets(
                *self.in_network(
                    self.target, "iperf3", "-c", self.peer.ip, "-u", "-b", f"{asked}M", "-l", str(size), "-t", "9"
                )
            )
            with subprocess.Popen(client, stdout=subprocess.DEVNULL) as process:
                by_hand = megabits()
                process.wait()
            row("network-stress", asked, "Mbit/s", ours, by_hand, "the peer's interface; by hand iperf3", 0.03 * asked)
        server.terminate()
        server.wait()

    def received(self):
        links = subprocess.check_output(self.in_network(self.peer, "ip", "-s", "-j", "link", "show", "eth0"))
        return json.loads(links)[0]["stats64"]["rx"]["bytes"]

    def cpu_percent(self, seconds=10):
        time.sleep(1)
        used, begun = self.target.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return 100 * (self.target.cpu_seconds() - used) / (time.monotonic() - begun)

    def cpu(self):
        limit = self.target.cpu_limit()
        # The quota of the target is no part of this.
        self.target.set_cpu_limit("max 100000")
        for workers in (1, 2):
            for asked in (10, 37, 50, 90):
                with self.session("cpu-stress", load=asked, workers=workers):
                    ours = self.cpu_percent()
                with self.in_cgroup("stress-ng", "--cpu", str(workers), "--cpu-load", str(asked)):
                    by_hand = self.cpu_percent()
                row(f"cpu-stress, {workers} CPU{'s' if workers > 1 else ''}", asked * workers, "%", ours, by_hand, "cpu.stat", float(workers))
        self.target.set_cpu_limit("100000 100000")
        with self.in_cgroup("stress-ng", "--cpu", "2"):
            for asked in (10, 37, 90):
                with self.session("cpu-throttle", percent=asked):
                    row("cpu-throttle, of one CPU", asked, "%", self.cpu_percent(5), None, "cpu.stat", 1.0)
            with self.session("container-pause"):
                row("container-pause", 0, "%", self.cpu_percent(3), None, "cpu.stat", 0.0)
        self.target.set_cpu_limit(limit)

    def memory(self):
        def held():
            """When it changes no more."""
            before = None
            while before is None or abs(self.target.anonymous_bytes() - before) > MIB // 4:
                before = self.target.anonymous_bytes()
                time.sleep(3)
            return self.target.anonymous_bytes()

        for asked in (16, 64, 128):
            before = held()
            with self.session("memory-stress", size=f"{asked}MiB"):
                ours = (held() - before) / MIB
            before = held()
            vm = ["stress-ng", "--vm", "1", "--vm-bytes", f"{asked}M", "--vm-keep", "--vm-method", "zero-one"]
            with self.in_cgroup(*vm):
                by_hand = (held() - before) / MIB
            row("memory-stress", asked, "MiB", ours, by_hand, "memory.stat", 1.0)
        for asked in (16, 64, 128):
            before = self.target.cached_bytes()
            with self.session("memory-stress", kind="page-cache", size=f"{asked}MiB"):
                # The disk has to take it too.
                time.sleep(10)
                ours = (self.target.cached_bytes() - before) / MIB
            before = self.target.cached_bytes()
            self.target.run(f"dd if=/dev/zero of=/cached bs=1M count={asked} 2>/dev/null; sync")
            by_hand = (self.target.cached_bytes() - before) / MIB
            self.target.run("rm /cached")
            row("memory-stress, page cache", asked, "MiB", ours, by_hand, "memory.stat; by hand dd", 1.0)
        self.target.run("dd if=/dev/zero of=/cached bs=1M count=64 2>/dev/null; sync")
        for asked in (48, 24, 12):
            with self.session("memory-squeeze", size=f"{asked}MiB"):
                time.sleep(3)
                row("memory-squeeze, of 64 MiB in caches", asked, "MiB", self.target.memory_use() / MIB, None, "memory.current", AT_MOST)
        self.target.run("rm /cached")

    def disk(self):
        def used():
            status = os.statvfs(f"{self.target.root}/tmp")
            return (status.f_blocks - status.f_bfree) * status.f_frsize

        for asked in (16, 64, 256):
            before = used()
            with self.session("disk-fill", size=f"{asked}MiB"):
                time.sleep(3)
                ours = (used() - before) / MIB
            row("disk-fill", asked, "MiB", ours, None, "statvfs, as df", 1.0)
        for asked in (10, 50, 90):
            with self.session("io-stress", readPercent=asked, size="16MiB") as session:
                time.sleep(2)
                before = self.target.io_requests()
                time.sleep(3)
                read, written = (now - then for now, then in zip(self.target.io_requests(), before))
            row("io-stress, readPercent", asked, "%", 100 * read / max(1, read + written), None, "io.stat", 3.0)
        with self.session("io-stress", readPercent=0, blockSize="64KiB", size="16MiB"):
            time.sleep(3)
            for asked in (1, 4, 16):
                with self.session("io-throttle", self.agent.other_tenant, writeBytesPerSec=f"{asked}MiB"):
                    time.sleep(1)
                    before, begun = self.target.io_bytes()[1], time.monotonic()
                    time.sleep(5)
                    ours = (self.target.io_bytes()[1] - before) / MIB / (time.monotonic() - begun)
                row("io-throttle", asked, "MiB/s", ours, None, "io.stat", 0.05 * asked)

    def fio(self):
        """What the disk gives to fio: beside io-stress with the same job, and under limits."""
        file = self.target.root / "tmp/fio"

        def job(*words, seconds=5):
            command = ["fio", "--name=job", f"--filename={file}", "--size=16M", "--thread", "--direct=1", "--ioengine=psync", "--time_based"]
            command += [f"--runtime={seconds}", "--group_reporting", "--output-format=json", *words]
            (done,) = json.loads(subprocess.check_output(self.among_targets(*command)))["jobs"]
            return done

        def requests():
            """A second, as the kernel counts them."""
            time.sleep(2)
            before, begun = sum(self.target.io_requests()), time.monotonic()
            time.sleep(5)
            return (sum(self.target.io_requests()) - before) / (time.monotonic() - begun)

        # The file is there before anything is measured.
        job("--rw=write", "--bs=1M", seconds=1)
        for size, share, workers in (("4KiB", 50, 1), ("4KiB", 100, 4), ("64KiB", 0, 1)):
            ours, theirs = [], []
            for _ in range(3):
                with self.session("io-stress", blockSize=size, readPercent=share, workers=workers, size="16MiB"):
                    ours.append(requests())
                done = job("--rw=randrw", f"--rwmixread={share}", f"--bs={size.removesuffix('iB')}", f"--numjobs={workers}")
                theirs.append(done["read"]["iops"] + done["write"]["iops"])
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            name = f"io-stress against fio, {size}, {share} % read, {workers} worker{'s' if workers > 1 else ''}"
            # It is to keep the disk as busy; to be busier is no fault.
            row(name, 80, "%", 100 * ours / theirs, None, f"io.stat {ours:.0f}, fio {theirs:.0f} requests a second", AT_LEAST)
        write = ("--rw=write", "--bs=64k")
        for asked in (1, 4, 16):
            with self.session("io-throttle", path="/tmp", writeBytesPerSec=f"{asked}MiB"):
                device = self.target.io_limits().split()[0]
                ours = job(*write, seconds=10)["write"]["bw_bytes"] / MIB
            limit = self.cgroup / "io.max"
            limit.write_text(f"{device} wbps={asked * MIB}")
            by_hand = job(*write, seconds=10)["write"]["bw_bytes"] / MIB
            limit.write_text(f"{device} wbps=max")
            row("io-throttle, as fio has it", asked, "MiB/s", ours, by_hand, "fio; by hand io.max", RATE)
        for asked in (20, 200):
            with self.session("io-throttle", path="/tmp", readOpsPerSec=asked):
                ours = job("--rw=randread", "--bs=4k", seconds=10)["read"]["iops"]
            limit.write_text(f"{device} riops={asked}")
            by_hand = job("--rw=randread", "--bs=4k", seconds=10)["read"]["iops"]
            limit.write_text(f"{device} riops=max")
            row("io-throttle, as fio has it", asked, "reads/s", ours, by_hand, "fio; by hand io.max", RATE)
        file.unlink()


HEAD = """<!-- Written by `scripts/accuracy --write`. -->

# How exact the faults are

Asked against measured, in the test node: a virtual machine without hardware support on a shared machine of two CPUs,
so times are worse than on a node. `scripts/accuracy` measures again, all of it or some groups; rows with the same
*written* (UTC) are of one run, the others stay from an earlier one. *By hand* is what `tc`, `stress-ng` or what the
witness names reach, called by hand on the same target in the same run. *May differ by*: what was aimed at; for shares of
packets the interval in which 99 % of such samples lie. *Against fio*: as many requests a second as fio makes with the
same job, by turns, medians of three. While latency is measured, by anybody, a process of the lowest priority keeps each CPU
out of a halt: an emulated one wakes from it half a millisecond late.

| fault | asked | measured | by hand | may differ by | does it | witness | written |
|---|---|---|---|---|---|---|---|
"""


def merged(page):
    """The rows of a table that was written before, with what is measured now in place of what was."""
    lines = [line.strip("| \n").split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")][1:]
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    for new in ([*words(cells), now] for cells in ROWS):
        places = [place for place, old in enumerate(lines) if old[:2] == new[:2]]
        if places:
            lines[places[0]] = new
        else:
            # Behind those of the same fault.
            kind = new[0].split(",")[0].split(" ")[0]
            behind = [place for place, old in enumerate(lines) if old[0].split(",")[0].split(" ")[0] == kind]
            lines.insert(behind[-1] + 1 if behind else len(lines), new)
    return lines


GROUPS = ("latency", "shares", "corruption", "rates", "load", "cpu", "memory", "disk", "fio")


def main():
    parser = argparse.ArgumentParser(prog="accuracy", description=__doc__)
    parser.add_argument("--write", type=Path, help="the page with the table, whose rows are replaced")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; all unless told")
    options = parser.parse_args()
    for group in set(options.groups) - set(GROUPS):
        parser.error(f"there is no group {group}")
    with NodeWorld(Path(os.environ["SQUALL_PROGRAMS"]).resolve()) as world:
        accuracy = Accuracy(world)
        for group in GROUPS:
            if group in (options.groups or GROUPS):
                getattr(accuracy, group)()
    if options.write:
        options.write.write_text(HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in merged(options.write)))
    missed = [cells for cells in map(words, ROWS) if "NO" in cells]
    print(f"{len(ROWS)} measured, {len(missed)} further from what was asked than aimed at")
    return 0


if __name__ == "__main__":
    sys.exit(main())
