"""Kills the engine again and again while ten callers open and end sessions of every family, and compares the machine
before and after. Run by scripts/crash-test, in the test node or below `unshare` on this machine."""

import argparse
import math
import os
import sys
import time
from pathlib import Path

from conftest import IN_NODE, Node
from storm import FAULTS, Storm

# How long the engine is left alone between two kills, in seconds.
PAUSE = (0, 3)
# How many kills lie between two comparisons.
BATCH = 100


def share(sorted_values, part):
    """The smallest value that at least this part of them does not exceed."""
    return sorted_values[max(0, math.ceil(part * len(sorted_values)) - 1)]


class Targets:
    """What the targets are like, where the whole machine is not ours to look at."""

    def __init__(self, targets):
        self.targets, self.before = targets, self.look(targets)

    @staticmethod
    def look(targets):
        return [target.state() for target in targets]

    def differences(self):
        return [f"{a} became {b}" for a, b in zip(self.before, self.look(self.targets)) if a != b]


def crash_test(world, seed, rounds):
    """The differences found."""
    faults = {name: make for name, make in FAULTS.items() if world.can_shape_traffic() or "network" not in name}
    made = [world.make_target() for _ in range(2 if world.peer else 3)]
    targets = [each for each in (world.target, world.peer, *made) if each]
    found, recoveries, live, kills, begun = [], [], [], 0, time.monotonic()
    try:
        before = Node(world.agent) if IN_NODE else Targets(targets)
        while kills < rounds and not found:
            batch = min(BATCH, rounds - kills)
            storm = Storm(world.agent, targets, f"{seed} {kills}", faults)
            storm.run(PAUSE, lambda storm: storm.kills >= batch)
            storm.calm_down()
            storm.check_how_all_ended()
            found = before.differences()
            kills += storm.kills
            recoveries += storm.recoveries
            live += storm.held_at_kills
            elapsed = time.monotonic() - begun
            print(f"{kills} of {rounds} kills, {elapsed:.0f} s: {storm}; {len(found)} differences", flush=True)
    finally:
        for target in made:
            target.remove()
    recoveries.sort()
    live.sort()
    print(f"{kills} kills survived, {len(found)} differences, seed {seed}")
    print(
        f"recovery, until sessions are taken again: p50 {share(recoveries, 0.5) * 1000:.0f} ms, "
        f"p99 {share(recoveries, 0.99) * 1000:.0f} ms"
    )
    print(f"sessions that were active at a kill, beside those that began or ended just then: p50 {share(live, 0.5)}, most {live[-1]}")
    return found


def main():
    parser = argparse.ArgumentParser(prog="crash-test", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--rounds", type=int, default=1000)
    options = parser.parse_args()
    programs = Path(os.environ["SQUALL_PROGRAMS"]).resolve()
    if IN_NODE:
        from node_world import NodeWorld as World
    else:
        from local_world import LocalWorld as World
    print(f"seed {options.seed}, {options.rounds} kills", flush=True)
    with World(programs) as world:
        found = crash_test(world, options.seed, options.rounds)
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
