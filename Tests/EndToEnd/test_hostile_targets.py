"""Targets that fight back: nothing outside them changes, nothing hangs, and each session ends right."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import IN_NODE
from running_agent import wait_until

from test_disk_fill import MIB, inject, used

by_hand = pytest.mark.skipif(IN_NODE, reason="needs a target that the test makes by hand")


@pytest.fixture
def place(target):
    """A directory of the target's, which is gone afterwards."""
    target.run("mkdir /tmp/hostile")
    yield "/tmp/hostile"
    target.run("rm -rf /tmp/hostile")


def ours(directory):
    return [name for name in os.listdir(directory) if name.startswith(".squall-")]


# What stands where a directory should be


@pytest.mark.parametrize(
    "make",
    [
        "mkfifo /tmp/hostile/x", "mknod /tmp/hostile/x c 1 3", "mknod /tmp/hostile/x b 7 0",
        "ln -s /dev/zero /tmp/hostile/x", "ln -s /proc/1/root/tmp /tmp/hostile/x",
        "ln -s /proc/self/cwd /tmp/hostile/x", "ln -s /proc/self/fd /tmp/hostile/x",
        "ln -s / /tmp/hostile/y && ln -s y/proc/1/root/tmp /tmp/hostile/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("fault", ["disk-fill", "io-stress"])
def test_what_is_no_directory_is_refused_at_once(agent, target, place, make, fault):
    try:
        target.run(make)
    except subprocess.CalledProcessError:
        pytest.skip("this target may make no devices")
    begun = time.monotonic()
    answer = agent.tenant.inject(fault, target.selector, {"path": "/tmp/hostile/x", "size": "1MiB"})
    assert time.monotonic() - begun < 10
    assert answer.status == 422 and answer.body["field"] == "parameters.path", answer
    assert not ours("/tmp")


def test_a_directory_that_becomes_a_link_and_back_all_the_time(agent, target, place):
    """Towards the node's own /tmp by whatever name, and to and fro between two directories of its own. Now and then it stands
    still for a second, so that the fault gets somewhere, however slow the machine."""
    target.run("mkdir /tmp/hostile/a /tmp/hostile/b && ln -s /proc/1/root/tmp /tmp/hostile/out && mkdir /tmp/hostile/x")
    before = set(os.listdir("/tmp"))
    target.run(
        "(end=$(($(date +%s) + 12)); cd /tmp/hostile; n=0; while [ $(date +%s) -lt $end ]; do "
        "mv x y; ln -s out x; rm x; ln -s a x; rm x; mv y x; n=$((n + 1)); [ $((n % 8)) -ne 0 ] || sleep 1; done) >/dev/null 2>&1 &"
    )
    outcomes = set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = agent.tenant.inject(
            "disk-fill", target.selector, {"path": "/tmp/hostile/x", "size": "1MiB", "visible": True}
        )
        outcomes.add(answer.status)
        if answer.status == 201:
            report = agent.tenant.end(answer.body["id"]).body
            assert report["state"] == "ended", report
        else:
            assert answer.code in ("field-invalid", "apply-failed"), answer
    assert 201 in outcomes, outcomes
    new = {name for name in os.listdir("/tmp") if name.startswith(".squall-")} - before
    assert not new, "a file of the target's fault is on the node"
    time.sleep(4)
    left = subprocess.check_output(["find", f"{target.root}/tmp/hostile/", "-name", ".squall-*"], text=True)
    assert not left


# What happens to the directory while it is filled


@by_hand
@pytest.mark.parametrize("visible", [False, True], ids=["unseen", "visible"])
def test_a_mount_over_it(agent, target, place, visible):
    before = used(target)
    session = inject(agent, target, {"path": place, "size": "16MiB", "visible": visible})
    target.run(f"mount -t tmpfs none {place}")
    try:
        report = agent.tenant.end(session).body
        assert report["revertVerified"], report
    finally:
        target.run(f"umount {place}")
    assert not ours(f"{target.root}{place}")
    assert abs(used(target) - before) < MIB


@by_hand
def test_a_mount_over_it_while_nobody_looks(agent, target, place):
    """The next engine does not find the directory where it was: it frees the space, and says what is left."""
    before = used(target)
    session = inject(agent, target, {"path": place, "size": "16MiB", "visible": True})
    target.run(f"mount -t tmpfs none {place}")
    try:
        agent.kill_engine()
        agent.wait_until_ready()
        wait_until(lambda: abs(used(target) - before) < MIB, 10)
        report = agent.tenant.wait_until_ended(session)
        assert report["steps"][0]["undo"]["outcome"] == "drifted" and not report["revertVerified"], report
    finally:
        target.run(f"umount {place}")
    (name,) = ours(f"{target.root}{place}")
    assert (target.root / place[1:] / name).stat().st_size == 0


@by_hand
def test_a_file_system_that_is_taken_away(agent, target, place):
    target.run(f"mount -t tmpfs none {place}")
    session = inject(agent, target, {"path": place, "size": "16MiB", "visible": True})
    target.run(f"umount -l {place}")
    assert agent.tenant.end(session).body["state"] == "ended"


# What happens to the worker

TRACE = """
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
SEIZE, INTERRUPT = 0x4206, 0x4207
for pid in map(int, sys.argv[1:]):
    if libc.ptrace(SEIZE, pid, None, None) or libc.ptrace(INTERRUPT, pid, None, None): sys.exit(f"errno {ctypes.get_errno()}")
print("traced", flush=True)
time.sleep(60)
"""


@by_hand
@pytest.mark.parametrize("fault", ["cpu-stress", "memory-stress", "disk-fill"])
@pytest.mark.parametrize("how", ["stopped", "traced"])
def test_a_worker_that_is_held(agent, target, fault, how):
    parameters = {"cpu-stress": {"load": 5}, "memory-stress": {"size": "8MiB"}, "disk-fill": {"size": "8MiB"}}[fault]
    before = used(target), target.anonymous_bytes()
    session = agent.tenant.begin(fault, target.selector, parameters, duration="4s")
    (worker,) = agent.workers(session)
    tracer = None
    if how == "stopped":
        os.kill(worker, 19)
    else:
        tracer = subprocess.Popen(
            [sys.executable, "-c", TRACE, str(worker)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if tracer.stdout.readline() != "traced\n":
            pytest.skip(f"this machine does not let it be traced: {tracer.stderr.read()}")
    try:
        report = agent.tenant.wait_until_ended(session, timeout=20)
        assert report["revertVerified"], report
        # Of a tracer that does not wait for it, what is left is a line in the table of processes.
        wait_until(lambda: not agent.workers(session), 10)
        assert abs(used(target) - before[0]) < MIB
        wait_until(lambda: target.anonymous_bytes() - before[1] < MIB, 5)
    finally:
        if tracer:
            tracer.kill()
            tracer.wait()


@by_hand
def test_a_cgroup_that_is_full(agent, world):
    """No room for a worker: the session says so, and the next one is none the worse."""
    target = world.make_target(memory=24 << 20)
    try:
        hog = subprocess.Popen(
            [sys.executable, "-c", "import os; x = bytearray(11 << 20); print(os.getpid(), flush=True); os.read(0, 1)"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        hog.stdout.readline()
        for directory in target.directories:
            (directory / "cgroup.procs").write_text(str(hog.pid))
        answer = agent.tenant.inject("memory-stress", target.selector, {"size": "1GiB", "oomScoreAdj": 1000})
        if answer.status == 201:
            report = agent.tenant.wait_until_ended(answer.body["id"], timeout=30)
            assert report["revertVerified"], report
        else:
            assert answer.code in ("field-invalid", "apply-failed"), answer
        hog.stdin.close()
        hog.wait()
        session = agent.tenant.begin("cpu-stress", target.selector, {"load": 5})
        assert agent.tenant.end(session).body["revertVerified"]
    finally:
        target.remove()


# Ten thousand processes

MANY = """
import os, sys, time
count = int(sys.argv[1])
for _ in range(count):
    if os.fork() == 0:
        time.sleep(300)
        os._exit(0)
print("there", flush=True)
sys.stdin.readline()
os.kill(0, 9)
"""


@by_hand
def test_ten_thousand_processes(agent, world):
    count = 10_000
    free = int(re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())[1]) << 10
    if free < 4 << 30:
        pytest.skip("ten thousand processes need 4 GiB of memory")
    target = world.make_target(memory=0)
    many = subprocess.Popen(
        [sys.executable, "-S", "-c", "import os\nfor line in iter(input, 'go'): pass\n" + MANY, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for directory in target.directories:
        (directory / "cgroup.procs").write_text(str(many.pid))
    try:
        many.stdin.write("go\n")
        many.stdin.flush()
        assert many.stdout.readline() == "there\n"
        for fault, parameters in [
            ("cpu-stress", {"load": 5}), ("process-signal", {"signal": "CONT"}), ("container-pause", {}),
            ("memory-stress", {"size": "1MiB"}),
        ]:  # fmt: skip
            begun = time.monotonic()
            answer = agent.tenant.inject(fault, target.process_selector, parameters, duration="30s")
            if fault == "process-signal":
                # It cannot be taken back, and would take long: there is a bound, and nobody is hit beyond it.
                assert (answer.status, answer.code) == (422, "target-unresolvable"), answer
                assert "4096 are the most" in answer.body["detail"]
                continue
            assert answer.status == 201, answer
            # Others are not kept waiting meanwhile.
            looked = time.monotonic()
            assert agent.other_tenant.list().status == 200
            assert time.monotonic() - looked < 5
            report = agent.tenant.end(answer.body["id"]).body
            assert report["state"] == "ended" and report["revertVerified"], report
            assert time.monotonic() - begun < 60, f"{fault} took {time.monotonic() - begun:.0f} s"
    finally:
        os.killpg(many.pid, 9)
        many.wait()
        wait_until(lambda: len(target.processes()) < 10, 60)
        target.remove()


# A tenant of the name of files


@pytest.mark.parametrize(
    "path", ["", "tmp", "/tmp/../../../../../..", "/tmp/\u0000x", "/" + "x/" * 3000, "/tmp/hostile\n", "//tmp"]
)
def test_paths_that_are_none(agent, target, path):
    answer = agent.tenant.inject("disk-fill", target.selector, {"path": path, "size": "1MiB"})
    if answer.status == 201:
        # `..` at the root is the root, and two slashes are one.
        assert path in ("//tmp", "/tmp/../../../../../.."), answer
        assert agent.tenant.end(answer.body["id"]).body["revertVerified"]
    else:
        assert answer.status in (403, 422) and answer.body["field"] == "parameters.path", answer
