"""A storm: see storm.py. SQUALL_STORM_SECONDS says for how long, SQUALL_STORM_SEED repeats one."""

import os
import time

import pytest
from conftest import Node

from storm import Storm

pytestmark = pytest.mark.node

SECONDS = int(os.environ.get("SQUALL_STORM_SECONDS", 30))
SEED = int(os.environ.get("SQUALL_STORM_SEED", time.time_ns() % 1_000_000))


def test_a_storm_leaves_nothing_and_is_told_truly(agent, target, world):
    print(f"seed {SEED}, {SECONDS} s")
    # The runtime keeps a removed pod's cgroup and log folder: they are there before and after.
    third = world.make_target()
    node = Node(agent)
    try:
        storm = Storm(agent, [target, world.peer, third], SEED)
        until = time.monotonic() + SECONDS
        storm.run(
            pause=(2, 5),
            is_over=lambda _: time.monotonic() > until,
            each=Storm.check_that_the_reports_are_true,
        )
        storm.calm_down()
        print(storm)
        storm.check_how_all_ended()
        assert node.differences() == [], f"seed {SEED}"
    finally:
        third.remove()
