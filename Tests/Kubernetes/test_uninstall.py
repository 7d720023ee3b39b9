"""What is left when the shipped manifests are deleted: nothing. After all other tests."""

import contextlib
from pathlib import Path

from cluster_kit import *


def test_nothing_stays_when_it_is_uninstalled(agent):
    kubectl("delete", "-f", HOST / "manifest.yaml", "--wait=true", timeout=180)
    wait_until(lambda: not objects("-n", AGENT, "pods")["items"], 90, "the agent is gone")
    wait_until(lambda: not our_processes(), 30, "no process of ours is left")
    assert "netem" not in qdiscs(target_pod()) and not Path("/sys/fs/cgroup/squall-deadman").exists()


def our_processes():
    names = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            names.append((folder / "comm").read_text().strip())
    return [name for name in names if name.startswith("squall")]
