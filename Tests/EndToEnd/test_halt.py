"""squall halt: everything ends, and nothing begins until squall resume."""

import json
import subprocess

import pytest
from conftest import PROGRAMS


@pytest.fixture
def squall(agent):
    def run(*words, status=0):
        command = [PROGRAMS / "squall", *words, "--engine-socket", str(agent.engine_socket), "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr + done.stdout
        return json.loads(done.stdout)

    yield run
    run("resume")


STRESS = {"load": 10, "workers": 1}


def test_a_halt_ends_everything_and_outlives_the_engine(agent, target, squall):
    before = target.processes()
    sessions = {
        tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
        for tenant in (agent.tenant, agent.other_tenant)
    }
    ended = squall("halt", "--reason", "incident 4711")["sessions"]
    assert {session["id"] for session in ended} == sessions
    assert all(session["ending"] == "halted" and session["revertVerified"] for session in ended)
    assert target.processes() == before

    def is_refused():
        answer = agent.tenant.inject("cpu-stress", target.selector, STRESS)
        readiness = agent.tenant.call("GET", "/readyz")
        return (answer.status, answer.code, readiness.status) == (503, "halted", 503) and "incident 4711" in str(
            (answer.body, readiness.body)
        )

    assert is_refused()
    assert agent.tenant.call("GET", "/v1/node").body["halt"]["reason"] == "incident 4711"
    agent.kill_engine()
    assert agent.tenant.list().status == 200
    assert is_refused()
    assert squall("resume")["sessions"] == []
    session = agent.tenant.inject("cpu-stress", target.selector, STRESS)
    assert session.status == 201
    agent.tenant.end(session.body["id"])


def test_a_stop_ends_everything_and_says_why(agent, target):
    """As kubelet stops a pod, for a rolling update."""
    faults = {"cpu-stress": {"load": 10, "workers": 1}, "disk-fill": {"size": "1MiB", "visible": True}}
    sessions = []
    for fault, parameters in faults.items():
        session = agent.tenant.begin(fault, target.selector, parameters, duration="600s")
        sessions.append(session)
    try:
        agent.stop()
        assert [agent.workers(session) for session in sessions] == [[], []]
        assert not list((target.root / "tmp").glob(".squall-*"))
    finally:
        agent.start()
    for session in sessions:
        report = agent.tenant.read(session).body
        assert (report["state"], report["ending"], report["revertVerified"]) == ("ended", "drained", True)
