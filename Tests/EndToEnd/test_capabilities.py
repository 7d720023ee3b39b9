"""What the engine may do: what the policy needs, and what is written down."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import PROGRAMS, ROOT
from running_agent import wait_until

ALWAYS = {
    "cap_sys_admin", "cap_sys_ptrace", "cap_kill", "cap_dac_override", "cap_setpcap", "cap_sys_chroot",
    "cap_sys_resource",
}  # fmt: skip


def told(*options):
    run = subprocess.run([PROGRAMS / "squalld", "capabilities", *options], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_the_manifest_lists_what_the_program_needs():
    lines = (ROOT / "daemonset/capabilities").read_text().splitlines()
    listed = {f"cap_{line.split()[0].lower()}" for line in lines if not line.startswith("#")}
    assert listed == {each["name"] for each in told() if not each.get("optional")}
    assert [each["name"] for each in told() if each.get("optional")] == ["cap_sys_time"]


def allow(agent, *faults):
    """To the tenant of these tests, and nobody else anything."""
    others = dict.fromkeys(("bank", "quickstart", "payments", "late", "new"))
    agent.write_policy(shop={"namespaces": ["shop"], "host": "allowed", "faults": faults}, **others)


def another_engine(agent):
    agent.kill_engine()
    agent.wait_until_ready()


def in_force(agent, field):
    """The capabilities of a set of the engine's, of each of its threads."""
    engine = agent.role("engine")
    masks = {
        int(re.search(rf"^{field}:\t([0-9a-f]+)$", (thread / "status").read_text(), re.MULTILINE)[1], 16)
        for thread in Path(f"/proc/{engine}/task").iterdir()
    }
    (mask,) = masks
    names = ["cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner", "cap_fsetid", "cap_kill", "cap_setgid",
             "cap_setuid", "cap_setpcap", "cap_linux_immutable", "cap_net_bind_service", "cap_net_broadcast",
             "cap_net_admin", "cap_net_raw", "cap_ipc_lock", "cap_ipc_owner", "cap_sys_module", "cap_sys_rawio",
             "cap_sys_chroot", "cap_sys_ptrace", "cap_sys_pacct", "cap_sys_admin", "cap_sys_boot", "cap_sys_nice",
             "cap_sys_resource"]  # fmt: skip
    return {names[number] for number in range(64) if mask >> number & 1}


@pytest.mark.parametrize(
    ("faults", "more"),
    [
        (["cpu-throttle", "container-pause"], set()),
        (["cpu-stress"], {"cap_setuid", "cap_setgid"}),
        (["network-latency"], {"cap_setuid", "cap_setgid", "cap_net_admin"}),
        (["network-stress"], {"cap_setuid", "cap_setgid"}),
        (["disk-fill"], {"cap_setuid", "cap_setgid", "cap_fowner"}),
        (["*"], {"cap_setuid", "cap_setgid", "cap_fowner", "cap_net_admin"}),
    ],
)
def test_what_no_allowed_fault_needs_is_given_up(make_agent, faults, more):
    agent = make_agent()
    allow(agent, *faults)
    engine = agent.role("engine")
    another_engine(agent)
    assert agent.role("engine") != engine
    lacking = {"cap_sys_resource"} - in_keeper(agent)  # Where the machine itself has less.
    for field in ("CapEff", "CapPrm", "CapBnd"):
        assert in_force(agent, field) == (ALWAYS | more) - lacking, field
    node = agent.tenant.call("GET", "/v1/node").body
    # The clock is the whole host's, which this tenant may not hit.
    unneeded = {"cap_setuid", "cap_setgid", "cap_fowner", "cap_net_admin", "cap_sys_time"} - more
    assert set(node["capabilities"]["givenUp"]) == unneeded
    assert set(node["capabilities"]["missing"]) == lacking
    # The keeper makes users without rights of gateway and runtimes process, whatever the engine needs.
    assert {each["name"] for each in told("--policy", agent.policy_file)} == ALWAYS | more | {"cap_setuid", "cap_setgid"}
    doctor = subprocess.run(
        [PROGRAMS / "squall", "doctor", "--socket", agent.api_socket, "--output", "json"], capture_output=True, text=True
    )
    checks = json.loads(doctor.stdout.splitlines()[-1])["checks"]
    gone = [each for each in checks if "gave" in each.get("why", "") and each["check"] != "fault clock-skew"]
    assert {each["state"] for each in gone} <= {"warning"} and bool(gone) == (faults != ["*"]), doctor.stdout


def in_keeper(agent):
    return {"cap_sys_resource"} if int(agent.process_status(agent.role("keeper"))["CapPrm"], 16) >> 24 & 1 else set()


def test_an_agent_with_no_more_than_its_policy_needs_works(make_agent, target):
    """As a container that is given what `squalld capabilities --policy` prints."""
    agent = make_agent()
    allow(agent, "cpu-throttle")
    assert agent.stop() == 0
    names = [each["name"].removeprefix("cap_") for each in told("--policy", agent.policy_file)]
    command = agent.keeper.args
    agent.keeper = subprocess.Popen(
        ["setpriv", "--inh-caps=-all", "--bounding-set=-all," + ",".join(f"+{name}" for name in names), *command],
        stderr=agent.log_file.open("ab"),
    )
    agent.wait_until_ready()
    session = agent.tenant.begin("cpu-throttle", target.selector, {"percent": 50})
    assert agent.tenant.end(session).body["revertVerified"]


def test_traffic_is_sent_without_the_right_to_change_networks(make_agent, target):
    agent = make_agent()
    allow(agent, "network-stress")
    another_engine(agent)
    assert "cap_net_admin" in agent.tenant.call("GET", "/v1/node").body["capabilities"]["givenUp"]
    plan = agent.tenant.plan("network-stress", target.selector, {"sink": "192.0.2.1:9", "rate": "1Mbit"})
    # In a network without a route it says so, and not that it could not look.
    assert plan.status == 200 or "nobody knows" not in plan.body["detail"], plan


def test_what_was_given_up_is_told_when_it_is_wanted(make_agent, target):
    agent = make_agent()
    allow(agent, "cpu-throttle", "memory-squeeze")
    another_engine(agent)
    session = agent.tenant.inject("cpu-throttle", target.selector, {"percent": 50})
    assert session.status == 201, session
    assert agent.tenant.end(session.body["id"]).body["revertVerified"]
    allow(agent, "*")

    def refused():
        return agent.tenant.inject("cpu-stress", target.selector, {"load": 5})

    wait_until(lambda: refused().code == "fault-unsupported", 10)
    answer = refused()
    assert "cap_setuid" in answer.body["detail"] and "start the agent again" in answer.body["detail"], answer
    faults = {each["kind"]: each for each in agent.tenant.call("GET", "/v1/node").body["faults"]}
    assert not faults["disk-fill"]["works"] and faults["cpu-throttle"]["works"]
    another_engine(agent)
    assert refused().status == 201


def test_sessions_of_an_earlier_engine_are_taken_back_whatever_the_policy_says_now(make_agent, target):
    agent = make_agent()
    session = agent.tenant.begin("disk-fill", target.selector, {"size": "1MiB", "visible": True}, duration="5m")
    keeper = agent.role("keeper")
    os.kill(keeper, signal.SIGSTOP)
    try:
        agent.kill(agent.role("engine"))
        allow(agent, "cpu-throttle")
    finally:
        os.kill(keeper, signal.SIGCONT)
    agent.wait_until_ready()
    assert agent.tenant.wait_until_ended(session)["revertVerified"]
    assert not agent.tenant.call("GET", "/v1/node").body["capabilities"]["givenUp"]
