"""The agent's own limits: agents of their own, each started with one that is low."""

import pytest

STRESS = {"load": 1, "workers": 1}


def inject(agent, target):
    return agent.tenant.inject("cpu-stress", target.selector, STRESS, duration="60s")


def check_refusal(answer, words):
    assert (answer.status, answer.code) == (429, "limit-exceeded"), answer
    assert words in answer.body["detail"] and "--help" in answer.body["hint"], answer


@pytest.mark.parametrize(
    "option, most, words",
    [
        ("--max-sessions", 2, "has 2 live sessions, its limit is 2"),
        ("--max-workers", 2, "has 2 workers, its limit is 2"),
        # As many as the agent has itself, those that it keeps for other things, and what a few sessions need.
        ("--max-descriptors", 220, "files open"),
    ],
)
def test_beyond_its_limits_nothing_begins_and_nothing_else_suffers(make_agent, target, option, most, words):
    agent = make_agent(option, str(most))
    before = target.processes()
    sessions = []
    while (answer := inject(agent, target)).status == 201:
        sessions.append(answer.body["id"])
        assert len(sessions) <= 20
    check_refusal(answer, words)
    assert sessions and len(target.processes()) == len(before) + len(sessions)
    assert {each["state"] for each in agent.tenant.list().body["sessions"]} == {"active"}
    assert agent.tenant.call("GET", "/readyz").status == 200
    # What ends makes room.
    assert agent.tenant.end(sessions.pop()).body["revertVerified"]
    answer = inject(agent, target)
    assert answer.status == 201, answer
    for session in [*sessions, answer.body["id"]]:
        assert agent.tenant.end(session).body["revertVerified"]
    assert target.processes() == before


@pytest.mark.parametrize("option, words", [("--max-memory", "bytes of memory"), ("--max-journal", "the journal has")])
def test_an_agent_that_is_too_large_begins_nothing(make_agent, target, option, words):
    agent = make_agent(option, "1")
    before = target.processes()
    check_refusal(inject(agent, target), words)
    assert target.processes() == before
    assert agent.tenant.plan("cpu-stress", target.selector, STRESS).status == 200
