"""What every fault owes, by the examples of its own folder: it plans without changing anything, it has an effect that
the kernel counts, and after it, or after the engine was killed anywhere in it, the whole node is as it was."""

import json
import subprocess
import time

import pytest
from conftest import PROGRAMS

pytestmark = pytest.mark.node

COUNTS = ("cpuSeconds", "residentBytes", "diskBytes", "packets")


def squall(*words):
    return subprocess.check_output([PROGRAMS / "squall", *words], text=True)


KINDS = [json.loads(line)["kind"] for line in squall("fault", "list", "--output", "json").splitlines()]
FAULTS = {kind: json.loads(squall("fault", "show", kind, "--output", "json")) for kind in KINDS}
EXAMPLES = [
    pytest.param(kind, example["parameters"], id=f"{kind}: {example['title']}")
    for kind, fault in FAULTS.items()
    for example in fault["examples"]
]


@pytest.mark.parametrize("kind, parameters", EXAMPLES)
def test_a_plan_changes_nothing_and_a_session_leaves_nothing(agent, target, node, world, kind, parameters):
    answer = agent.tenant.plan(kind, target.selector, parameters)
    assert answer.status == 200, answer
    assert answer.body["steps"]
    assert node.differences() == []

    answer = agent.tenant.inject(kind, target.selector, parameters, duration="60s")
    assert answer.status == 201, answer
    assert answer.body["state"] == "active"
    target.ping(world.peer.ip, 3)
    deadline = time.monotonic() + 15
    while not effect(agent.tenant.read(answer.body["id"]).body) and time.monotonic() < deadline:
        time.sleep(1)
    report = agent.tenant.end(answer.body["id"]).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert effect(report)
    assert node.differences() == []


def effect(report):
    return sum(step.get("effect", {}).get(count, 0) for step in report["steps"] for count in COUNTS)


# A tracer kills the engine as it is about to make a call: what was written, or changed, until then has happened.
WORK = {"network-latency": ("sendto", "sendto")}
WORKER = ("clone3", "pidfd_send_signal")
BOUNDARIES = ["before it is on disk", "before its first change", "before it is undone", "before its end is on disk"]


def call_at(boundary, kind):
    performing, undoing = WORK.get(kind, WORKER)
    return dict(zip(BOUNDARIES, ("fdatasync", performing, undoing, "fdatasync")))[boundary]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_may_be_killed_at_each_boundary(agent, target, node, kind, boundary):
    parameters = FAULTS[kind]["examples"][0]["parameters"]
    engine = agent.role("engine")

    def inject(duration):
        try:
            return agent.tenant.inject(kind, target.selector, parameters, duration=duration).body.get("id")
        except OSError:
            return None  # The answer died with the engine.

    is_ending = BOUNDARIES.index(boundary) >= 2
    session = inject("6s") if is_ending else None
    call = call_at(boundary, kind)
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(engine), "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=1"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "attached" in tracer.stderr.readline()
        if not is_ending:
            inject("2s")
        agent.wait_for_another("engine", engine, timeout=20)
    finally:
        if tracer.poll() is None:
            tracer.terminate()
        tracer.communicate()
    agent.wait_until_ready()
    assert node.differences() == []
    for report in agent.tenant.list().body["sessions"]:
        assert report["state"] == "ended" and report["revertVerified"], report
    if session:
        # What was written, if not made durable, outlives the process: it may have been said before.
        assert agent.tenant.read(session).body["ending"] in ("recovered", "expired")
