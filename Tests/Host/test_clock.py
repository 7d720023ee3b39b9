"""The host's wall clock, set ahead or back for a session: measured by the clock that nobody can set."""

import contextlib

import jwt
import pytest
from host_kit import *

HOST = ["--host"]
SOCKET = "/run/squall/squall.sock"


def lead():
    """How far the wall clock is ahead of the other one. Nothing but a step changes that."""
    pairs = []
    for _ in range(5):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        wall = time.time()
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        pairs.append((after - before, wall - (before + after) / 2))
    return min(pairs)[1]


@pytest.fixture(autouse=True)
def right(agent):
    """What it is without a session, and again at the end, whatever a test has made of it."""
    before = lead()
    yield before
    if abs(lead() - before) > 0.1:
        set_clock(before)


def set_clock(to):
    """As a time service does it, or somebody by hand."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_BOOTTIME) + to)


def is_off_by(seconds, right):
    return abs(lead() - right - seconds) < 0.1


def begin(agent, offset="-1h", duration="60s", **options):
    id = agent.operator.inject("clock-skew", f"offset={offset}", target=HOST, duration=duration, **options)["id"]
    assert session(id)["state"] == "active", session(id)
    return id


def ended(id, timeout=30):
    return wait_until(lambda: (now := session(id))["state"] == "ended" and now, timeout, f"session {id} has ended")


def outcome(report):
    (step,) = report["steps"]
    return report["ending"], step["undo"]["outcome"]


@pytest.mark.parametrize("offset, seconds", [("-1h", -3600), ("90s", 90), ("-8760h", -8760 * 3600), ("500ms", 0.5), ("-10ms", -0.01)])
def test_the_clock_is_off_while_a_session_lasts(agent, right, offset, seconds):
    said = int(sh("date", "+%s").stdout)
    id = begin(agent, offset)
    assert abs(lead() - right - seconds) < 0.005 and abs(int(sh("date", "+%s").stdout) - said - seconds) < 20
    (step,) = session(id)["steps"]
    assert abs(step["effect"]["offsetSeconds"] - seconds) < 0.005, step
    report = agent.operator.end(id)
    assert (outcome(report), report["revertVerified"]) == (("cancelled", "restored"), True), report
    assert abs(lead() - right) < 0.005


@pytest.mark.parametrize("offset", ["-1h", "1h"])
def test_a_session_lasts_as_long_as_it_was_to(agent, right, offset):
    begun = time.monotonic()
    id = begin(agent, offset, duration="6s")
    wait_until(lambda: is_off_by(0, right), what="it is right again")
    assert 4.5 < time.monotonic() - begun < 12
    assert outcome(ended(id)) == ("expired", "restored")


def test_other_sessions_last_as_long_as_they_were_to(agent, right):
    begun = time.monotonic()
    other = agent.inject("cpu-throttle", "percent=50", target=NGINX, duration="8s")["id"]
    id = begin(agent, "2h")
    report = ended(other)
    assert report["ending"] == "expired" and 6 < time.monotonic() - begun < 20, report
    assert agent.operator.end(id)["revertVerified"]


def test_what_is_told_and_written_down_has_the_right_time(agent, right):
    id = begin(agent, "-1h")
    other = agent.operator.inject("cpu-throttle", "percent=50", target=NGINX, check=False)
    assert agent.operator.end(id)["revertVerified"]
    lines = [json.loads(line) for line in sh("squall", "journal", "show", "--output", "json").stdout.splitlines()]
    walls = [line["wall"] for line in lines if "wall" in line]
    assert walls and abs(walls[-1] - time.time()) < 60, walls[-5:]
    assert max(walls) - walls[-1] < 60
    # As soon as it is over, tokens are good as ever.
    assert other.returncode
    again = agent.inject("cpu-throttle", "percent=50", target=NGINX)["id"]
    assert abs(session(again)["openedAt"] - time.time()) < 60
    assert agent.end(again)["revertVerified"]


@pytest.mark.parametrize("offset", ["-1h", "1h"])
def test_a_signer_on_the_host_ends_what_it_began_and_begins_nothing(agent, offset):
    """By its clock, which is as wrong."""
    id = begin(agent, offset)
    refused = agent.operator.inject("cpu-throttle", "percent=50", target=NGINX, check=False)
    assert refused.returncode and "a session has set this node's clock" in refused.stderr, refused.stderr
    shown = sh("squall", "session", "show", id, "--key", agent.operator.key, "--output", "json")
    assert json.loads(shown.stdout)["state"] == "active"
    assert agent.operator.end(id)["revertVerified"]


def signed(agent, at, **claims):
    key = json.loads(agent.operator.key.read_text())
    made = {"iss": "root", "aud": sh("hostname").stdout.strip(), "iat": int(at), "exp": int(at) + 30, "jti": os.urandom(12).hex()}
    return jwt.encode(made | claims, jwt.PyJWK(key, "EdDSA").key, "EdDSA", headers={"kid": key["kid"]})


def call(token, method, path):
    words = ["curl", "-s", "--unix-socket", SOCKET, "-X", method, "-H", f"Authorization: Bearer {token}", f"http://localhost{path}"]
    return json.loads(sh(*words).stdout)


@pytest.mark.parametrize("offset, seconds", [("-1h", -3600), ("1h", 3600)])
def test_a_signer_elsewhere_has_the_right_time(agent, right, offset, seconds):
    id = begin(agent, offset)
    now = time.time() - seconds
    request = {"op": "inject", "fault": "cpu-throttle", "parameters": {"percent": 50}, "target": {"unit": "nginx.service"}}
    opened = call(signed(agent, now, **request), "POST", "/v1/sessions")
    assert opened["state"] == "active", opened
    for each in (opened["id"], id):
        token = signed(agent, now, op="end", session=each)
        assert call(token, "DELETE", f"/v1/sessions/{each}")["revertVerified"]
        assert call(token, "DELETE", f"/v1/sessions/{each}")["code"] == "replayed"
    assert is_off_by(0, right)


def test_what_was_used_is_not_used_again_by_the_other_clock(agent):
    now = time.time()
    request = {"op": "inject", "fault": "cpu-throttle", "parameters": {"percent": 50}, "target": {"unit": "nginx.service"}}
    # An hour ago; by a clock that is set back an hour, it is now.
    old = signed(agent, now - 3600, **request)
    assert call(old, "POST", "/v1/sessions")["code"] == "token-expired"
    id = begin(agent, "-1h")
    assert call(old, "POST", "/v1/sessions")["code"] == "token-expired"
    token = signed(agent, now - 3600, op="read", session=id)
    assert call(token, "GET", f"/v1/sessions/{id}")["state"] == "active"
    assert call(token, "GET", f"/v1/sessions/{id}")["code"] == "replayed"
    assert agent.operator.end(id)["revertVerified"]
    assert call(token, "GET", f"/v1/sessions/{id}")["code"] in ("replayed", "token-expired")


def test_somebody_puts_it_right_meanwhile(agent, right):
    id = begin(agent)
    set_clock(right)
    # It is looked at once a second.
    wait_until(lambda: abs(session(id)["steps"][0]["effect"]["offsetSeconds"]) < 0.1, what="the effect says so")
    report = agent.operator.end(id)
    assert (outcome(report), report["revertVerified"]) == (("cancelled", "already-restored"), True), report
    assert is_off_by(0, right)


def test_what_somebody_sets_it_to_meanwhile_stays(agent, right):
    id = begin(agent)
    # Not ahead of the right time: by that, tokens would have expired for good.
    set_clock(right - 1800)
    report = agent.operator.end(id, code=1)
    assert (outcome(report), report["revertVerified"]) == (("cancelled", "drifted"), False), report
    assert "30m" in report["steps"][0]["undo"]["found"] and is_off_by(-1800, right)


def test_a_little_that_somebody_puts_right_meanwhile_stays(agent, right):
    """As a time service does, that takes the clock for a little wrong."""
    id = begin(agent)
    set_clock(right - 3600 + 0.7)
    assert outcome(agent.operator.end(id)) == ("cancelled", "restored")
    assert is_off_by(0.7, right)


def test_one_session_has_the_clock(agent, right):
    id = begin(agent)
    now = time.time() + 3600
    request = {"op": "inject", "fault": "clock-skew", "parameters": {"offset": "1h"}, "target": {"host": True}}
    assert call(signed(agent, now, **request), "POST", "/v1/sessions")["code"] == "target-busy"
    assert is_off_by(-3600, right)
    assert agent.operator.end(id)["revertVerified"]


@contextlib.contextmanager
def no_agent():
    """It cannot be started, until this is over."""
    options = Path("/etc/default/squalld")
    before = options.read_text()
    try:
        options.write_text('SQUALLD_OPTIONS="--nonsense"\n')
        systemctl("kill", "--signal=KILL", "--kill-whom=all", "squalld")
        yield
    finally:
        options.write_text(before)
        systemctl("restart", "squalld")
        wait_for_another_agent()


def engine():
    (found,) = [pid for pid in sh("pgrep", "-x", "squalld").stdout.split() if b"engine" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def test_a_killed_agent_puts_it_right_when_it_is_back(agent, right):
    id = begin(agent)
    kill_agent()
    report = ended(id)
    assert (outcome(report), report["revertVerified"]) == (("recovered", "restored"), True), report
    assert is_off_by(0, right)
    # The next tokens are as good as ever.
    assert agent.operator.end(begin(agent, "1h"))["revertVerified"]


def test_a_killed_engine_puts_it_right(agent, right):
    id = begin(agent, "1h")
    sh("kill", "-9", engine())
    assert outcome(ended(id)) == ("recovered", "restored") and is_off_by(0, right)
    assert agent.operator.end(begin(agent, "1h"))["revertVerified"]


def test_a_stopped_agent_puts_it_right_first(agent, right):
    id = begin(agent)
    systemctl("stop", "squalld")
    assert is_off_by(0, right)
    systemctl("start", "squalld")
    wait_for_another_agent()
    assert outcome(session(id)) == ("drained", "restored")


def test_it_is_right_again_when_no_agent_comes_back(agent, right):
    """By the dead-man's process, once the session's time is over."""
    id = begin(agent, duration="8s")
    with no_agent():
        time.sleep(2)
        assert is_off_by(-3600, right)
        wait_until(lambda: is_off_by(0, right), 12, "it is right again")
        wait_until(lambda: not processes(), what="nothing of the agent runs")
    report = ended(id)
    assert (outcome(report), report["revertVerified"]) == (("recovered", "already-restored"), True), report


def test_what_somebody_sets_it_to_stays_when_no_agent_comes_back(agent, right):
    id = begin(agent, duration="6s")
    with no_agent():
        set_clock(right - 1800)
        wait_until(lambda: not processes(), what="nothing of the agent runs")
        assert is_off_by(-1800, right)
    assert outcome(ended(id)) == ("recovered", "drifted")


def test_a_hung_engine_keeps_nothing_wrong(agent, right):
    id = begin(agent, duration="4s")
    hung = engine()
    sh("kill", "-STOP", hung)
    try:
        wait_until(lambda: is_off_by(0, right), 12, "it is right again")
    finally:
        sh("kill", "-CONT", hung)
    report = ended(id)
    assert (outcome(report), report["revertVerified"]) == (("expired", "already-restored"), True), report
    assert is_off_by(0, right)


def test_what_is_refused(agent, right):
    for target, words in ((NGINX, "the whole host"), (["--cgroup", "/system.slice/nginx.service"], "the whole host")):
        done = agent.operator.inject("clock-skew", "offset=1h", target=target, check=False)
        assert done.returncode and words in done.stderr, done.stderr
    done = agent.inject("clock-skew", "offset=1h", target=HOST, check=False)
    assert done.returncode and "may not hit the whole host" in done.stderr, done.stderr
    assert is_off_by(0, right)


def test_an_engine_that_may_not_gives_it_up(agent, right):
    """Where the policy lets nobody hit the whole host, neither the engine nor the dead-man's process could."""
    policy = Path("/etc/squall/policy.yaml")
    try:
        policy.write_text(POLICY.replace("host: whole", "host: allowed"))
        systemctl("restart", "squalld")
        wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")
        for pid in (engine(), *sh("pgrep", "-x", "squall-deadman").stdout.split()):
            (bits,) = [line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("CapPrm")]
            assert not int(bits, 16) >> 25 & 1
        policy.write_text(POLICY)
        done = wait_until(lambda: "gave cap_sys_time up" in agent.operator.inject(
            "clock-skew", "offset=1h", target=HOST, check=False).stderr, what="the policy is in force")
        assert done
    finally:
        policy.write_text(POLICY)
        systemctl("restart", "squalld")
        wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")
