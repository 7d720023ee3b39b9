"""That every command explains itself by examples, that each of them does what it should, and that the manual is current."""

import json
import os
import re
import shlex
import shutil
import subprocess

import pytest
from conftest import PROGRAM, ROOT
from fakes import SESSION, event, report

CONTAINER = "c" * 64
COLUMNS = 80


def commands():
    """Every command of the program by its words, with what it says of itself."""

    def below(command, words):
        words = [*words, command["commandName"]]
        yield words, command
        for each in command.get("subcommands", []):
            if each["commandName"] != "help":
                yield from below(each, words)

    dump = subprocess.run([PROGRAM, "--experimental-dump-help"], capture_output=True, text=True, check=True).stdout
    return {" ".join(words): command for words, command in below(json.loads(dump)["command"], [])}


COMMANDS = commands()


def examples(command):
    """The lines of a command's examples that run squall, as words."""
    text = COMMANDS[command]["discussion"].partition("Examples:\n")[2].replace("\\\n", " ")
    lines = [re.sub(r"^TOKEN=\$\((.*)\)$", r"\1", line.strip()) for line in text.splitlines()]
    return [line for line in lines if line.startswith("squall ")]


def options(words):
    """Of the command that the words begin with."""
    command = COMMANDS.get(" ".join(["squall", *words[:2]])) or COMMANDS[f"squall {words[0]}"]
    return {name["name"] for argument in command["arguments"] for name in argument.get("names", [])}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_examples_of_itself(command):
    found = examples(command)
    assert 1 <= len(found) <= 3
    assert all(line.startswith(command) for line in found)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_fits_a_terminal_and_names_what_it_explains(cli, command):
    result = cli.run(*command.split()[1:], "--help", connect=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"USAGE: {command} " in result.stdout.replace("\n", " ") + " "
    lines = [line for line in result.stdout.splitlines() if not line.startswith("USAGE: ")]
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize("example", sorted({line for command in COMMANDS for line in examples(command)}))
def test_each_example_works(cli, gateway, engine, example):
    ended = report("ended", "expired", {"outcome": "restored"})
    gateway.answers |= {
        "POST /v1/sessions": (201, report()), "POST /v1/plans": (200, {"target": report()["target"]}),
        "GET /v1/sessions": (200, {"sessions": []}), f"GET /v1/sessions/{SESSION}": (200, ended),
        f"DELETE /v1/sessions/{SESSION}": (200, ended), f"GET /v1/sessions/{SESSION}/events": [event(0, "ended", "over")],
    }
    engine.answers |= {
        "list": (200, {"sessions": []}), "show": (200, ended), "events": [event(0, "ended", "over")],
        "revert": (200, ended), "halt": (200, {"sessions": [ended]}), "resume": (200, {"sessions": []}),
        "target": (200, {"target": report()["target"]}),
    }
    example = re.split(r" [>|] ", example)[0]
    places = {
        "$ID": CONTAINER, "$SESSION": SESSION, "4711": str(os.getpid()), "/root/keys": ".",
        "/mnt/node/var/lib/squall": "state", "/etc/squall/policy.yaml": "policy.yaml",
    }
    words = [places.get(word, word) for word in shlex.split(example)[1:]]
    if words[0] in ("journal", "recover"):
        import test_journal

        (cli.directory / "state").mkdir()
        (cli.directory / "state/journal").write_bytes(test_journal.line(test_journal.HEADER))
        words += ["--state-directory", "state"]
    elif words[0] == "audit":
        (cli.directory / "state/audit").mkdir(parents=True)
        words += ["--state-directory", "state"]
    elif words[0] == "policy":
        (cli.directory / "policy.yaml").write_text("version: 1\ntenants: {}\n")
    elif words[0] in ("experiment", "litmus"):
        assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
        (cli.directory / "experiment.yaml").write_text(
            "{apiVersion: squall/v1, kind: Experiment, metadata: {name: one},"
            " spec: {inputs: {limit: 1}, steps: [{name: wait, wait: 1ms}]}}"
        )
        (cli.directory / "fleet.yaml").write_text("{apiVersion: squall/v1, kind: Inventory, agents: []}")
        (cli.directory / "result.json").write_text('{"kind": "ExperimentResult", "experiment": {"name": "one"}}')
    elif words[0] == "hub":
        one = "{apiVersion: squall/v1, kind: Experiment, metadata: {name: leader-loss}, spec: {steps: [{name: wait, wait: 1ms}]}}"
        folder = cli.directory / ("leader-loss" if words[1] == "publish" else "experiments/leader-loss/1.2.0")
        for each in (folder, cli.directory / "experiments"):
            each.mkdir(parents=True, exist_ok=True)
        (folder / "experiment.yaml").write_text(one)
    elif words[0] != "keygen":
        assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    result = cli.run(*words, connect="engine-socket" in options(words))
    # Doctor finds that the agent's processes are not there, and is right.
    # There is no cluster here, either.
    status = {"doctor": 1, "litmus": 4}.get(words[0], 0)
    if words[0] == "recover" and not os.access("/proc/1/ns/cgroup", os.R_OK):
        status = 71  # This machine hides its first process, and nothing can be recovered on it.
    assert result.returncode == status, result.stderr
    assert "Usage:" not in result.stderr


class TestManual:
    MANUAL = ROOT / "docs/squall.1"

    def test_is_what_the_program_says_of_itself(self):
        generate = [ROOT / "scripts/generate-manual", "--check", PROGRAM]
        result = subprocess.run(generate, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")

    def test_is_one(self):
        if not shutil.which("groff"):
            pytest.skip("groff is not installed")
        result = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", self.MANUAL], capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")
        for command in COMMANDS:
            assert re.search(rf"^ +{re.escape(command)}\b", result.stdout, re.M), command
        assert "EXIT STATUS" in result.stdout and "SQUALL_TENANT" in result.stdout
