"""An experiment as daemonset/examples/job.yaml has it: a pod without rights that mounts the socket's folder and runs `squall` alone."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import PROGRAMS
from running_agent import wait_until

pytestmark = pytest.mark.node

JOB = yaml.safe_load((Path(__file__).parents[2] / "daemonset/examples/job.yaml").read_text())


@pytest.fixture(scope="module")
def folder():
    """Of the node: what the pod mounts beside the socket. The share is not to be mounted into containers."""
    path = Path("/run/squall-node/experiment")
    path.mkdir(parents=True)
    shutil.copy2(PROGRAMS / "squall", path)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def run(agent, world, folder):
    """Runs the Job's container with other words, and returns its exit status and what it said."""
    from nodekit import cri

    (container,) = JOB["spec"]["template"]["spec"]["containers"]
    security, whole = container["securityContext"], JOB["spec"]["template"]["spec"]["securityContext"]
    key = folder / "shop.key.jwk"
    key.write_text(json.dumps(agent.tenant.private_jwk))
    # As kubelet makes a Secret's file, for fsGroup and defaultMode: 0440.
    shutil.chown(key, "root", whole["fsGroup"])
    key.chmod(0o440)
    pods = []

    def run(*words):
        words = [word.replace("$(NODE_NAME)", agent.node_name) for word in words]
        pod = world.runtime.create_pod(f"experiment-{len(pods)}", namespace="shop-experiments")
        pods.append(pod)
        made = world.runtime.create_container(
            pod, name="experiment", image="node.local/empty:1", command=container["command"], args=words,
            mounts=[
                cri.mount("/run/squall", "/run/squall", readonly=True),
                cri.mount(str(key), "/etc/squall/key/shop.key.jwk", readonly=True),
                cri.mount(str(folder / "squall"), "/squall", readonly=True),
            ],
            drop_capabilities=security["capabilities"]["drop"], readonly_root=security["readOnlyRootFilesystem"],
            no_new_privileges=not security["allowPrivilegeEscalation"], user=whole["runAsUser"],
            group=whole["runAsGroup"],
        )  # fmt: skip
        status = world.runtime.wait_for_exit(made.id, 60)
        lines = Path(made.log_path).read_text().splitlines()
        return status.exit_code, "\n".join(line.split(" ", 3)[3] for line in lines)

    yield run
    for pod in pods:
        world.runtime.remove_pod(pod.id)


def words_of_the_job(target, duration):
    """The Job's own, but for whom it hits and how long."""
    told = [word for word in JOB["spec"]["template"]["spec"]["containers"][0]["args"] if "--selector" not in word]
    return [re.sub("--duration=.*", f"--duration={duration}", word) for word in told] + [f"--pod={target.name}"]


def test_the_jobs_container_injects_watches_and_ends_with_the_verdict(run, agent, target):
    status, said = run(*words_of_the_job(target, "3s"))
    assert status == 0 and "active: the fault is in effect" in said, said
    assert "ended: expired, and every change is undone and verified" in said
    assert target.network_is_plain()


def test_what_is_refused_is_its_exit_status(run, target):
    status, said = run(*words_of_the_job(target, "9h"))
    assert status == 2 and "the duration is 9h" in said, said
    words = [word.replace("--key=/etc", "--key=/nowhere/etc") for word in words_of_the_job(target, "3s")]
    status, said = run(*words)
    assert status not in (0, 4, 6), said


def test_memory_goes_to_one_container_of_several(agent, world):
    from node_world import Pod

    pod = Pod(world.runtime, "shop-two", container={"name": "app"})
    sidecar = world.runtime.create_container(pod.pod, name="sidecar", limits=pod.options["limits"])
    cgroup = Path(f"/proc/{sidecar.pid}/cgroup").read_text().strip().split("::")[1]

    def anonymous():
        lines = Path(f"/sys/fs/cgroup{cgroup}/memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["anon"])

    try:
        before, other = anonymous(), pod.anonymous_bytes()
        selector = {"pod": {"namespace": "shop", "name": "shop-two", "container": "sidecar"}}
        session = agent.tenant.begin("memory-stress", selector, {"size": "32MiB"}, duration="60s")
        # The kernel sums up a cgroup's statistics every two seconds.
        wait_until(lambda: anonymous() - before >= 31 << 20, 20)
        assert anonymous() - before <= 34 << 20
        assert abs(pod.anonymous_bytes() - other) < 1 << 20
        assert agent.tenant.end(session).body["revertVerified"]
    finally:
        pod.remove()
