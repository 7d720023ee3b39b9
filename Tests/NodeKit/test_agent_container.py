"""The container that `nodekit.agent` makes is the one that the DaemonSet describes. Runs on the test node, as root.

A script stands in for the agent, so that this needs nothing built.
"""

import os
import subprocess
import time

import pytest

from nodekit import cri, images
from nodekit.agent import Agent, capabilities_in
from nodekit.processes import read

STAND_IN = """#!/bin/busybox sh
echo "started as $*"
echo "capabilities $(grep CapEff /proc/self/status)"
touch /left-in-root 2>/dev/null && echo "root is writable"
touch /etc/squall/written 2>/dev/null && echo "configuration is writable"
touch /run/squall/written /var/lib/squall/written && echo "state is writable"
mkdir /sys/fs/cgroup/kubepods/written && rmdir /sys/fs/cgroup/kubepods/written && echo "writes the node's cgroups"
test -S /run/containerd/containerd.sock && echo "sees the runtime"
trap 'echo stopping; exit 0' TERM
while :; do sleep 86400 & wait; done
"""
CAPABILITIES = """
# two of them
SYS_ADMIN   # a reason
NET_ADMIN   # another
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    script = folder / "squalld"
    script.write_text(STAND_IN)
    script.chmod(0o755)
    (folder / "capabilities").write_text(CAPABILITIES)
    busybox = "/usr/bin/busybox"
    image = images.import_image(
        "node.local/squall-stand-in:1",
        {"/squalld": str(script), "/bin/busybox": busybox},
        images.busybox_links(busybox),
    )
    agent = Agent(str(folder), str(folder / "capabilities"), node_name="node-7")
    agent.start(image=image)
    agent.wait_until(lambda agent: "sees the runtime" in agent.logs())
    yield agent
    agent.stop()
    images.remove_image(image)


def test_reads_capabilities_with_their_reasons(tmp_path):
    file = tmp_path / "capabilities"
    file.write_text(CAPABILITIES)
    assert capabilities_in(file) == ["SYS_ADMIN", "NET_ADMIN"]


def test_has_the_listed_capabilities_and_no_other(agent):
    CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
    status = dict(line.split(":\t") for line in read(f"/proc/{agent.container.pid}/status").splitlines())
    expected = f"{1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN:016x}"
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {expected}
    assert int(status["Seccomp"]) == 2


def test_shares_only_the_nodes_process_ids(agent):
    shared = {
        name
        for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
        if os.readlink(f"/proc/{agent.container.pid}/ns/{name}") == os.readlink(f"/proc/1/ns/{name}")
    }
    # No user namespace of its own: it acts on those of others.
    assert shared == {"pid", "user"}


def test_sees_what_it_needs_and_writes_where_it_may(agent):
    lines = agent.logs().splitlines()
    assert lines[0] == "started as --node-name node-7 --namespace squall-system"
    assert lines[2:] == ["state is writable", "writes the node's cgroups", "sees the runtime"]


def test_finds_its_processes_by_role(agent):
    assert agent.pids() == {"keeper": [agent.container.pid]}


def test_stops_at_sigterm(agent):
    log = agent.container.log_path
    agent.runtime.stop_container(agent.container.id, grace=10)
    status = agent.runtime.container_status(agent.container.id)
    assert (status.state, status.exit_code) == (cri.cri.CONTAINER_EXITED, 0)
    assert read(log).endswith("stopping\n")


def test_runs_commands_in_a_limited_container():
    runtime = cri.Runtime()
    pod = runtime.create_pod("lab", annotations={"example.org/owner": "lab"})
    try:
        container = runtime.create_container(pod, limits=cri.resources(cpus=0.5, memory=64 << 20))
        assert runtime.execute(container.id, ["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\n", "err\n")
        assert read(f"/proc/{container.pid}/cgroup").endswith(f"/{container.id}\n")
        assert runtime.pods({cri.POD_NAME: "lab"})[0].annotations["example.org/owner"] == "lab"
        started = time.monotonic()
        subprocess.run(["kill", "-KILL", str(container.pid)], check=True)
        assert runtime.wait_for_exit(container.id).exit_code == 137
        assert time.monotonic() - started < 20
    finally:
        runtime.remove_pod(pod.id)
