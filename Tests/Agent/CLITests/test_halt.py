"""squall halt and resume, against a scripted engine."""

import json

from fakes import SESSION, problem, report

ENDED = report("ended", "halted", {"outcome": "restored"})
STUCK = report("stuck", "halted", {"outcome": "failed", "reason": "busy"}, session="s-00000000000000ff")


def test_says_what_it_ended_and_that_the_node_is_closed(cli, engine):
    engine.answers["halt"] = (200, {"sessions": [ENDED]})
    result = cli.run("halt", "--reason", "incident 4711")
    assert engine.commands == [{"command": "halt", "reason": "incident 4711"}]
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{SESSION}  ended: halted, and every change is undone and verified",
        "halted: 1 session ended and verified; new ones are refused until squall resume",
    ]


def test_says_what_it_could_not_end(cli, engine):
    engine.answers["halt"] = (200, {"sessions": [ENDED, STUCK]})
    result = cli.run("halt")
    assert engine.commands == [{"command": "halt"}]
    assert result.returncode == 1
    assert "halted: 1 session ended and verified, 1 not: see squall session list" in result.stdout


def test_prints_the_engines_own_document_as_json(cli, engine):
    engine.answers["halt"] = (200, {"sessions": [ENDED]})
    assert json.loads(cli.run("halt", "--output", "json").stdout) == {"sessions": [ENDED]}


def test_says_when_a_restart_would_forget_it(cli, engine):
    engine.answers["halt"] = problem(503, "journal-unavailable", "all sessions are ended, but", hint="see squall doctor")
    result = cli.run("halt")
    assert result.returncode == 6
    assert "all sessions are ended, but" in result.stderr


def test_resumes(cli, engine):
    engine.answers["resume"] = (200, {"sessions": []})
    result = cli.run("resume")
    assert engine.commands == [{"command": "resume"}]
    assert (result.returncode, result.stdout) == (0, "resumed: new sessions are taken\n")
