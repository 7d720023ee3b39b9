"""process-signal: what processes of the target get, and that it says that it cannot be taken back."""

import shutil
import subprocess

import pytest
from conftest import IN_NODE

from running_agent import wait_until


def test_every_process_gets_it_and_it_is_said_before(agent, target):
    plan = agent.tenant.plan("process-signal", target.selector, {"signal": "CONT"}).body
    assert plan["reversible"] is False and "this cannot be taken back" in plan["notes"]
    before = target.processes()
    session = agent.tenant.begin("process-signal", target.selector, {"signal": "CONT"}, duration="60s")
    report = agent.tenant.end(session).body
    (step,) = report["steps"]
    assert step["effect"]["signalledProcesses"] == len(before)
    assert (step["undo"]["outcome"], report["revertVerified"]) == ("irreversible", True)
    assert target.processes() == before


def test_of_a_name_that_nobody_has_nobody_is_hit(agent, target):
    refused = agent.tenant.inject("process-signal", target.selector, {"signal": "KILL", "names": ["nobody"]})
    assert (refused.status, refused.body["field"]) == (422, "parameters.names"), refused
    assert target.is_running()


def test_workers_of_others_are_spared(agent, target):
    burning = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1})
    (worker,) = agent.workers(burning)
    session = agent.other_tenant.begin("process-signal", target.selector, {"signal": "CONT"})
    report = agent.other_tenant.end(session).body
    assert report["steps"][0]["effect"]["signalledProcesses"] == len(target.processes()) - 1
    assert agent.workers(burning) == [worker]
    agent.tenant.end(burning)


def test_what_is_killed_ends_its_session(agent, world):
    with world.mortal_target() as target:
        session = agent.tenant.begin("process-signal", target.selector, {"signal": "KILL"}, duration="60s")
        wait_until(lambda: not target.is_running(), 10)
        report = agent.tenant.wait_until_ended(session)
        assert (report["ending"], report["revertVerified"]) == ("target-gone", True), report
        assert report["steps"][0]["undo"]["outcome"] == "irreversible"
        assert report["steps"][0]["effect"]["signalledProcesses"] > 0


@pytest.mark.skipif(IN_NODE, reason="needs a target that the test makes by hand")
def test_a_name_hides_nobody(agent, target, tmp_path):
    # Of marks that join the characters around them, in the kernel's own punctuation too.
    name = "\u0301) (x"
    shutil.copy("/bin/sleep", tmp_path / name)
    process = subprocess.Popen([tmp_path / name, "60"])
    for directory in target.directories:
        (directory / "cgroup.procs").write_text(str(process.pid))
    before = target.processes()
    refused = agent.tenant.inject("process-signal", target.selector, {"signal": "USR1", "names": ["nobody"]})
    assert name in refused.body["hint"], refused
    session = agent.tenant.begin("process-signal", target.selector, {"signal": "CONT"})
    assert agent.tenant.end(session).body["steps"][0]["effect"]["signalledProcesses"] == len(before)
    process.kill()
    process.wait()
