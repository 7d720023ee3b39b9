"""The journal under load, on a full disk, and with no agent: agents of their own, that a test may start and kill."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from conftest import PROGRAMS

from running_agent import wait_until
from tampering import tampering

STRESS = {"load": 1, "workers": 1}
VISIBLE = {"size": "4MiB", "visible": True, "reserve": 1}


def squall(*words):
    return subprocess.run([PROGRAMS / "squall", *words], capture_output=True, text=True, timeout=60)


def test_it_stays_small_however_many_sessions_there_were(make_agent, target):
    agent = make_agent("--journal-bytes", "32768")
    journal = agent.state_directory / "journal"
    begun, sizes = [], []
    for _ in range(650):
        session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
        assert agent.tenant.end(session).body["revertVerified"]
        begun.append(session)
        sizes.append(journal.stat().st_size)
    # What is kept of 250 sessions, and as much again.
    assert any(later < earlier for earlier, later in zip(sizes, sizes[1:])), "it is compacted while the agent runs"
    assert max(sizes) < 2.2 * 250 / 650 * sum(b - a for a, b in zip(sizes, sizes[1:]) if b > a)
    # One is live when it is compacted, too.
    live = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    for _ in range(100):
        agent.tenant.end(agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s"))
    agent.kill_engine()
    assert agent.tenant.read(live).body["ending"] == "recovered"
    assert agent.tenant.read(begun[0]).status == 404, "the first of hundreds that are over"
    verdict = squall("journal", "verify", "--state-directory", agent.state_directory, "--output", "json")
    assert verdict.returncode == 0 and json.loads(verdict.stdout)["live"] == []


def test_on_a_full_disk_nothing_begins_and_everything_ends(make_agent, target):
    agent = make_agent(size="1m")
    before = target.processes()
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    rest = agent.state_directory / "rest"
    with rest.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == 28
    # A page that was allocated may have room for one more.
    for _ in range(8):
        refused = agent.tenant.inject("cpu-stress", target.selector, STRESS)
        if refused.status != 201:
            break
        assert agent.tenant.end(refused.body["id"]).body["revertVerified"]
    assert (refused.status, refused.code) == (503, "journal-unavailable"), refused
    ended = agent.tenant.end(session)
    assert ended.status == 200 and ended.body["revertVerified"], ended
    assert target.processes() == before
    # There was room kept for its end.
    verdict = squall("journal", "verify", "--state-directory", agent.state_directory, "--output", "json")
    assert json.loads(verdict.stdout)["live"] == []
    rest.unlink()
    assert agent.tenant.inject("cpu-stress", target.selector, STRESS, duration="1s").status == 201


def test_on_a_disk_that_fails_nothing_begins_and_everything_ends(make_agent, target):
    agent = make_agent()
    before = target.processes()
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    journal = agent.state_directory / "journal"
    # Every attempt to make something durable fails, as on a disk that is dying.
    with tampering(agent.role("engine"), "fdatasync,fsync", "error=EIO"):
        refused = agent.tenant.inject("cpu-stress", target.selector, STRESS)
        assert (refused.status, refused.code) == (503, "journal-unavailable"), refused
        assert "Input/output error" in refused.body["detail"]
        assert len(target.processes()) == len(before) + 1
        readiness = agent.tenant.call("GET", "/readyz")
        assert readiness.status == 503 and "Input/output error" in readiness.body["reasons"][0], readiness
        ended = agent.tenant.end(session)
        assert ended.status == 200 and ended.body["revertVerified"], ended
        assert target.processes() == before
        suspect = journal.stat().st_ino
    # What the kernel told of the failed write it tells once: everything is written again, to another file.
    wait_until(lambda: agent.tenant.call("GET", "/readyz").status == 200, 5)
    assert journal.stat().st_ino != suspect
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    agent.kill_engine()
    assert agent.tenant.wait_until_ended(session)["ending"] == "recovered"
    assert target.processes() == before


def test_without_an_agent_everything_is_taken_back(make_agent, target):
    agent = make_agent()
    directory = Path(tempfile.mkdtemp(prefix="squall-test.", dir="/var/tmp"))
    try:
        parameters = VISIBLE | {"path": str(directory)}
        session = agent.tenant.begin("disk-fill", target.selector, parameters, duration="600s")
        recover = ["recover", "--offline", "--state-directory", agent.state_directory]
        refused = squall(*recover)
        assert refused.returncode == 75 and "an agent runs" in refused.stderr, refused
        agent.kill_all()
        assert list(directory.iterdir())
        done = squall(*recover)
        assert done.returncode == 0, done
        assert session in done.stdout and "nothing is left: 1 session taken back" in done.stdout
        assert list(directory.iterdir()) == []
        again = squall(*recover)
        assert again.returncode == 0 and "nothing is left: 0 sessions" in again.stdout
    finally:
        shutil.rmtree(directory)


def test_a_damaged_line_is_named_and_hides_no_other(make_agent, target):
    agent = make_agent()
    for _ in range(2):
        assert agent.tenant.inject("cpu-stress", target.selector, STRESS, duration="60s").status == 201
    agent.stop()
    journal = agent.state_directory / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if b'"opened"' in line)
    lines[number] = lines[number].replace(b"cpu-stress", b"cpu-strezz", 1)
    journal.write_bytes(b"".join(lines))
    verdict = squall("journal", "verify", "--state-directory", agent.state_directory)
    assert verdict.returncode == 1
    assert f"damaged lines: {number + 1}" in verdict.stdout, verdict.stdout
