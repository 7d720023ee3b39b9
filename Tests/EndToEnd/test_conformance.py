"""What every fault owes, by the examples of its own folder: it plans without changing anything, it has an effect that
the kernel counts, and after it, or after the engine was killed anywhere in it, the whole node is as it was."""

import json
import os
import subprocess
import threading
import time

import pytest
from conftest import PROGRAMS, Node

from tampering import tampering, wait_for

pytestmark = pytest.mark.node

COUNTS = (
    "cpuSeconds", "residentBytes", "diskBytes", "packets", "droppedPackets", "throttledSeconds", "reclaimedBytes",
    "pausedSeconds", "readBytes", "writtenBytes", "readOps", "writeOps", "sentBytes", "signalledProcesses",
    "cachedBytes", "stopSeconds",
)  # fmt: skip


def squall(*words):
    return subprocess.check_output([PROGRAMS / "squall", *words], text=True)


LISTED = [json.loads(line)["kind"] for line in squall("fault", "list", "--output", "json").splitlines()]
DESCRIBED = {kind: json.loads(squall("fault", "show", kind, "--output", "json")) for kind in LISTED}
# There is no systemd in the node, and it is not to go down: Tests/Host does the others.
FAULTS = {kind: fault for kind, fault in DESCRIBED.items() if fault["reach"] not in ("service", "host")}
KINDS = list(FAULTS)
# They end their target, and get one of their own, at the end: it changes the node that the others are compared with.
FATAL = ["container-kill"]


def examples(kinds):
    return [
        pytest.param(kind, example["parameters"], id=f"{kind}: {example['title']}")
        for kind in kinds
        for example in FAULTS[kind]["examples"]
    ]


HARMLESS = [kind for kind in KINDS if kind not in FATAL]


def test_a_plan_changes_nothing(agent, target, node):
    for kind, fault in FAULTS.items():
        for example in fault["examples"]:
            answer = agent.tenant.plan(kind, target.selector, example["parameters"], duration="60s")
            assert answer.status == 200, answer
            assert answer.body["steps"]
    assert node.differences() == []


@pytest.mark.parametrize("kind, parameters", examples(HARMLESS))
def test_a_session_has_an_effect_and_leaves_nothing(agent, target, node, world, kind, parameters):
    if "destinationIPs" in parameters:
        # The addresses of an example are nobody's here.
        parameters = parameters | {"destinationIPs": [world.peer.ip]}
    if kind == "memory-squeeze":
        # Caches of which some can be taken back.
        target.run("dd if=/dev/zero of=/cached bs=1M count=96 2>/dev/null; sync")
    answer = agent.tenant.inject(kind, target.selector, parameters, duration="60s")
    assert answer.status == 201, answer
    assert answer.body["state"] == "active"
    if kind != "container-pause":
        # What runs meanwhile uses CPU time too.
        send(target, world.peer, parameters)
    if kind == "io-throttle":
        target.run("dd if=/dev/zero of=/cached bs=64k count=4 conv=fsync 2>/dev/null")
    deadline = time.monotonic() + 15
    while not effect(agent.tenant.read(answer.body["id"]).body) and time.monotonic() < deadline:
        time.sleep(1)
    report = agent.tenant.end(answer.body["id"]).body
    assert (report["ending"], report["revertVerified"]) == ("cancelled", True)
    assert effect(report)
    if kind in ("memory-squeeze", "io-throttle"):
        target.run("rm /cached")
    assert node.differences() == []


def send(target, peer, parameters):
    """Sends what a network fault with these parameters is about. Whether answers come is the fault's affair."""
    if not {"destinationIPs", "destinationPorts"} & set(parameters):
        target.runtime.execute(target.id, ["ping", "-c", "3", "-i", "0.1", "-W", "1", peer.ip])
        return
    port = parameters.get("destinationPorts", ["9"])[0].split("-")[0]
    target.connect(peer.ip, int(port), timeout=0.5)


def effect(report):
    return sum(step.get("effect", {}).get(count, 0) for step in report["steps"] for count in COUNTS)


# What a tracer does to the engine, and when it is put in place. It kills it as it is about to make a call, or holds it
# where a call has just returned, for the test to kill it there.
BEFORE, HOLD = "signal=SIGKILL:when=1", "delay_exit=5000000:when=1"
# The first call of undoing, by what a fault needs.
UNDOING = {"traffic-shaping": "sendto", "workers": "pidfd_send_signal"}
# Of what is done to files: it reads them. What cannot be taken back is only written down as ended.
UNDOING_OTHERS, IRREVERSIBLE = "openat", "fdatasync"
BOUNDARIES = ["before it is on disk", "before its first change", "before it is undone", "before its end is on disk"]


