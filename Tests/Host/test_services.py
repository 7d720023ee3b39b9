"""Services that systemd stops and starts again, or restarts, for a session."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from host_kit import *
from services import PostgreSQL

UNITS = Path("/etc/systemd/system")
# As long as this is there, `drill.service` cannot be started.
OBSTACLE = Path("/run/drill-obstacle")


@pytest.fixture
def make_unit():
    """Units with files, of which the first are stopped first at the end."""
    made = []

    def make(name, text="[Service]\nExecStart=/bin/sleep infinity\n", start=True):
        (UNITS / name).write_text(text)
        made.append(name)
        systemctl("daemon-reload")
        if start:
            systemctl("start", name)
        return ["--unit", name]

    yield make
    for name in made:
        systemctl("stop", name, check=False)
        systemctl("reset-failed", name, check=False)
        (UNITS / name).unlink()
    OBSTACLE.unlink(missing_ok=True)
    systemctl("daemon-reload")


@pytest.fixture
def drill(make_unit):
    return make_unit(
        "drill.service", f"[Service]\nExecStartPre=/usr/bin/test ! -e {OBSTACLE}\nExecStart=/bin/sleep infinity\n")


@pytest.fixture(autouse=True)
def services_run():
    systemctl("start", "nginx")


def answers():
    return sh("curl", "-sf", "http://127.0.0.1/", check=False).returncode == 0


def begin(tenant, target=NGINX, duration="60s", fault="service-stop"):
    opened = tenant.inject(fault, target=target, duration=duration)
    assert session(opened["id"])["state"] == "active", session(opened["id"])
    assert not is_active(target[1])
    return opened["id"]


def ended(id, timeout=30):
    return wait_until(lambda: (now := session(id))["state"] == "ended" and now, timeout, f"session {id} has ended")


def outcomes(report):
    return [step["undo"]["outcome"] for step in report["steps"]]


def test_it_stays_stopped_and_is_started_at_the_end(agent):
    main = unit_property("nginx", "MainPID")
    id = begin(agent, duration="4s")
    assert not answers()
    report = ended(id)
    assert (report["ending"], outcomes(report)) == ("expired", ["restored"]), report
    assert 2.5 < report["steps"][0]["effect"]["downSeconds"] < 6, report
    assert is_active("nginx") and answers() and unit_property("nginx", "MainPID") != main


def test_it_is_started_when_the_session_is_ended(agent):
    report = agent.end(begin(agent))
    assert (report["ending"], outcomes(report), report["revertVerified"]) == ("cancelled", ["restored"], True), report
    # A report says so once it is active.
    assert is_active("nginx") and answers()


def test_a_database_has_an_outage(agent):
    database = PostgreSQL()
    wait_until(lambda: database.query("select 1").stdout == "1\n", what="the database answers")
    id = begin(agent, database.target)
    assert database.query("select 1").returncode
    assert agent.end(id)["revertVerified"]
    assert database.told("select 1") == "1\n"


def test_the_experiment_of_the_catalogue(agent, tmp_path):
    experiment = SHARE / "daemonset/experiments/catalogue/lost-service/1.0.0/experiment.yaml"
    inputs = {"unit": PostgreSQL().unit, "url": "http://127.0.0.1/", "duration": "5s"}
    report = tmp_path / "report.json"
    sh("squall", "experiment", "run", experiment, "--key", agent.key, "--report", report,
       *(word for input in inputs.items() for word in ("--set", "=".join(input))))  # fmt: skip
    result = json.loads(report.read_text())
    assert (result["verdict"], result["score"]) == ("Pass", 100), result
    assert [session["revertVerified"] for session in result["sessions"]] == [True], result


def test_a_killed_agent_has_it_started_when_it_is_back(agent):
    id = begin(agent)
    kill_agent()
    report = ended(id)
    assert (report["ending"], report["revertVerified"]) == ("recovered", True), report
    assert is_active("nginx")


def test_a_killed_engine_has_it_started(agent):
    id = begin(agent)
    (engine,) = [pid for pid in sh("pgrep", "-x", "squalld").stdout.split() if b"engine" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    sh("kill", "-9", engine)
    assert ended(id)["ending"] == "recovered" and is_active("nginx")


def test_it_is_started_when_no_agent_comes_back(agent):
    """By the dead-man's process, once the session's time is over."""
    id = begin(agent, duration="8s")
    options = Path("/etc/default/squalld")
    before = options.read_text()
    try:
        options.write_text('SQUALLD_OPTIONS="--nonsense"\n')
        systemctl("kill", "--signal=KILL", "--kill-whom=all", "squalld")
        time.sleep(2)
        assert not is_active("nginx")
        wait_until(lambda: is_active("nginx"), 12, "it is started")
        wait_until(lambda: not processes(), what="nothing of the agent runs")
    finally:
        options.write_text(before)
        systemctl("restart", "squalld")
    wait_for_another_agent()
    report = ended(id)
    assert (report["ending"], report["revertVerified"]) == ("recovered", True), report


def test_a_hung_engine_keeps_nothing_stopped(agent):
    id = begin(agent, duration="4s")
    (engine,) = [pid for pid in sh("pgrep", "-x", "squalld").stdout.split() if b"engine" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    sh("kill", "-STOP", engine)
    try:
        wait_until(lambda: is_active("nginx"), 12, "it is started")
    finally:
        sh("kill", "-CONT", engine)
    report = ended(id)
    assert report["revertVerified"], report


@pytest.mark.parametrize("how", ["start", "mask"])
def test_what_somebody_else_makes_of_it_stays(agent, how):
    id = begin(agent)
    try:
        if how == "start":
            systemctl("start", "nginx")
            main = unit_property("nginx", "MainPID")
            # It goes on: who has started it may stop it again.
            assert session(id)["state"] == "active"
        else:
            systemctl("mask", "--runtime", "nginx")
        report = agent.end(id, code=1)
        assert outcomes(report) == ["drifted"] and not report["revertVerified"], report
        assert is_active("nginx") == (how == "start")
        assert how == "mask" or unit_property("nginx", "MainPID") == main
    finally:
        systemctl("unmask", "--runtime", "nginx")


def test_what_depends_on_it_is_started_with_it(agent, drill, make_unit):
    make_unit("beside.service", "[Unit]\nRequires=drill.service\nAfter=drill.service\n[Service]\nExecStart=/bin/sleep infinity\n")
    make_unit("part.service", "[Unit]\nPartOf=beside.service\n[Service]\nExecStart=/bin/sleep infinity\n")
    make_unit("idle.service", "[Unit]\nPartOf=drill.service\n[Service]\nExecStart=/bin/sleep infinity\n", start=False)
    id = begin(agent.operator, drill)
    assert "beside.service" in session(id)["steps"][0]["summary"], session(id)
    wait_until(lambda: not is_active("beside") and not is_active("part"), what="they are stopped too")
    assert outcomes(agent.operator.end(id)) == ["restored"]
    assert is_active("drill") and is_active("beside") and is_active("part") and not is_active("idle")


def test_what_cannot_be_started_is_told_and_tried_again(agent, drill):
    id = begin(agent.operator, drill)
    OBSTACLE.touch()
    report = agent.operator.end(id, code=1)
    assert report["state"] == "stuck" and "the result is exit-code" in json.dumps(report), report
    OBSTACLE.unlink()
    report = ended(id, timeout=60)
    assert outcomes(report) == ["restored"] and is_active("drill")


def test_other_sessions_end_or_follow(agent):
    ends = agent.inject("cpu-throttle", "percent=50", target=NGINX)["id"]
    follows = agent.inject("cpu-throttle", "percent=40", target=[*NGINX, "--on-restart", "reinject"])["id"]
    id = begin(agent)
    assert ended(ends)["ending"] == "target-gone"
    assert agent.end(id)["revertVerified"]
    wait_until(lambda: session(follows)["state"] == "active", what="it is on the service again")
    assert agent.end(follows)["revertVerified"]


def test_a_restart_ends_when_it_is_done(agent):
    main = unit_property("nginx", "MainPID")
    report = ended(agent.inject("service-restart", target=NGINX)["id"])
    assert (report["ending"], outcomes(report), report["revertVerified"]) == ("completed", ["irreversible"], True), report
    assert 0 < report["steps"][0]["effect"]["restartSeconds"] < 5, report
    assert unit_property("nginx", "MainPID") != main and answers()


@pytest.mark.parametrize("duration, ending", [("30s", "completed"), ("3s", "fault-ended")])
def test_a_restart_takes_as_long_as_its_session_at_most(agent, make_unit, duration, ending):
    text = "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 7\n"
    opened = agent.operator.inject("service-restart", target=make_unit("slow.service", text), duration=duration)
    report = ended(opened["id"])
    assert report["ending"] == ending, report
    if ending == "completed":
        assert report["steps"][0]["effect"]["restartSeconds"] >= 7, report
    wait_until(lambda: is_active("slow"), what="systemd is done")


def test_it_is_started_however_often_it_was_of_late(agent, make_unit):
    often = make_unit(
        "often.service", "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n[Service]\nExecStart=/bin/sleep infinity\n")
    for _ in range(4):
        assert outcomes(agent.operator.end(begin(agent.operator, often))) == ["restored"]
    assert is_active("often")


@pytest.mark.parametrize("fault", ["service-stop", "service-restart", "process-signal", "container-pause", "cpu-throttle"])
@pytest.mark.parametrize(
    "setting", ["SuccessAction=reboot", "FailureAction=poweroff-force", "StartLimitAction=reboot", "OnFailure=reboot.target"])
def test_a_service_that_takes_the_host_down_with_it_is_no_target(agent, make_unit, fault, setting):
    """Where nobody may reboot the host, nothing else is a way to that."""
    target = make_unit("dire.service", f"[Unit]\n{setting}\n[Service]\nExecStart=/bin/sleep infinity\n")
    words = ["percent=50"] if fault == "cpu-throttle" else ["signal=CONT"] if fault == "process-signal" else []
    try:
        done = agent.operator.inject(fault, *words, target=target, check=False)
        assert done.returncode and "may take the host down" in done.stderr, done.stderr
    finally:
        # Before it is stopped.
        (UNITS / "dire.service").write_text("[Service]\nExecStart=/bin/sleep infinity\n")
        systemctl("daemon-reload")


def test_a_restart_that_fails_says_why(agent, drill):
    OBSTACLE.touch()
    opened = agent.operator.inject("service-restart", target=drill)
    report = ended(opened["id"])
    told = sh("squall", "session", "watch", opened["id"], "--key", agent.operator.key, check=False)
    assert report["ending"] == "fault-ended" and "the result is exit-code" in told.stdout + told.stderr, (report, told)


@pytest.mark.parametrize("fault", ["service-stop", "service-restart"])
@pytest.mark.parametrize(
    "text, words",
    [
        ("[Unit]\nRefuseManualStop=yes\n[Service]\nExecStart=/bin/sleep infinity\n", "by hand"),
        ("[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sleep infinity\n", "is activating"),
    ],
    ids=["by hand", "activating"],
)
def test_what_systemd_would_not_do_is_refused(agent, make_unit, fault, text, words):
    target = make_unit("drill.service", text, start=False)
    systemctl("start", "--no-block", "drill")
    wait_until(lambda: unit_property("drill", "MainPID") != "0")
    done = agent.operator.inject(fault, target=target, check=False)
    assert done.returncode and words in done.stderr, done.stderr
    sh("kill", "-9", unit_property("drill", "MainPID"))


@pytest.mark.parametrize(
    "text, words",
    [
        ("RefuseManualStart=yes\n[Service]\nExecStart=/bin/sleep infinity\n", "beside.service is not to be stopped or started by hand"),
        ("[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n", "beside.service is activating"),
    ],
    ids=["by hand", "activating"],
)
def test_what_depends_on_it_has_to_be_such_that_it_can_be_started(agent, drill, make_unit, text, words):
    """It would stay stopped, or be run again and again."""
    make_unit("beside.service", f"[Unit]\nRequires=drill.service\n{text}", start=False)
    # By hand it may not be, but by what wants it.
    make_unit("wanting.target", "[Unit]\nWants=beside.service\n", start=False)
    systemctl("start", "--no-block", "wanting.target")
    wait_until(lambda: unit_property("beside", "MainPID") != "0")
    done = agent.operator.inject("service-stop", target=drill, check=False)
    assert done.returncode and words in done.stderr, done.stderr
    assert is_active("drill")


def test_of_two_at_once_one_is_refused_and_takes_nothing_back(agent, drill):
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: agent.operator.inject("service-stop", target=drill, check=False), range(2)))
    (won,) = [one for one in both if isinstance(one, dict) and session(one["id"])["state"] == "active"]
    time.sleep(1)
    assert not is_active("drill") and session(won["id"])["state"] == "active"
    report = agent.operator.end(won["id"])
    assert outcomes(report) == ["restored"] and is_active("drill"), report


def test_what_would_not_stay_stopped_is_refused(agent, drill, make_unit):
    make_unit("drill.timer", "[Timer]\nOnActiveSec=1h\n")
    done = agent.operator.inject("service-stop", target=drill, check=False)
    assert done.returncode and "drill.timer is active" in done.stderr, done.stderr
    # It may be restarted, and stopped when nothing would start it.
    assert ended(agent.operator.inject("service-restart", target=drill)["id"])["ending"] == "completed"
    systemctl("stop", "drill.timer")
    assert agent.operator.end(begin(agent.operator, drill))["revertVerified"]


def test_a_transient_service_is_restarted_only(agent):
    sh("systemd-run", "--unit", "passing", "sleep", "infinity")
    try:
        target = ["--unit", "passing.service"]
        done = agent.operator.inject("service-stop", target=target, check=False)
        assert done.returncode and "transient" in done.stderr, done.stderr
        assert ended(agent.operator.inject("service-restart", target=target)["id"])["ending"] == "completed"
    finally:
        systemctl("stop", "passing")


def test_a_frozen_service_is_refused(agent):
    id = agent.inject("container-pause", target=NGINX)["id"]
    for fault in ("service-stop", "service-restart"):
        done = agent.inject(fault, target=NGINX, check=False)
        assert done.returncode and "is frozen" in done.stderr, done.stderr
    assert agent.end(id)["revertVerified"]


def test_what_is_protected_is_not_stopped_with_anything_else(agent, drill, make_unit):
    make_unit("ssh-beside.service", "[Unit]\nRequires=drill.service\n[Service]\nExecStart=/bin/sleep infinity\n")
    for fault in ("service-stop", "service-restart"):
        done = agent.operator.inject(fault, target=drill, check=False)
        assert done.returncode and "ssh-beside.service is protected" in done.stderr, done.stderr
    assert is_active("drill")


def test_a_tenant_stops_nothing_of_others_with_its_own(agent, make_unit):
    make_unit("beside.service", "[Unit]\nRequires=nginx.service\n[Service]\nExecStart=/bin/sleep infinity\n")
    done = agent.inject("service-stop", target=NGINX, check=False)
    assert done.returncode and "beside.service is none of tenant shop's" in done.stderr, done.stderr
    assert is_active("nginx")


@pytest.mark.parametrize(
    "target, words",
    [
        (["--unit", "squalld.service"], "protected"),
        (["--unit", "ssh.service"], "protected"),
        (["--unit", "systemd-journald.service"], "protected"),
        (["--process", "nginx", "--user", "root"], "not named as a service"),
        (["--cgroup", "/system.slice/nginx.service"], "not named as a service"),
        ([*NGINX, "--on-restart", "reinject"], "follows no other"),
    ],
    ids=["own", "ssh", "journald", "process", "cgroup", "reinject"],
)
def test_what_is_refused(agent, target, words):
    for fault in ("service-stop", "service-restart"):
        done = agent.operator.inject(fault, target=target, check=False)
        assert done.returncode and words in done.stderr, done.stderr
    assert is_active("nginx")


def test_nothing_of_it_is_taken_for_another_run(agent):
    """Two sessions on one service: the second finds none, or that it is busy."""
    id = begin(agent)
    done = agent.inject("service-stop", target=NGINX, check=False)
    assert done.returncode and "no unit nginx.service runs" in done.stderr, done.stderr
    systemctl("start", "nginx")
    done = agent.inject("service-restart", target=NGINX, check=False)
    assert done.returncode and "another session has nginx.service" in done.stderr, done.stderr
    agent.end(id, code=1)
