"""The container that `nodekit.agent` makes is the one that the manifest describes. Runs on the test node, as root.

A script stands in for the agent, so that this needs nothing built.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from nodekit import cri, images
from nodekit.agent import Agent
from nodekit.manifest import Manifest
from nodekit.processes import read

STAGING = Path(__file__).parents[2] / "daemonset/staging/squall.yaml"

STAND_IN = """#!/bin/busybox sh
echo "started as $*"
echo "capabilities $(grep CapEff /proc/self/status)"
touch /left-in-root 2>/dev/null && echo "root is writable"
for folder in policy tenants; do touch /etc/squall/$folder/written 2>/dev/null && echo "$folder is writable"; done
touch /run/containerd/written 2>/dev/null && echo "the runtime's folder is writable"
touch /run/squall/written /var/lib/squall/written && echo "state is writable"
mkdir /sys/fs/cgroup/kubepods/written && rmdir /sys/fs/cgroup/kubepods/written && echo "writes the node's cgroups"
test -S /run/containerd/containerd.sock && echo "sees the runtime"
trap 'echo stopping; exit 0' TERM
while :; do sleep 86400 & wait; done
"""


def manifest(folder, **changes):
    """The staging profile's, with other fields of its container's security context."""
    (daemon_set,) = [each for each in yaml.safe_load_all(STAGING.read_text()) if each and each["kind"] == "DaemonSet"]
    daemon_set["spec"]["template"]["spec"]["containers"][0]["securityContext"] |= changes
    file = folder / "manifest.yaml"
    file.write_text(yaml.safe_dump(daemon_set))
    return file


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    script = folder / "squalld"
    script.write_text(STAND_IN)
    script.chmod(0o755)
    busybox = "/usr/bin/busybox"
    image = images.import_image(
        "node.local/squall-stand-in:1",
        {"/squalld": str(script), "/bin/busybox": busybox},
        images.busybox_links(busybox),
    )
    fewer = manifest(folder, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN", "NET_ADMIN"]})
    agent = Agent(str(folder), fewer, node_name="node-7")
    agent.start(["--exclude=10.0.0.1"], image=image)
    agent.wait_until(lambda agent: "sees the runtime" in agent.logs())
    yield agent
    agent.stop()
    images.remove_image(image)


def test_reads_the_manifest(tmp_path):
    manifest_file = manifest(tmp_path, allowPrivilegeEscalation=False, appArmorProfile=None)
    options = Manifest(manifest_file).container_options("node-7")
    assert options["command"] == ["/squalld"] and "--node-name=node-7" in options["args"]
    assert options["env"] == {"NODE_NAME": "node-7", "POD_NAMESPACE": "squall-system"}
    assert options["limits"].memory_limit_in_bytes == 768 << 20 and options["limits"].cpu_quota == 0
    assert (options["readonly_root"], options["privileged"], options["no_new_privileges"]) == (True, False, True)
    assert (options["user"], options["seccomp"], options["apparmor"]) == (0, "RuntimeDefault", None)
    assert Manifest(STAGING).container_options("node-7")["apparmor"] == "Unconfined"
    writable = {mount.container_path for mount in options["mounts"] if not mount.readonly}
    assert writable == {"/run/squall", "/run/squalld", "/var/lib/squall", "/sys/fs/cgroup"}


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
    assert lines[0].split()[2:] == [
        "--node-name=node-7",
        "--namespace=squall-system",
        "--policy=/etc/squall/policy/policy.yaml",
        "--tenants-directory=/etc/squall/tenants",
        "--runtime-socket=/run/containerd/containerd.sock",
        "--probe-bind-address=0.0.0.0:9464",
        "--log-format=json",
        "--exclude=10.0.0.1",
    ]
    assert lines[2:] == ["state is writable", "writes the node's cgroups", "sees the runtime"]


def test_has_no_more_memory_than_it_says(agent):
    cgroup = read(f"/proc/{agent.container.pid}/cgroup").strip().split("::")[1]
    assert read(f"/sys/fs/cgroup{cgroup}/memory.max") == f"{768 << 20}\n"


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
