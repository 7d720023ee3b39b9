"""The agent's own processes: what each may do, and what becomes of the others when one dies."""

import os
import signal
import threading
import time

import pytest
from frames import ask_as

STRESS = {"load": 10, "workers": 1}
# By their numbers in capabilities(7).
ENGINE_CAPABILITIES = {
    "cap_dac_override": 1, "cap_fowner": 3, "cap_kill": 5, "cap_setgid": 6, "cap_setuid": 7, "cap_setpcap": 8, "cap_net_admin": 12,
    "cap_sys_chroot": 18, "cap_sys_ptrace": 19, "cap_sys_admin": 21, "cap_sys_resource": 24,
    "cap_sys_time": 25,
}  # fmt: skip


def test_killing_the_gateway_ends_no_session(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    gateway = agent.role("gateway")
    os.kill(gateway, signal.SIGKILL)
    agent.wait_for_another("gateway", gateway)
    report = agent.tenant.read(session).body
    assert (report["id"], report["state"]) == (session, "active")


def test_killing_the_engine_takes_everything_back_and_refuses_nobody(agent, target):
    before = target.processes()
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    assert target.processes() != before

    statuses = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(agent.tenant.list().status)

    asking = threading.Thread(target=ask)
    asking.start()
    took = agent.kill_engine()
    deadline = time.monotonic() + 3
    while target.processes() != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert target.processes() == before
    # A second is the promise; an emulated or busy machine is given some more here.
    assert took < 3
    time.sleep(0.5)
    stop.set()
    asking.join()
    assert set(statuses) == {200}

    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("recovered", True)


def test_how_a_session_ended_is_known_after_a_restart(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    before = agent.tenant.end(session).body
    agent.kill_engine()
    agent.wait_until_ready()
    assert agent.tenant.read(session).body == before
    assert agent.other_tenant.read(session).status == 404


def test_a_stopped_worker_of_a_dead_engine_is_found_and_ended(agent, target):
    before = target.processes()
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    (worker,) = agent.workers(session)
    # Stopped, it cannot see that its engine is gone; the kernel's own signal would end it, so take that away too.
    os.kill(worker, signal.SIGSTOP)
    agent.kill_engine()
    agent.wait_until_ready()
    assert target.processes() == before


def test_only_the_engine_has_capabilities_in_use(agent):
    for pid, role in agent.processes():
        status = agent.process_status(pid)
        effective = int(status["CapEff"], 16)
        if role == "engine":
            assert effective != 0
        elif role in ("gateway", "runtimes"):
            assert effective == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"


def test_the_node_tells_which_capabilities_its_engine_lacks(agent):
    told = agent.tenant.call("GET", "/v1/node").body["capabilities"]
    effective = int(agent.process_status(agent.role("engine"))["CapEff"], 16)
    held = {name for name, bit in ENGINE_CAPABILITIES.items() if effective >> bit & 1}
    # An agent in a container, which is not given it, does without.
    needed = set(ENGINE_CAPABILITIES) - ({"cap_sys_time"} - held)
    assert set(told["needed"]) == needed
    assert set(told["missing"]) == needed - held


def test_the_nodes_name_is_told_while_the_runtimes_process_hangs(agent):
    """Every token needs it, and the node's report, which has it too, waits seconds for the runtimes process."""
    runtimes = agent.role("runtimes")
    os.kill(runtimes, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert agent.tenant.call("GET", "/v1/node/name").body == {"name": agent.node_name}
        assert time.monotonic() - begun < 2
    finally:
        os.kill(runtimes, signal.SIGCONT)


def test_the_gateway_is_a_user_of_its_own(agent):
    status = agent.process_status(agent.role("gateway"))
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    assert status["Groups"].strip() == ""


def test_the_engines_socket_is_closed_to_the_gateways_commands(agent):
    """The gateway's user may connect, and still commands nothing."""
    status, body = ask_as(65532, agent.engine_socket, 2, '{"command": "list"}')
    assert (status, body["code"]) == (403, "not-operator")


def test_the_gateways_requests_follow_each_other_on_one_connection(agent):
    """Each is answered once and in order, also one that comes before the last answer."""
    kinds = ["name", "liveness", "faults"] * 5
    answers = ask_as(65532, agent.engine_socket, *(word for kind in kinds for word in (3, kind)))
    assert [status for status, _ in answers] == [200] * len(kinds)
    for kind, (_, body) in zip(kinds, answers):
        assert ("faults" in body) == (kind == "faults"), (kind, body)


def test_strangers_cannot_reach_the_engines_socket(agent):
    assert ask_as(12345, agent.engine_socket, 3, "node") == "PermissionError"


@pytest.mark.parametrize("user", [65532, 65533, 12345], ids=["the gateway", "the runtimes process itself", "a stranger"])
def test_nobody_but_root_asks_the_runtimes_process_anything(agent, user):
    """It stops containers for whoever can: its socket is the engine's alone."""
    path = agent.engine_socket.parent / "runtimes.sock"
    assert ask_as(0, path, 4, '{"ask":"status"}')[0] == 200
    assert ask_as(user, path, 4, '{"ask":"stop","id":"0123456789ab","graceSeconds":0}') == "PermissionError"


@pytest.mark.parametrize("what", ["directory", "full directory", "file", "link"])
def test_what_is_in_the_way_of_the_socket_keeps_no_agent_from_taking_back(make_agent, target, what):
    """Root in a pod that mounts the socket's folder could put it there."""
    agent = make_agent()
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    agent.kill_all()
    agent.api_socket.unlink()
    if what == "file":
        agent.api_socket.write_text("")
    elif what == "link":
        agent.api_socket.symlink_to("/nowhere")
    else:
        agent.api_socket.mkdir()
        if what == "full directory":
            (agent.api_socket / "something").mkdir()
    agent.start()
    assert agent.tenant.wait_until_ended(session)["ending"] == "recovered"
