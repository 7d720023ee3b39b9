"""Services of systemd as targets: by their names, of their tenants, across restarts and reloads."""

import pytest
from host_kit import *

def is_active_session(id):
    return session(id)["state"] == "active"


@pytest.mark.parametrize("by", ["unit", "cgroup"])
def test_a_paused_unit_holds_nobody_up(agent, service, by):
    """Process 1 begins what a unit starts in its cgroup, and would hang with the whole host if that were frozen behind its back."""
    target = service.target if by == "unit" else ["--cgroup", cgroup_of(service.unit)]
    opened = agent.operator.inject("container-pause", target=target)
    wait_until(lambda: is_active_session(opened["id"]), what="it is in effect")
    assert cgroup_file(service.unit, "cgroup.freeze") == "1" and unit_property(service.unit, "FreezerState") == "frozen"
    refused = sh("systemctl", "restart", service.unit, check=False, timeout=20)
    assert refused.returncode and "frozen" in refused.stderr, refused
    systemctl("daemon-reload")
    report = agent.operator.end(opened["id"])
    assert report["revertVerified"], report
    assert unit_property(service.unit, "FreezerState") == "running"
    assert service.answers()
    systemctl("restart", service.unit)


def test_systemd_is_told_of_the_end_whoever_brings_it(agent):
    def paused():
        opened = agent.inject("container-pause", target=NGINX)
        wait_until(lambda: is_active_session(opened["id"]), what="it is in effect")
        return opened["id"]

    # The agent is killed, and takes it back when it is there again.
    id = paused()
    kill_agent()
    wait_until(lambda: session(id)["state"] == "ended", what="it is taken back")
    assert session(id)["revertVerified"] and unit_property("nginx", "FreezerState") == "running"
    # Two of them: the first one's end leaves the other's in effect.
    first, second = paused(), paused()
    assert agent.end(first)["revertVerified"] and unit_property("nginx", "FreezerState") == "frozen"
    assert agent.end(second)["revertVerified"] and unit_property("nginx", "FreezerState") == "running"
    # An administrator does; who comes then tells systemd again.
    id = paused()
    systemctl("thaw", "nginx")
    next = paused()
    assert unit_property("nginx", "FreezerState") == "frozen"
    agent.end(id)
    agent.end(next)
    assert unit_property("nginx", "FreezerState") == "running" and cgroup_file("nginx", "cgroup.freeze") == "0"
    systemctl("restart", "nginx")


def test_a_process_is_named_by_its_program_and_user(agent):
    main = int(unit_property("nginx", "MainPID"))
    for target in (["--process", "nginx"], ["--process", "nginx", "--user", "root"]):
        opened = agent.operator.inject("cpu-stress", "load=5", "workers=1", target=target, duration="5s")
        assert session(opened["id"])["target"]["process"]["pid"] == main
    done = agent.operator.inject("cpu-stress", target=["--process", "nginx", "--user", "www-data"], check=False)
    assert done.returncode and "2 processes are called nginx of user www-data" in done.stderr, done.stderr
    # It is not the unit that is named: units alone are not enough.
    done = agent.inject("cpu-stress", target=["--process", "nginx"], check=False)
    assert done.returncode, done


def test_what_would_end_a_frozen_service_is_refused(agent):
    """systemd 257 starts nothing again that ended while it was frozen."""
    opened = agent.inject("container-pause", target=NGINX)
    wait_until(lambda: is_active_session(opened["id"]), what="it is in effect")
    done = agent.inject("process-signal", "signal=KILL", target=NGINX, check=False)
    assert done.returncode and "is frozen" in done.stderr, done.stderr
    assert agent.end(opened["id"])["revertVerified"] and is_active("nginx")
    sh("systemd-run", "--unit", "watched", "--property", "WatchdogSec=5", "sleep", "infinity")
    try:
        done = agent.operator.inject("container-pause", target=["--unit", "watched"], check=False)
        assert done.returncode and "watchdog" in done.stderr, done.stderr
    finally:
        systemctl("stop", "watched")
    done = agent.operator.inject("container-pause", target=["--cgroup", "/user.slice"], check=False)
    assert done.returncode, done


def test_what_ends_frozen_is_told(agent):
    sh("systemd-run", "--unit", "mortal", "--property", "Restart=no", "sleep", "infinity")
    opened = agent.operator.inject("container-pause", target=["--unit", "mortal"])
    wait_until(lambda: is_active_session(opened["id"]), what="it is in effect")
    sh("kill", "-9", unit_property("mortal", "MainPID"))
    report = wait_until(lambda: (s := session(opened["id"]))["state"] in ("ended", "stuck") and s, what="it ends with its target")
    # Either systemd has forgotten the unit, which is gone then, or the session says what is left.
    if unit_property("mortal", "FreezerState") != "running":
        assert "systemd starts it no more" in json.dumps(report), report