def tampering_at(boundary, kind):
    """The call, what happens at it, and whether the session has begun by then."""
    others = UNDOING_OTHERS if FAULTS[kind]["reversible"] else IRREVERSIBLE
    return {
        "before it is on disk": ("fdatasync", BEFORE, False),
        "before its first change": ("fdatasync", HOLD, False),
        "before it is undone": (UNDOING.get("".join(FAULTS[kind]["needs"]), others), BEFORE, True),
        "before its end is on disk": ("fdatasync", BEFORE, True),
    }[boundary]


@pytest.mark.parametrize("kind", HARMLESS)
def test_it_may_be_killed_at_each_boundary(agent, target, node, kind):
    kill_at_each_boundary(agent, target, node, kind)


def kill_at_each_boundary(agent, target, node, kind):
    before = target.processes()
    for boundary in BOUNDARIES:
        kill_at(boundary, kind, agent, target)
        # What a fault can leave. The next session would tidy up some of it.
        left = target.processes() != before, not target.network_is_plain(), list(target.root.glob("tmp/.squall-*"))
        assert not any(left), (boundary, left)
    assert node.differences() == []


def kill_at(boundary, kind, agent, target):
    # The last example: a visible file, where there are invisible ones too.
    parameters = FAULTS[kind]["examples"][-1]["parameters"]
    call, what, has_begun = tampering_at(boundary, kind)
    engine, tenant = agent.role("engine"), agent.tenant
    earlier = {report["id"] for report in tenant.list().body["sessions"]}
    claims = tenant.claims("inject", fault=kind, parameters=parameters, target=target.selector, duration="60s")

    def inject():
        return tenant.call("POST", "/v1/sessions", tenant.sign(claims))

    failures = []

    def ask():
        try:
            tenant.end(session) if has_begun else inject()
        except OSError:
            pass  # The answer died with the engine.
        except Exception as error:
            failures.append(error)

    session = inject().body["id"] if has_begun else None
    asking = threading.Thread(target=ask)
    with tampering(engine, call, what) as trace:
        asking.start()
        if what == HOLD:
            # Said as the call returns, before the tracer lets the engine go on.
            wait_for("fdatasync", trace)
            agent.kill(engine)
        agent.wait_for_another("engine", engine, timeout=20)
    asking.join()
    assert not failures, (boundary, failures)
    agent.wait_until_ready()
    # Of what was not on disk nobody knows, so the gateway's next offer of the same request begins a session.
    agent.end_all_sessions()
    for report in tenant.list().body["sessions"]:
        is_well = report["state"] == "ended" and report["revertVerified"]
        assert is_well or report["id"] in earlier, (boundary, report)
    if boundary != "before it is on disk":
        # The same token again names the session, whichever engine is asked.
        answer = inject()
        assert (answer.status, answer.code) == (409, "replayed"), (boundary, answer)
        # What was written, if not made durable, outlives the process: its end may have been said before.
        assert tenant.read(answer.body["session"]).body["ending"] in ("recovered", "cancelled")


def traces(target):
    """What the node has of a container while it runs, and of nothing else: gone when that has ended."""
    processes = target.processes()
    namespaces = {os.readlink(f"/proc/{pid}/ns/{type}") for pid in processes for type in ("cgroup", "mnt", "pid")}
    # When containerd writes down what it collects is its own affair.
    database = "io.containerd.metadata.v1.bolt/meta.db"
    return [target.id, database, *(f"process {pid} started" for pid in processes), *(f"namespace {name}" for name in namespaces)]


@pytest.mark.parametrize("kind, parameters", examples(FATAL))
def test_what_ends_its_target_leaves_all_else_as_it_was(agent, mortal_target, kind, parameters):
    """The pod that it is in too, its network, and another container there."""
    neighbour = mortal_target.runtime.create_container(mortal_target.pod, name="neighbour")
    try:
        node, own = Node(agent), traces(mortal_target)
        session = agent.tenant.begin(kind, mortal_target.selector, parameters, duration="60s")
        report = agent.tenant.wait_until_ended(session)
        assert (report["ending"], report["revertVerified"]) == ("completed", True), report
        assert effect(report)
        assert not mortal_target.is_running()
        differences = node.differences()
        assert any(mortal_target.id in difference for difference in differences), "the comparison saw no container end"
        assert [difference for difference in differences if not any(trace in difference for trace in own)] == []
    finally:
        mortal_target.runtime.stop_container(neighbour.id, grace=0)
        mortal_target.runtime.remove_container(neighbour.id)


@pytest.mark.parametrize("kind", FATAL)
def test_what_ends_its_target_may_be_killed_at_each_boundary(agent, world, kind):
    """Of one that takes its time to end nothing is left, and no more is done to it."""
    with world.deaf_target() as target:
        kill_at_each_boundary(agent, target, Node(agent), kind)
        assert target.is_running()
