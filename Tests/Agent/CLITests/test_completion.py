"""That shells take the completion scripts, and that bash completes by it."""

import pathlib
import shlex
import shutil
import subprocess

import pytest
from conftest import PROGRAM
from fakes import SESSION, report

OTHER = "s-fedcba9876543210"
# Completes the words as bash does when the tabulator is pressed behind the last one.
PRESS_TAB = """
source completion.bash
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}
COMP_TYPE=9
function=$(complete -p squall | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
"$function" squall "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_takes_its_script(cli, shell):
    result = cli.run("completion", shell, connect=False)
    assert result.returncode == 0
    assert "network-latency" in result.stdout
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = cli.directory / "script"
    script.write_text(result.stdout)
    checked = subprocess.run([shell, "-n", script], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_refuses_a_shell_that_it_has_no_script_for(cli):
    result = cli.run("completion", "tcsh", connect=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "'bash', 'zsh' or 'fish'" in result.stderr


@pytest.fixture
def complete(cli):
    """What bash offers for the last of some words."""
    (cli.directory / "completion.bash").write_text(cli.run("completion", "bash", connect=False).stdout)
    (cli.directory / "squall").symlink_to(pathlib.Path(PROGRAM).resolve())

    def offered(*words):
        script = PRESS_TAB.format(words=" ".join(map(shlex.quote, ["squall", *words])))
        environment = {"PATH": f"{cli.directory}:{cli.environment['PATH']}"}
        result = subprocess.run(
            ["bash", "--norc", "-c", script], cwd=cli.directory, env=environment, capture_output=True, text=True,
            timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
        return {word.strip() for word in result.stdout.splitlines() if word.strip()}

    return offered


def test_bash_completes_commands(complete):
    assert complete("in") == {"inject"}
    assert {"list", "show", "watch", "revert"} <= complete("session", "")


def test_bash_completes_options_and_their_values(complete):
    assert complete("inject", "cpu-stress", "--dura") == {"--duration"}
    assert complete("doctor", "--output", "") == {"table", "json"}


def test_bash_completes_faults(complete):
    assert complete("inject", "") >= {"cpu-stress", "network-latency"}
    assert complete("fault", "show", "network-lat") == {"network-latency"}


def test_bash_completes_sessions_for_an_operator(complete, cli, engine):
    engine.answers["list"] = (200, {"sessions": [report(), report(session=OTHER)]})
    socket = ["--engine-socket", cli.engine_socket]
    assert complete("session", "revert", *socket, "s-") == {SESSION, OTHER}
    assert complete("session", "show", *socket, "s-f") == {OTHER}
    assert engine.commands == [{"command": "list"}] * 2


def test_bash_offers_no_session_where_there_is_no_engine_or_a_key(complete, cli, engine):
    engine.answers["list"] = (200, {"sessions": [report()]})
    assert complete("session", "revert", "--engine-socket", "nowhere.sock", "s-") == set()
    assert complete("session", "revert", "--engine-socket", cli.engine_socket, "--key", "shop.key.jwk", "s-") == set()
    assert engine.commands == []
