"""The host that is to be rebooted or switched off, and is not: what goes over boots is in reboot/."""

import pytest
from host_kit import *

HOST = ["--host"]
FAULTS = [("host-reboot", "rebooted", "reboot.target"), ("host-power-off", "poweredOff", "poweroff.target")]


def is_going_down():
    return any(unit_property(target, "ActiveState") != "inactive" or unit_property(target, "Job") not in ("", "0") for _, _, target in FAULTS)


@pytest.fixture(autouse=True)
def stays_up(agent):
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    yield
    assert not is_going_down() and Path("/proc/sys/kernel/random/boot_id").read_text() == boot


def begin(agent, fault, delay="5s", duration="60s"):
    opened = agent.operator.inject(fault, f"delay={delay}", target=HOST, duration=duration)
    assert session(opened["id"])["state"] == "active", session(opened["id"])
    return opened["id"]


def ended(id):
    return wait_until(lambda: (now := session(id))["state"] == "ended" and now, what=f"session {id} has ended")


def outcome(report):
    (step,) = report["steps"]
    return report["ending"], step["undo"]["outcome"], step.get("effect")


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_a_plan_says_what_cannot_be_taken_back(agent, fault, word, target):
    words = ["squall", "inject", fault, *HOST, "--key", agent.operator.key, "--duration", "60s", "--dry-run", "--output", "json"]
    plan = json.loads(sh(*words).stdout)
    assert plan["reversible"] is False and "cannot be taken back" in json.dumps(plan["notes"]), plan
    assert plan["reach"] == "host" and plan["target"]["cgroup"]["path"] == "/", plan


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_ended_in_time_nothing_is_done(agent, fault, word, target):
    report = agent.operator.end(begin(agent, fault, "4s"))
    assert (outcome(report), report["revertVerified"]) == (("cancelled", "already-restored", None), True), report
    time.sleep(6)
    assert not is_going_down()


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_a_stopped_agent_orders_nothing(agent, fault, word, target):
    id = begin(agent, fault, "6s")
    systemctl("restart", "squalld")
    wait_for_another_agent()
    assert outcome(session(id)) == ("drained", "already-restored", None)
    time.sleep(6)


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_a_killed_agent_orders_nothing(agent, fault, word, target):
    """And the next one finds that the host is not going down."""
    id = begin(agent, fault, "8s")
    kill_agent()
    assert outcome(ended(id)) == ("recovered", "already-restored", None)
    time.sleep(8)


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_what_systemd_refuses_is_told(agent, fault, word, target):
    """Here since it is masked."""
    systemctl("mask", "--runtime", target)
    try:
        id = begin(agent, fault, "1s")
        report = ended(id)
        assert outcome(report) == ("fault-ended", "already-restored", None), report
        told = sh("squall", "session", "watch", id, "--key", agent.operator.key, check=False)
        assert "masked" in told.stdout + told.stderr, told
    finally:
        systemctl("unmask", "--runtime", target)


def test_one_session_at_a_time(agent):
    id = begin(agent, "host-reboot", "50s")
    for fault, _, _ in FAULTS:
        done = agent.operator.inject(fault, target=HOST, check=False)
        assert done.returncode and "about to take the host down" in done.stderr, done.stderr
    assert agent.operator.end(id)["revertVerified"]


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_it_is_off_unless_the_guardrails_say_so(agent, fault, word, target):
    policy = Path("/etc/squall/policy.yaml")

    def is_refused_for(words):
        # In no case is it done: the session is too short.
        return words in agent.operator.inject(fault, "delay=10s", target=HOST, duration="6s", check=False).stderr

    assert is_refused_for("is over before the delay")
    try:
        policy.write_text(POLICY.replace("power: allowed", "power: refused"))
        wait_until(lambda: is_refused_for("power: allowed"), what="the policy is in force")
    finally:
        policy.write_text(POLICY)
    wait_until(lambda: is_refused_for("is over before the delay"), what="the one before is in force again")


@pytest.mark.parametrize("change", [("power: allowed", "power: refused"), ("host: whole", "host: allowed")])
def test_what_is_refused_meanwhile_is_not_ordered(agent, change):
    policy = Path("/etc/squall/policy.yaml")
    id = begin(agent, "host-reboot", "20s")
    try:
        policy.write_text(POLICY.replace(*change))
        report = ended(id)
    finally:
        policy.write_text(POLICY)
    assert outcome(report) == ("revoked", "already-restored", None), report


@pytest.mark.parametrize("fault, word, target", FAULTS)
def test_only_the_whole_host_goes_down(agent, fault, word, target):
    done = agent.operator.inject(fault, target=NGINX, check=False)
    assert done.returncode and "the whole host" in done.stderr, done.stderr
    done = agent.inject(fault, target=HOST, check=False)
    assert done.returncode and "may not hit the whole host" in done.stderr, done.stderr
