"""The main job, shown: a target before, during and after each fault, measured from the target's own side.

Runs in the test node (real pods) or on this machine (a throw-away target), started by scripts/quickstart.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "Tests/EndToEnd"), str(ROOT / "Tests/NodeKit")]

IN_NODE = Path("/usr/lib/squall-node").exists()
PROGRAMS = Path(os.environ["SQUALL_PROGRAMS"])
KEYS = Path("/tmp/squall-quickstart-keys")


def say(text):
    print(f"\n--- {text}", flush=True)


class Cli:
    """The `squall` command, as an experiment pod runs it."""

    def __init__(self, agent):
        self.agent = agent
        KEYS.mkdir(exist_ok=True)
        self.run("keygen", "--tenant", "quickstart", "--out", KEYS, "--force", quiet=True)
        public = KEYS / "quickstart.jwks.json"
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
            *words, "--key", KEYS / "quickstart.key.jwk", "--socket", self.agent.api_socket, "--output", "json"
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
    def __init__(self, what, asked, unit, measure, tolerance):
        self.what, self.asked, self.unit, self.measure, self.tolerance = what, asked, unit, measure, tolerance

    def show(self, cli, fault, target, *parameters):
        self.before = self.measure()
        session = cli.inject(fault, target, *parameters)
        # A worker's own start is CPU time too.
        time.sleep(1)
        self.during = self.measure()
        report = cli.revert(session)
        self.verified = report["revertVerified"]
        self.after = self.measure()

    @property
    def effect(self):
        return self.during - self.before

    @property
    def is_good(self):
        exact = abs(self.effect - self.asked) <= self.asked * self.tolerance
        back = abs(self.after - self.before) <= max(self.asked * self.tolerance, 5)
        return exact and back and self.verified

    def cells(self):
        number = lambda value: f"{value:.1f} {self.unit}"  # noqa: E731
        return [
            self.what, "+" + number(self.asked), number(self.before), number(self.during), number(self.after),
            "verified" if self.verified else "NOT VERIFIED", "ok" if self.is_good else "OFF",
        ]  # fmt: skip


def table(rows):
    lines = [["", "asked", "before", "during", "after", "revert", "within 5 %"]] + rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    if IN_NODE:
        from nodekit import snapshot
        from node_world import NodeWorld as World
    else:
        from local_world import LocalWorld as World

    def cpu(target):
        used, begun = target.cpu_seconds(), time.monotonic()
        time.sleep(3)
        return 100 * (target.cpu_seconds() - used) / (time.monotonic() - begun)

    with World(PROGRAMS) as world:
        cli = Cli(world.agent)
        target = world.target
        say("the agent and its target")
        for pid, role in world.agent.processes():
            print(f"{role:10} process {pid}")
        print(f"target     {json.dumps(target.selector)}")
        before = snapshot.take() if IN_NODE else target.processes()

        rows = []
        if world.can_shape_traffic():
            say("network-latency: 100 ms on what the target sends")
            row = Row(
                "round-trip time", 100, "ms", lambda: statistics.median(target.ping(world.peer.ip, 10)), 0.05
            )
            row.show(cli, "network-latency", target, "latency=100ms")
            rows.append(row)
        say("cpu-stress: half of one CPU in the target's cgroup")
        row = Row("CPU time in the cgroup", 50, "%", lambda: cpu(target), 0.05)
        row.show(cli, "cpu-stress", target, "load=50", "workers=1")
        rows.append(row)

        say("what the target saw")
        table([row.cells() for row in rows])
        if IN_NODE:
            left = snapshot.compare(before, snapshot.take())
            print("\nthe node, compared with before (links, addresses, qdiscs, filters, cgroups, processes, files, mounts): "
                  + ("no difference" if not left else "\n" + "\n".join(left)))
        else:
            left = target.processes() != before
            print("\nthe target's processes are " + ("NOT as before" if left else "as before"))
        if left or not all(row.is_good for row in rows):
            sys.exit(1)


main()
