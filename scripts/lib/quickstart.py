"""The main job, shown: a target before, during and after each fault, measured from the target's own side.

Runs in the test node (real pods) or on this machine (a throw-away target), started by scripts/quickstart.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "Tests/EndToEnd"), str(ROOT / "Tests/NodeKit")]

IN_NODE = Path("/usr/lib/squall-node").exists()
PROGRAMS = Path(os.environ["SQUALL_PROGRAMS"])


def say(text):
    print(f"\n--- {text}", flush=True)


class Cli:
    """The `squall` command, as an experiment pod runs it."""

    def __init__(self, agent):
        self.agent = agent
        self.folder = tempfile.TemporaryDirectory(prefix="squall-quickstart.")
        self.keys = Path(self.folder.name)
        self.run("keygen", "--tenant", "quickstart", "--out", self.keys, quiet=True)
        public = self.keys / "quickstart.jwks.json"
        (agent.tenants_directory / public.name).write_text(public.read_text())
        # The engine looks at its keys once a second.
        time.sleep(1.2)

    def run(self, *words, quiet=False):
        words = [str(word) for word in words]
        if not quiet:
            print("$ squall " + " ".join(words), flush=True)
        done = subprocess.run([PROGRAMS / "squall", *words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"squall failed with status {done.returncode}: {done.stderr}")
        return done.stdout

    def signed(self, *words):
        return self.run(
            *words, "--key", self.keys / "quickstart.key.jwk", "--socket", self.agent.api_socket, "--output", "json"
        )

    def inject(self, fault, target, *parameters):
        selector = target.selector
        if "container" in selector:
            option = ["--container", selector["container"]]
        else:
            option = ["--pid", selector["process"]["pid"]]
        return json.loads(self.signed("inject", fault, *parameters, *option, "--duration", "60s"))["id"]

    def revert(self, session):
        return json.loads(self.signed("session", "revert", session))


class Row:
    """A fault's effect, beside what was asked: `tolerance` is a share of that, `noise` what the measure itself varies."""

    def __init__(self, what, asked, unit, measure, tolerance, noise):
        self.what, self.asked, self.unit, self.measure = what, asked, unit, measure
        self.tolerance, self.noise = tolerance, noise

    def show(self, cli, fault, target, *parameters):
        self.before = self.measure()
        session = cli.inject(fault, target, *parameters)
        # A worker's own start is CPU time too.
        time.sleep(1)
        self.during = self.measure()
        if self.unit == "MiB":
            self.wait_until_it_stands_still()
        report = cli.revert(session)
        self.verified = report["revertVerified"]
        self.told = report["steps"][0].get("effect", {}).get("summary", "nothing")
        print(f"  the session itself says: {self.told}")
        self.after = self.measure()

    def wait_until_it_stands_still(self):
        """Memory and room on a disk are taken as fast as the machine gives them: on a slow one that may take seconds."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(1)
            last, self.during = self.during, self.measure()
            if abs(self.during - last) <= self.noise:
                return

    @property
    def effect(self):
        return self.during - self.before

    @property
    def is_good(self):
        exact = abs(self.effect - self.asked) <= self.asked * self.tolerance
        back = abs(self.after - self.before) <= self.noise
        return exact and back and self.verified

    def cells(self):
        number = lambda value: f"{value:.1f} {self.unit}"  # noqa: E731
        return [
            self.what, "+" + number(self.asked), number(self.before), number(self.during), number(self.after),
            "verified" if self.verified else "NOT VERIFIED",
            f"within {self.tolerance:.0%}" if self.is_good else f"OFF by more than {self.tolerance:.0%}, or not back",
        ]  # fmt: skip


def table(rows):
    lines = [["", "asked", "before", "during", "after", "revert", "effect"]] + rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


MIB = 1 << 20


def cpu_percent(target):
    used, begun = target.cpu_seconds(), time.monotonic()
    time.sleep(3)
    return 100 * (target.cpu_seconds() - used) / (time.monotonic() - begun)


def used_disk(target):
    status = os.statvfs(f"{target.root}/tmp")
    return (status.f_blocks - status.f_bfree) * status.f_frsize / MIB


def show_faults(cli, target, peer):
    """One row for each family; without a peer to ping none for the network."""
    rows = []

    def show(title, row, fault, *parameters):
        say(f"{fault}: {title}")
        row.show(cli, fault, target, *parameters)
        rows.append(row)

    if peer:
        ping = lambda: statistics.median(target.ping(peer.ip, 10))  # noqa: E731
        show("100 ms on what the target sends", Row("round-trip time", 100, "ms", ping, 0.05, 5),
             "network-latency", "latency=100ms")  # fmt: skip
    show("half of one CPU in the target's cgroup",
         Row("CPU time in the cgroup", 50, "%", lambda: cpu_percent(target), 0.05, 5),
         "cpu-stress", "load=50", "workers=1")  # fmt: skip
    show("64 MiB in the target's cgroup",
         Row("anonymous memory in the cgroup", 64, "MiB", lambda: target.anonymous_bytes() / MIB, 0.02, 1),
         "memory-stress", "size=64MiB")  # fmt: skip
    show("64 MiB where the target writes", Row("disk in use", 64, "MiB", lambda: used_disk(target), 0.01, 0.5),
         "disk-fill", "path=/tmp", "size=64MiB")  # fmt: skip
    return rows


def main():
    if IN_NODE:
        from nodekit import snapshot
        from node_world import NodeWorld as World
    else:
        from local_world import LocalWorld as World

    with World(PROGRAMS) as world:
        cli = Cli(world.agent)
        target = world.target
        say("the agent and its target")
        for pid, role in world.agent.processes():
            print(f"{role:10} process {pid}")
        print(f"target     {json.dumps(target.selector)}")
        before = snapshot.take() if IN_NODE else target.state()
        rows = show_faults(cli, target, world.peer if world.can_shape_traffic() else None)

        say("what the target saw")
        table([row.cells() for row in rows])
        if IN_NODE:
            left = snapshot.compare(before, snapshot.take())
            print("\nthe node, compared with before (links, addresses, qdiscs, filters, cgroups, processes, files, mounts): "
                  + ("no difference" if not left else "\n" + "\n".join(left)))  # fmt: skip
        else:
            left = target.state() != before
            print("\nthe target's processes, files, links, qdiscs and filters are " + ("NOT as before" if left else "as before"))
        if left or not all(row.is_good for row in rows):
            sys.exit(1)


main()
