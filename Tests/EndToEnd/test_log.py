"""What the agent writes for whoever collects logs, and the trace that a request belongs to."""

import datetime
import json

import pytest

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACE_PARENT = f"00-{TRACE}-{SPAN}-01"
STRESS = {"load": 10, "workers": 1}


@pytest.fixture
def agent(make_agent):
    return make_agent("--log-format", "json")


def lines(agent):
    return [json.loads(line) for line in agent.log().splitlines()]


def test_each_line_is_an_object(agent, host_target):
    agent.policy_file.write_text("not: a policy")
    agent.tenant.call("GET", "/v1/node")
    agent.kill_engine()
    agent.wait_until_ready()
    said = lines(agent)
    assert {line["program"] for line in said} == {"squalld", "squall-gateway"}
    for line in said:
        time = datetime.datetime.fromisoformat(line["time"])
        assert abs((datetime.datetime.now(datetime.UTC) - time).total_seconds()) < 120
        assert line["level"] in ("info", "warning", "error") and line["message"]
    assert [line["level"] for line in said if "the engine ended" in line["message"]] == ["warning"]
    assert "error" in {line["level"] for line in said if "policy" in line["message"]}


def test_a_sessions_course_is_told_with_its_name_and_its_trace(agent, host_target):
    session = agent.tenant.begin("cpu-stress", host_target.process_selector, STRESS, traceparent=TRACE_PARENT)
    report = agent.tenant.end(session).body
    assert report["traceparent"] == TRACE_PARENT
    events = agent.tenant.events(session)
    assert {event["traceparent"] for event in events} == {TRACE_PARENT}
    told = [line for line in lines(agent) if line.get("session") == session]
    assert [line["event"] for line in told] == ["opened", "active", "ending", "ended"]
    for line in told:
        assert (line["tenant"], line["fault"]) == ("shop", "cpu-stress")
        assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
        assert session in line["message"]
    (opened,) = [
        event
        for file in (agent.state_directory / "audit").iterdir()
        for event in map(json.loads, file.read_text().splitlines())
        if event["event"] == "opened"
    ]
    assert opened["traceparent"] == TRACE_PARENT


def test_a_session_without_a_trace_has_none(agent, host_target):
    session = agent.tenant.begin("cpu-stress", host_target.process_selector, STRESS)
    assert "traceparent" not in agent.tenant.end(session).body
    assert all("trace_id" not in line for line in lines(agent))


@pytest.mark.parametrize(
    "trace",
    ["", TRACE, f"00-{TRACE}-{SPAN}", f"01-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
     f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", 7],
)  # fmt: skip
def test_a_trace_that_is_none_is_refused(agent, host_target, trace):
    answer = agent.tenant.inject("cpu-stress", host_target.process_selector, STRESS, traceparent=trace)
    assert (answer.status, answer.code, answer.body["field"]) == (422, "field-invalid", "traceparent"), answer
