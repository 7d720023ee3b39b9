"""What is written down of who wanted what, what was allowed, and how it ended."""

import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from conftest import PROGRAMS
from running_agent import wait_until

STRESS = {"load": 10, "workers": 1}


def audit(agent, *words):
    return subprocess.run(
        [PROGRAMS / "squall", "audit", *words, "--state-directory", agent.state_directory], capture_output=True, text=True
    )


def events(agent, **wanted):
    """As the files have them, read here."""
    lines = [line for path in sorted((agent.state_directory / "audit").glob("*.jsonl")) for line in path.open("rb")]
    for before, line in zip(lines, lines[1:]):
        assert json.loads(line)["previous"] == hashlib.sha256(before.rstrip(b"\n")).hexdigest()
    found = map(json.loads, lines)
    return [event for event in found if all(event.get(name) == value for name, value in wanted.items())]


def wait_for(agent, **wanted):
    wait_until(lambda: events(agent, **wanted), 10)
    return events(agent, **wanted)[-1]


def test_a_sessions_life_is_written_down(agent, target):
    token = agent.tenant.token(
        "inject", fault="cpu-stress", target=target.selector, parameters=STRESS, duration="30s", reason="drill 7", sub="dora"
    )
    session = agent.tenant.call("POST", "/v1/sessions", token).body["id"]
    opened = wait_for(agent, event="opened", session=session)
    assert (opened["tenant"], opened["key"], opened["subject"]) == ("shop", agent.tenant.key_id, "dora")
    assert (opened["fault"], opened["durationSeconds"], opened["reason"]) == ("cpu-stress", 30, "drill 7")
    assert opened["parameters"]["load"] == 10 and opened["parameters"]["base"] == "cores"
    assert opened["target"]["cgroup"]["path"] == target.cgroup_selector["cgroup"]
    assert abs(opened["time"] / 1000 - time.time()) < 60
    agent.tenant.end(session)
    assert wait_for(agent, event="end-requested", session=session)["tenant"] == "shop"
    ended = wait_for(agent, event="ended", session=session)
    assert (ended["ending"], ended["revertVerified"]) == ("cancelled", True)
    assert ended["steps"][0]["undo"]["outcome"] in ("restored", "already-restored")


def test_refusals_are_written_down(agent, target):
    agent.tenant.inject("cpu-stress", target.selector, {"load": 0})
    denied = wait_for(agent, event="denied", code="field-invalid", field="parameters.load")
    assert (denied["tenant"], denied["operation"], denied["parameters"]) == ("shop", "inject", {"load": 0})
    # Of a token that nobody has signed nothing is believed.
    stranger = agent.tenant.token("read")[:-8] + "AAAAAAAA"
    assert agent.tenant.call("GET", "/v1/sessions", stranger).code == "signature-invalid"
    assert "tenant" not in wait_for(agent, event="denied", code="signature-invalid")


def test_an_operators_hand_is_seen(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    engine = ["--engine-socket", agent.engine_socket]
    assert subprocess.run([PROGRAMS / "squall", "session", "revert", session, *engine], capture_output=True).returncode == 0
    assert wait_for(agent, event="end-requested", session=session)["operator"] is True


def test_a_session_that_a_dead_engine_left_ends_in_the_log_too(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    agent.kill_engine()
    agent.wait_until_ready()
    assert wait_for(agent, event="ended", session=session)["ending"] == "recovered"
    assert wait_for(agent, event="opened", session=session)
    assert wait_for(agent, event="started")["version"]


def test_the_log_is_sound_and_its_head_is_told(agent, target):
    agent.tenant.end(agent.tenant.begin("cpu-stress", target.selector, STRESS))
    time.sleep(1.5)
    done = audit(agent, "verify", "--output", "json")
    verified = json.loads(done.stdout)
    assert done.returncode == 0 and verified["sound"], done
    head = agent.tenant.call("GET", "/v1/node").body["audit"]
    assert head["problem"] is None and head["head"]["sequence"] >= verified["head"]["sequence"]
    assert f"squall_audit_sequence {head['head']['sequence']}" in agent.tenant.call("GET", "/metrics").body
    shown = audit(agent, "show", "--event", "ended", "--tenant", "shop")
    assert shown.returncode == 0 and "cancelled; verified; cpu-stress" in shown.stdout, shown


def test_a_log_that_was_altered_or_cut_is_found_out(agent, target, tmp_path):
    agent.tenant.end(agent.tenant.begin("cpu-stress", target.selector, STRESS))
    time.sleep(1.5)

    class Copy:
        state_directory = tmp_path

    (tmp_path / "audit").mkdir()
    for path in (agent.state_directory / "audit").iterdir():
        (tmp_path / "audit" / path.name).write_bytes(path.read_bytes())
    assert audit(Copy, "verify").returncode == 0
    last = sorted((tmp_path / "audit").glob("*.jsonl"))[-1]
    text = last.read_text()
    last.write_text(text.replace('"tenant":"shop"', '"tenant":"bank"', 1))
    done = audit(Copy, "verify")
    assert done.returncode == 1 and "altered" in done.stdout, done
    last.write_text("".join(text.splitlines(keepends=True)[:-1]))
    done = audit(Copy, "verify")
    assert done.returncode == 1 and "missing" in done.stdout, done


def test_what_cannot_be_written_down_is_not_done(make_agent, target):
    agent = make_agent()
    directory = agent.state_directory / "audit"
    agent.stop()
    away = directory.rename(directory.with_suffix(".away"))
    directory.write_text("in the way")
    try:
        agent.start()
    except TimeoutError:
        pass  # It is not ready, and says why.
    answer = agent.tenant.call("GET", "/readyz")
    assert answer.status == 503 and "what is decided cannot be recorded" in str(answer.body), answer
    answer = agent.tenant.inject("cpu-stress", target.selector, STRESS)
    assert (answer.status, answer.code) == (503, "audit-unavailable"), answer
    directory.unlink()
    away.rename(directory)
    assert agent.tenant.inject("cpu-stress", target.selector, STRESS).status == 201
    assert agent.tenant.call("GET", "/readyz").status == 200
    assert audit(agent, "verify").returncode == 0
    assert wait_for(agent, event="lost")["count"] >= 1


def test_refusals_do_not_push_out_what_was_allowed(agent, target):
    before, begun = len(events(agent)), time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: agent.tenant.inject("cpu-stress", target.selector, {"load": 0}), range(400)))
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    most = 100 + 5 * (time.monotonic() - begun) + 1
    wait_for(agent, event="opened", session=session)
    written = events(agent)[before:]
    denied = sum(event["event"] == "denied" for event in written)
    lost = sum(event["count"] for event in written if event["event"] == "lost")
    assert denied + lost >= 400 and denied <= most
