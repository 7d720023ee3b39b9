"""disk-fill, measured from the target's own file tree."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROGRAMS

from test_memory_stress import event

MIB = 1 << 20


def inject(agent, target, parameters, duration="60s"):
    session = agent.tenant.begin("disk-fill", target.selector, parameters, duration=duration)
    event(agent, session, "worker-reached")
    return session


def space(target, path="/tmp"):
    return os.statvfs(f"{target.root}{path}")


def used(target, path="/tmp"):
    status = space(target, path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def files(target, path="/tmp"):
    return sorted(os.listdir(f"{target.root}{path}"))


def refusal(agent, target, parameters):
    answer = agent.tenant.inject("disk-fill", target.selector, parameters)
    assert answer.status >= 400, answer
    return answer.status, answer.code, answer.body["field"]


@pytest.mark.parametrize("visible", [False, True], ids=["unseen", "visible"])
def test_it_takes_what_was_asked_and_frees_it(agent, target, visible):
    before, names = used(target), files(target)
    session = inject(agent, target, {"size": "64MiB", "visible": visible})
    assert used(target) - before == pytest.approx(64 * MIB, rel=0.01)
    assert files(target) == sorted(names + ([f".squall-{session}-0"] if visible else []))
    (step,) = agent.tenant.read(session).body["steps"]
    assert step["effect"]["diskBytes"] == pytest.approx(64 * MIB, rel=0.01)
    report = agent.tenant.end(session).body
    assert report["revertVerified"]
    assert abs(used(target) - before) < MIB
    assert files(target) == names


def test_it_fills_a_file_system_to_a_share(agent, target):
    status = space(target)
    capacity = status.f_blocks - status.f_bfree + status.f_bavail
    asked = 100 * (status.f_blocks - status.f_bfree) / capacity + 5
    session = inject(agent, target, {"percent": round(asked, 3)})
    status = space(target)
    assert 100 * (status.f_blocks - status.f_bfree) / capacity == pytest.approx(asked, abs=0.3)
    assert agent.tenant.end(session).body["revertVerified"]


def test_a_share_of_a_limit_that_only_kubernetes_knows(agent, target):
    before = used(target)
    parameters = {"percent": 25, "of": "ephemeral-limit", "limit": "64Mi", "visible": True}
    session = inject(agent, target, parameters)
    assert used(target) - before == pytest.approx(16 * MIB, rel=0.01)
    assert agent.tenant.end(session).body["revertVerified"]


def test_the_file_goes_with_its_worker(agent, target):
    before = used(target)
    session = inject(agent, target, {"size": "32MiB"})
    (worker,) = agent.workers(session)
    agent.kill(worker)
    assert agent.tenant.wait_until_ended(session)["ending"] == "fault-ended"
    assert abs(used(target) - before) < MIB


def test_what_cannot_be_filled_is_refused(agent, target, host_target):
    target.run("echo > /tmp/file; ln -sfn loop /tmp/loop")
    try:
        assert refusal(agent, target, {"path": "/nowhere"}) == (422, "field-invalid", "parameters.path")
        assert refusal(agent, target, {"path": "/tmp/file"}) == (422, "field-invalid", "parameters.path")
        assert refusal(agent, target, {"path": "/tmp/loop"}) == (422, "field-invalid", "parameters.path")
        assert refusal(agent, target, {"path": "/proc/sys"}) == (422, "field-invalid", "parameters.path")
        assert refusal(agent, target, {"size": "4TiB"}) == (422, "field-invalid", "parameters.size")
    finally:
        target.run("rm /tmp/file /tmp/loop")
    answer = agent.tenant.inject("disk-fill", host_target.cgroup_selector, {"size": "1MiB"})
    assert (answer.status, answer.code) == (403, "target-refused")


def test_a_link_leads_nowhere_but_in_the_target(agent, target):
    target.run("mkdir /tmp/inside; ln -s /tmp/inside /tmp/link; ln -s ../../../../../../tmp/inside /tmp/up")
    try:
        for path in ("/tmp/link", "/tmp/up"):
            session = inject(agent, target, {"path": path, "size": "1MiB", "visible": True})
            assert files(target, "/tmp/inside") == [f".squall-{session}-0"]
            assert agent.tenant.end(session).body["revertVerified"]
            assert files(target, "/tmp/inside") == []
    finally:
        target.run("rm -r /tmp/inside /tmp/link /tmp/up")


def test_a_directory_that_moves_is_still_emptied(agent, target):
    target.run("mkdir /tmp/first")
    session = inject(agent, target, {"path": "/tmp/first", "size": "1MiB", "visible": True})
    target.run("mv /tmp/first /tmp/second; mkdir /tmp/first")
    assert agent.tenant.end(session).body["revertVerified"]
    assert files(target, "/tmp/second") == files(target, "/tmp/first") == []
    target.run("rmdir /tmp/first /tmp/second")


@pytest.mark.skipif(Path("/usr/lib/squall-node").exists(), reason="needs a small file system: a pod's is the node's")
def test_a_reserve_is_kept_whatever_others_do(agent, target):
    status = space(target)
    reserve = status.f_blocks * status.f_frsize // 10
    session = inject(agent, target, {"size": "200MiB", "reserve": 10})
    target.run("head -c 45M /dev/zero > /tmp/other")
    try:
        deadline = time.monotonic() + 5
        while space(target).f_bavail * status.f_frsize < reserve and time.monotonic() < deadline:
            time.sleep(0.1)
        assert space(target).f_bavail * status.f_frsize >= reserve
        time.sleep(1)
        (step,) = agent.tenant.read(session).body["steps"]
        assert step["effect"]["diskBytes"] < 200 * MIB
    finally:
        target.run("rm /tmp/other")
        agent.tenant.end(session)


@pytest.mark.skipif(Path("/usr/lib/squall-node").exists(), reason="needs a small file system: a pod's is the node's")
def test_a_full_disk_is_refused_and_said_to_be_full(agent, target):
    target.run("head -c 250M /dev/zero > /tmp/other")
    try:
        assert refusal(agent, target, {"size": "1MiB"}) == (422, "field-invalid", "parameters.size")
        assert refusal(agent, target, {"percent": 90}) == (422, "field-invalid", "parameters.percent")
    finally:
        target.run("rm /tmp/other")


@pytest.mark.skipif(Path("/usr/lib/squall-node").exists(), reason="needs a target that the test makes by hand")
@pytest.mark.parametrize("visible", [False, True], ids=["unseen", "visible"])
def test_a_target_in_a_user_namespace(agent, world, visible):
    target = world.make_target(user_namespace=True)
    try:
        before = used(target)
        session = inject(agent, target, {"size": "8MiB", "visible": visible})
        assert used(target) - before == pytest.approx(8 * MIB, rel=0.01)
        assert agent.tenant.end(session).body["revertVerified"]
        assert used(target) == before
        assert files(target) == []
    finally:
        target.remove()


@pytest.mark.skipif(Path("/usr/lib/squall-node").exists(), reason="needs a target that the test makes by hand")
def test_a_file_system_that_lies_about_its_size(agent, world):
    # 2^51 blocks of 4 KiB are more bytes than there are numbers for.
    target = world.make_target(tmp="nr_blocks=2251799813685248")
    engine = agent.role("engine")
    try:
        for parameters in ({"size": "4KiB"}, {"percent": 50}, {"size": "16TiB"}):
            answer = agent.tenant.plan("disk-fill", target.selector, parameters)
            assert answer.status in (200, 422), answer
        assert agent.role("engine") == engine
    finally:
        target.remove()


def test_a_file_that_the_target_renames_is_emptied_and_said_to_be_left(agent, target):
    before = used(target)
    session = inject(agent, target, {"size": "16MiB", "visible": True})
    target.run(f"mv /tmp/.squall-{session}-0 /tmp/mine")
    report = agent.tenant.end(session).body
    assert report["steps"][0]["undo"]["outcome"] == "drifted"
    assert not report["revertVerified"]
    assert abs(used(target) - before) < MIB
    target.run("rm /tmp/mine")


def test_a_renamed_file_is_emptied_also_after_the_engine_died(agent, target):
    before = used(target)
    session = inject(agent, target, {"size": "64MiB", "visible": True})
    target.run(f"mv /tmp/.squall-{session}-0 /tmp/theirs")
    agent.kill_engine()
    agent.wait_until_ready()
    assert used(target) - before < MIB
    assert os.stat(f"{target.root}/tmp/theirs").st_size == 0
    target.run("rm /tmp/theirs")


def test_something_else_of_the_files_name_is_left_alone(agent, target):
    before = used(target)
    session = inject(agent, target, {"size": "16MiB", "visible": True})
    name = f"/tmp/.squall-{session}-0"
    target.run(f"rm {name}; mkdir {name}")
    report = agent.tenant.end(session).body
    assert report["steps"][0]["undo"]["outcome"] == "drifted"
    assert agent.tenant.call("GET", "/readyz").status == 200
    assert abs(used(target) - before) < MIB
    target.run(f"rmdir {name}")


@pytest.mark.node
def test_what_cannot_be_undone_is_tried_until_it_can_and_said_everywhere(agent, target):
    session = inject(agent, target, {"size": "4MiB", "visible": True})
    (upper,) = Path("/var/lib/containerd").glob(f"**/.squall-{session}-0")
    subprocess.run(["chattr", "+i", upper], check=True)
    try:
        assert agent.tenant.end(session).body["state"] == "stuck"
        readiness = agent.tenant.call("GET", "/readyz")
        assert readiness.status == 503 and "1 sessions cannot be undone" in readiness.body["reasons"][0]
        assert 'squall_sessions{fault="disk-fill",state="stuck"} 1\n' in agent.tenant.call("GET", "/metrics").body
        listed = subprocess.check_output(
            [PROGRAMS / "squall", "session", "list", "--engine-socket", agent.engine_socket], text=True
        )
        assert re.search(rf"{session} +stuck ", listed), listed
        assert not agent.tenant.read(session).body.get("revertVerified")
    finally:
        subprocess.run(["chattr", "-i", upper], check=True)
    report = agent.tenant.wait_until_ended(session, timeout=40)
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert not upper.exists()
    assert agent.tenant.call("GET", "/readyz").status == 200


@pytest.mark.node
def test_a_read_only_tree_is_refused(agent, world):
    target = world.make_target(container={"readonly_root": True})
    try:
        assert refusal(agent, target, {"path": "/tmp"}) == (403, "target-refused", "parameters.path")
    finally:
        target.remove()


@pytest.mark.node
def test_a_visible_file_goes_also_when_target_and_engine_die_together(agent, world):
    target = world.make_target()
    try:
        session = inject(agent, target, {"size": "8MiB", "visible": True}, duration="120s")
        name = f".squall-{session}-0"
        upper = next(Path("/var/lib/containerd").glob(f"**/{name}"))
        keeper = agent.role("keeper")
        os.kill(keeper, signal.SIGSTOP)
        try:
            agent.kill(agent.role("engine"))
            target.kill()
        finally:
            os.kill(keeper, signal.SIGCONT)
        agent.wait_until_ready()
        assert agent.tenant.wait_until_ended(session)["revertVerified"]
        assert not upper.exists()
    finally:
        target.remove()
