"""Colours are for terminals: seen through a pseudo-terminal, and through a pipe."""

import os
import pty
import re
import subprocess

import pytest
from conftest import PROGRAM
from fakes import NODE, report

CONTAINER = "c" * 64
PLAN = {
    "fault": "cpu-stress", "summary": "burn 50% of a CPU", "parameters": {}, "target": report()["target"],
    "duration": "30s", "steps": ["run a worker"],
}
ESCAPE = "\x1b["


@pytest.fixture
def on_terminal(cli):
    """What a command writes to standard output when that is a terminal."""

    def run(*words, **environment):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [PROGRAM, *words], cwd=cli.directory, env=cli.environment | {"TERM": "xterm"} | environment, stdout=slave,
            stderr=subprocess.PIPE)
        os.close(slave)
        written = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # EIO: nobody has the terminal open any more.
                break
            if not chunk:
                break
            written += chunk
        os.close(master)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        return written.decode()

    return run


@pytest.fixture(params=["doctor", "plan", "target", "journal"])
def words(request, cli, gateway, key):
    """A command that has something to colour."""
    if request.param == "doctor":
        gateway.answers["GET /v1/node"] = (200, NODE)
        return ["doctor", "--socket", cli.gateway_socket, "--engine-socket", "nowhere"]
    if request.param == "plan":
        gateway.answers["POST /v1/plans"] = (200, PLAN)
        return [
            "inject", "cpu-stress", "--container", CONTAINER, *key, "--node", "node-1", "--dry-run", "--socket",
            cli.gateway_socket]
    if request.param == "target":
        engine = request.getfixturevalue("engine")
        engine.answers["target"] = (200, {"target": report()["target"], "cpus": 1, "sessions": []})
        return ["target", "show", "--container", CONTAINER, "--engine-socket", cli.engine_socket]
    import test_journal

    state = cli.directory / "state"
    state.mkdir()
    (state / "journal").write_bytes(
        test_journal.line(test_journal.HEADER) + test_journal.entry(test_journal.opened()) + b"nonsense\n")
    return ["journal", "show", "--state-directory", "state"]


class TestColours:
    def test_are_on_a_terminal(self, on_terminal, words):
        assert ESCAPE in on_terminal(*words)

    def test_are_not_in_a_pipe(self, cli, words):
        result = cli.run(*words, connect=False)
        assert (result.returncode, ESCAPE in result.stdout) == (0, False)

    @pytest.mark.parametrize("more, environment, coloured", [
        ([], {"NO_COLOR": "1"}, False), ([], {"NO_COLOR": ""}, True), ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False), (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--output", "json"], {}, False), (["--output", "json", "--color", "always"], {}, False),
    ])
    def test_are_as_one_wants_them(self, on_terminal, words, more, environment, coloured):
        assert (ESCAPE in on_terminal(*words, *more, **environment)) == coloured

    def test_are_in_a_pipe_where_they_are_asked_for(self, cli, words):
        assert ESCAPE in cli.run(*words, "--color", "always", connect=False).stdout

    def test_change_nothing_else(self, cli, words):
        def shown(colour):
            text = cli.run(*words, "--color", colour, connect=False).stdout
            # How long the agent took to answer is no colour.
            return re.sub(r"answers in \d+ ms", "", text)

        coloured, plain = shown("always"), shown("never")
        assert plain != coloured
        assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
