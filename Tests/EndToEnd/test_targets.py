"""Every fault on targets that are not as one would like them."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import Node

IN_NODE = Path("/usr/lib/squall-node").exists()
FAULTS = {
    "cpu-stress": {"load": 10, "workers": 1},
    "memory-stress": {"size": "8MiB"},
    "disk-fill": {"size": "8MiB", "visible": True},
    "network-latency": {"latency": "20ms"},
}
# Here a target has no interface that traffic could leave by, and the kernel may lack netem.
HERE = [fault for fault in FAULTS if IN_NODE or fault != "network-latency"]


@pytest.fixture
def programs(mortal_target, tmp_path):
    """Starts a program of a name that nobody else has, as a user; it may start itself again."""
    if IN_NODE:
        pytest.skip("needs processes that the test may make on the node: scripts/host-test has the same with nginx")
    program = tmp_path / f"squall-{os.getpid()}"
    shutil.copy("/bin/sh", program)
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    begun = []

    def start(user=0, twice=False):
        again = f'{program} -c "sleep 60; true" & ' if twice else ""
        script = f"{again}echo begun; sleep 60; wait"
        process = subprocess.Popen([program, "-c", script], user=user, stdout=subprocess.PIPE, start_new_session=True)
        begun.append(process)
        for directory in mortal_target.directories:
            (directory / "cgroup.procs").write_text(str(process.pid))
        assert process.stdout.readline() == b"begun\n"
        return process.pid

    yield program.name, start
    for process in begun:
        # With whatever it has started.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_process_is_named_by_its_program_and_user(agent, programs):
    name, start = programs

    def ask(**selector):
        return agent.tenant.inject("cpu-stress", {"process": {"name": name} | selector}, {"load": 1}, duration="2s")

    assert ask().code == "target-not-found"
    first = start(twice=True)
    answer = ask()
    assert (answer.status, answer.body["target"]["process"]["pid"]) == (201, first), answer
    second = start(user=65534)
    answer = ask()
    assert answer.code == "target-ambiguous" and str(first) in answer.body["detail"] and str(second) in answer.body["detail"], answer
    for user, process in [("root", first), ("nobody", second), (65534, second), ("65534", second)]:
        answer = ask(user=user)
        assert (answer.status, answer.body["target"]["process"]["pid"]) == (201, process), answer
    assert ask(user="daemon").code == "target-not-found"
    answer = ask(user="no-such-user")
    assert answer.code == "target-not-found" and "give the user's number" in answer.body["hint"], answer


@pytest.mark.parametrize(
    "process, field",
    [({"name": ""}, "name"), ({"name": "a/b"}, "name"), ({"name": 1}, "name"), ({"name": "a", "user": -1.5}, "user"),
     ({"name": "a", "user": ""}, "user"), ({"name": "a", "pid": 5}, "pid")],
)  # fmt: skip
def test_a_process_that_cannot_be_meant_is_refused(agent, process, field):
    answer = agent.tenant.inject("cpu-stress", {"process": process}, {"load": 1})
    assert answer.status == 422 and answer.body["field"] == f"target.process.{field}", answer


@pytest.mark.parametrize("fault", HERE)
def test_a_target_that_vanishes_ends_the_session(agent, mortal_target, fault):
    session = agent.tenant.begin(fault, mortal_target.selector, FAULTS[fault], duration="60s")
    mortal_target.kill()
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("target-gone", True)


def test_a_target_that_is_gone_is_refused(agent, mortal_target):
    selector = mortal_target.process_selector
    mortal_target.kill()
    for fault in HERE:
        answer = agent.tenant.inject(fault, selector, FAULTS[fault])
        assert answer.code in ("target-not-found", "target-gone"), answer


def test_a_frozen_target_takes_no_worker(agent, mortal_target):
    before = mortal_target.processes()
    mortal_target.freeze(True)
    try:
        for fault in set(HERE) - {"network-latency"}:
            answer = agent.tenant.inject(fault, mortal_target.selector, FAULTS[fault])
            assert (answer.status, answer.code) == (403, "target-refused") and "frozen" in answer.body["detail"], answer
    finally:
        mortal_target.freeze(False)
    assert mortal_target.processes() == before


@pytest.mark.node
def test_a_container_without_a_shell_is_as_good(agent, world):
    target = world.make_target(container={"image": "node.local/pause:1", "command": ["/busybox", "sleep", "3600"]})
    node = Node(agent)
    try:
        assert not (target.root / "bin/sh").exists()
        sessions = []
        for fault, parameters in FAULTS.items():
            session = agent.tenant.begin(fault, target.selector, parameters, duration="60s")
            sessions.append(session)
        for session in sessions:
            assert agent.tenant.end(session).body["revertVerified"]
        assert node.differences() == []
    finally:
        target.remove()