def test_a_cgroup_that_is_called_as_a_unit_is_none(agent):
    """Whoever may make cgroups below its own gives them any name."""
    sh("systemd-run", "--unit", "delegated", "--property", "Delegate=yes", "sleep", "infinity")
    below = Path("/sys/fs/cgroup/system.slice/delegated.service/nginx.service")
    below.mkdir()
    try:
        pid = unit_property("delegated", "MainPID")
        (below / "cgroup.procs").write_text(pid)
        opened = agent.operator.inject("container-pause", target=["--pid", pid])
        wait_until(lambda: is_active_session(opened["id"]), what="it is in effect")
        assert (below / "cgroup.freeze").read_text().strip() == "1"
        assert unit_property("nginx", "FreezerState") == "running" and cgroup_file("nginx", "cgroup.freeze") == "0"
        assert agent.operator.end(opened["id"])["revertVerified"]
    finally:
        systemctl("stop", "delegated")


@pytest.mark.parametrize(
    "unit, words",
    [
        ("cron.service", "none of tenant shop's"),
        ("ssh.service", "protected"),
        ("nginx.socket", "a service or a scope"),
        ("../nginx.service", "a service or a scope"),
    ],
)
def test_a_tenant_hits_its_own_units_alone(agent, unit, words):
    done = agent.inject("cpu-stress", target=["--unit", unit], check=False)
    assert done.returncode and words in done.stderr, done.stderr


def test_a_service_that_does_not_run_is_not_found(agent):
    systemctl("stop", "nginx")
    try:
        done = agent.inject("cpu-stress", target=NGINX, check=False)
        assert done.returncode and "no unit nginx.service runs" in done.stderr, done.stderr
    finally:
        systemctl("start", "nginx")


def test_a_restart_ends_the_session(agent, service):
    opened = agent.inject("cpu-throttle", "percent=50", target=service.target)
    systemctl("restart", service.unit)
    ended = wait_until(lambda: (now := session(opened["id"]))["state"] == "ended" and now)
    assert (ended["ending"], ended["revertVerified"]) == ("target-gone", True), ended
    assert cgroup_file(service.unit, "cpu.max").startswith("max")
    wait_until(service.answers, what="it answers")


def test_a_session_follows_a_restart(agent, service):
    opened = agent.inject("cpu-throttle", "percent=50", target=[*service.target, "--on-restart", "reinject"])
    held = cgroup_file(service.unit, "cpu.max")
    assert not held.startswith("max")
    before = unit_property(service.unit, "MainPID")
    systemctl("restart", service.unit)
    assert unit_property(service.unit, "MainPID") != before
    wait_until(lambda: is_active_session(opened["id"]) and cgroup_file(service.unit, "cpu.max") == held)
    assert str(session(opened["id"])["target"]["process"]["pid"]) == unit_property(service.unit, "MainPID")
    report = agent.end(opened["id"])
    assert report["revertVerified"] and cgroup_file(service.unit, "cpu.max").startswith("max"), report
    wait_until(service.answers, what="it answers")


def test_what_systemd_writes_meanwhile_is_told_and_left_alone(agent, service):
    opened = agent.inject("cpu-throttle", "percent=50", target=service.target)
    systemctl("set-property", "--runtime", service.unit, "CPUQuota=70%")
    try:
        report = agent.end(opened["id"], code=1)
        assert {step["undo"]["outcome"] for step in report["steps"]} == {"drifted"}, report
        assert cgroup_file(service.unit, "cpu.max") == "70000 100000"
    finally:
        systemctl("revert", service.unit)
        systemctl("set-property", "--runtime", service.unit, "CPUQuota=")


@pytest.mark.parametrize("of", ["service", "systemd"])
def test_a_reload_disturbs_nothing(agent, service, of):
    opened = agent.inject("memory-squeeze", "size=256MiB", target=service.target)
    held = cgroup_file(service.unit, "memory.high")
    assert held == str(256 << 20)
    systemctl(*(["daemon-reload"] if of == "systemd" else ["reload", service.unit]))
    time.sleep(1)
    assert cgroup_file(service.unit, "memory.high") == held and is_active_session(opened["id"])
    assert agent.end(opened["id"])["revertVerified"] and cgroup_file(service.unit, "memory.high") == "max"
    assert service.answers()
    # systemd has forgotten what it wrote to the cgroup, and writes it again with the next that it starts there.
    if of == "systemd":
        systemctl("restart", service.unit)


def test_what_systemd_has_reset_is_told(agent, service):
    """After a reload of its own it writes all of a service's settings with the next program that it starts there."""
    faults = [["memory-squeeze", "size=256MiB"], ["cpu-throttle", "percent=50"]]
    opened = [agent.inject(*words, target=service.target)["id"] for words in faults]
    systemctl("daemon-reload")
    systemctl("reload", service.unit)
    time.sleep(1)
    for id in opened:
        report = agent.end(id)
        # Not restored by the agent: somebody has done that before.
        assert [step["undo"]["outcome"] for step in report["steps"]] == ["already-restored"], report
    assert cgroup_file(service.unit, "memory.high") == "max" and cgroup_file(service.unit, "cpu.max").startswith("max")
    assert service.answers()


@pytest.mark.parametrize("path", ["/system.slice/systemd-journald.service", "/system.slice", "/init.scope"])
def test_no_path_leads_round_what_is_protected(agent, path):
    done = agent.operator.inject("container-pause", target=["--cgroup", path], check=False)
    assert done.returncode and ("protected" in done.stderr or "holds" in done.stderr), done.stderr
