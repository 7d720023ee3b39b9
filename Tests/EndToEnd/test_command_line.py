"""What `squall` tells an operator of a running agent: the program itself beside the agent that it speaks to."""

import json
import subprocess

import pytest
from conftest import PROGRAMS

STRESS = {"load": 10, "workers": 1}


@pytest.fixture
def squall(agent):
    def run(*words):
        return subprocess.run([PROGRAMS / "squall", *map(str, words)], capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def show_target(squall, agent):
    def show(*words):
        return squall("target", "show", *words, "--output", "json", "--engine-socket", agent.engine_socket)

    return show


def document(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def by_process(target):
    process = target.process_selector["process"]
    return "--pid", process["pid"], "--start-time", process["startTime"]


def test_a_target_is_shown_as_the_kernel_has_it(show_target, target):
    report = document(show_target(*by_process(target)))
    assert report["target"]["process"] == target.process_selector["process"]
    assert report["target"]["cgroup"]["path"] == target.cgroup_selector["cgroup"]
    assert report["hostNetwork"] is False
    assert report["frozen"] is False
    assert report["cpus"] >= 1
    assert report["memoryLimit"] == 256 << 20
    assert report["sessions"] == []


def test_a_targets_sessions_are_shown_while_they_live(show_target, agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    for words in (by_process(target), ("--cgroup", target.cgroup_selector["cgroup"])):
        (shown,) = document(show_target(*words))["sessions"]
        assert (shown["shares"], shown["session"]["id"]) == (["cgroup", "network"], session)
    agent.tenant.end(session)
    assert document(show_target(*by_process(target)))["sessions"] == []


def test_a_target_that_is_not_there_is_not_found(show_target):
    assert show_target("--cgroup", "/no/such/cgroup").returncode == 5
    assert show_target("--pid", "99999999", "--start-time", "1").returncode == 5


def test_the_journal_says_what_lives_while_the_agent_runs(squall, agent, target):
    def journal():
        result = squall("journal", "show", "--state-directory", agent.state_directory, "--output", "json")
        assert result.returncode == 0, result.stderr
        *lines, scan = [json.loads(line) for line in result.stdout.splitlines()]
        assert (scan["damagedLines"], scan["tornBytes"]) == ([], 0)
        return [line["body"] for line in lines], scan["live"]

    session = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    entries, live = journal()
    assert live == [session]
    assert [entry["fault"] for entry in entries if entry.get("session") == session] == ["cpu-stress"]
    agent.tenant.end(session)
    entries, live = journal()
    assert live == []
    (ended,) = [entry for entry in entries if entry["entry"] == "ended" and entry["session"] == session]
    assert (ended["ending"], ended["steps"][0]["undo"]) == ("cancelled", {"outcome": "restored"})


def test_one_version_is_told_by_all(squall, agent):
    (said,) = squall("version", "--output", "json").stdout.splitlines()
    assert json.loads(said)["version"] == agent.tenant.call("GET", "/v1/node").body["version"]
    keeper = subprocess.run([PROGRAMS / "squalld", "--version"], capture_output=True, text=True)
    assert keeper.stdout == f"squalld {json.loads(said)['version']}\n"
