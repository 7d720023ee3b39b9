"""What `squall journal show` says of a journal's file, written here after docs/journal.md alone."""

import fcntl
import json
import os
import re

import pytest
from conftest import ROOT
from fakes import SESSION

OTHER = "s-fedcba9876543210"
TOKEN = {"tenant": "shop", "id": "token-0001", "expires": 1700000030, "session": SESSION}
HEADER = {"format": "squall-journal", "version": 1}


def crc32c(data):
    """Castagnoli's, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def line(document):
    text = json.dumps(document, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32c(text), text)


def entry(body, wall=1700000000):
    return line({"wall": wall, "body": body})


def opened(session=SESSION, boot="an-earlier-boot", fault="cpu-stress"):
    return {
        "entry": "opened", "session": session, "token": {**TOKEN, "session": session}, "boot": boot,
        "openedAt": 5_000_000_000, "deadline": 35_000_000_000, "openedAtWall": 1700000000, "fault": fault,
        "parameters": {"load": 50}, "summary": "burn 50% of a CPU", "reason": "a drill", "lease": "10s",
        "target": {"cgroup": {"path": "/kubepods/web", "id": "7"}},
        "intents": [
            {"step": "run-worker", "task": {"cpu": {"load": 50.0, "threads": 1}},
             "cgroup": {"path": "/kubepods/web", "id": "7"}},
        ],
    }


ENDED = {"entry": "ended", "session": SESSION, "ending": "expired"}


@pytest.fixture
def journal(cli):
    path = cli.directory / "state/journal"
    path.parent.mkdir()

    def write(*lines):
        path.write_bytes(line(HEADER) + b"".join(lines))
        return path

    return write


def show(cli, *words):
    return cli.run("journal", "show", "--state-directory", "state", *words, connect=False)


def test_says_where_a_session_moved(cli, journal):
    moved = {
        "entry": "moved", "session": SESSION, "intents": opened()["intents"],
        "target": {"cgroup": {"path": "/kubepods/next", "id": "8"}},
    }
    journal(entry(opened() | {"onRestart": "reinject"}), entry(moved))
    result = show(cli)
    assert result.returncode == 0
    assert "and again when its container is started again\n" in result.stdout
    assert "moved to cgroup /kubepods/next\n" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("cpu-stress on cgroup /kubepods/next; "
        "the node was restarted since, so only what lies on a disk can be left")


def test_says_each_entry_as_a_person_would(cli, journal):
    journal(
        entry({"entry": "clock-seen"}), entry(opened()), entry({"entry": "token-taken", "token": TOKEN}, 1700000002),
        entry(ENDED, 1700000030))
    result = show(cli)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines.pop(6).startswith("                                                   1. run a worker ")
    assert lines == [
        "LINE  WRITTEN                  SESSION             WHAT",
        "2     2023-11-14 22:13:20 UTC  -                   compacted: what was over by then is not here",
        f"3     2023-11-14 22:13:20 UTC  {SESSION}  opened by shop: cpu-stress: burn 50% of a CPU",
        "                                                   on cgroup /kubepods/web, for 30s, until 2023-11-14 22:13:50 UTC",
        "                                                   with a lease of 10s",
        "                                                   because: a drill",
        f"4     2023-11-14 22:13:22 UTC  {SESSION}  token token-0001 of shop taken; it could be used until "
        "2023-11-14 22:13:50 UTC",
        f"5     2023-11-14 22:13:50 UTC  {SESSION}  ended: its time is over",
        "",
        "live: none; nothing is to be taken back",
    ]


def test_prints_each_line_and_what_is_live_as_json(cli, journal):
    bodies = [opened(), opened(OTHER), ENDED]
    journal(*(entry(body) for body in bodies))
    *lines, last = [json.loads(text) for text in show(cli, "--output", "json").stdout.splitlines()]
    assert lines == [{"line": index + 2, "wall": 1700000000, "body": body} for index, body in enumerate(bodies)]
    assert last == {"live": [OTHER], "damagedLines": [], "tornBytes": 0}


def test_tells_sessions_of_this_boot_from_those_that_a_restart_has_ended(cli, journal):
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    journal(entry(opened(boot=boot)), entry(opened(OTHER)))
    live = [text for text in show(cli).stdout.splitlines() if text.startswith("live: ")]
    assert [SESSION in live[0], "restarted" in live[0], OTHER in live[1], "restarted" in live[1]] == [
        True, False, True, True]


def test_knows_no_fault(cli, journal):
    journal(entry(opened(fault="earthquake")))
    assert "opened by shop: earthquake: burn 50% of a CPU" in show(cli).stdout


def test_names_damaged_lines_and_torn_bytes_and_reads_all_others(cli, journal):
    flipped = bytearray(entry(opened()))
    flipped[40] ^= 1
    journal(bytes(flipped), entry({"entry": "from-the-future"}), entry(opened(OTHER)), entry(ENDED)[:10])
    text = show(cli).stdout
    assert "2     -                        -                   damaged: not what was once written" in text
    assert "3     2023-11-14 22:13:20 UTC  -                   not known to this version" in text
    assert f"live: {OTHER}" in text
    assert "\ndamaged lines: 2, 3\n" in text
    assert "\ntorn: 10 bytes after the last line" in text
    *lines, last = [json.loads(each) for each in show(cli, "--output", "json").stdout.splitlines()]
    assert lines[:2] == [
        {"line": 2, "damaged": True},
        {"line": 3, "unknown": {"wall": 1700000000, "body": {"entry": "from-the-future"}}}]
    assert last == {"live": [OTHER], "damagedLines": [2, 3], "tornBytes": 10}


def test_shows_a_journal_without_entries(cli, journal):
    journal()
    assert show(cli).stdout.splitlines() == ["no entries", "", "live: none; nothing is to be taken back"]


def test_leaves_the_file_as_it_is_and_needs_no_lock(cli, journal):
    path = journal(entry(opened()), entry(ENDED)[:10])

    def state():
        return path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns, sorted(os.listdir(path.parent))

    with open(path.parent / "lock", "w") as lock:
        # As the keeper holds it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = state()
        assert show(cli).returncode == 0
        assert state() == before


def test_says_where_there_is_no_journal(cli):
    result = show(cli)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "squall: error: cannot read the journal in state: open state/journal: No such file or directory",
        "  field: --state-directory",
        "  hint: run this on the node or in the agent's container, and name the directory that squalld was given",
    ]


def test_does_not_guess_at_another_format(cli, journal):
    journal().write_bytes(line({"format": "squall-journal", "version": 2}))
    result = show(cli)
    assert result.returncode == 2
    assert "a journal of another format" in result.stderr


def test_the_page_has_an_example_that_is_one(cli, journal):
    """Its lines are whole, and what it says is shown of them is shown."""
    page = (ROOT / "docs/journal.md").read_text()
    file, text = re.search(r"```\n(8842a931 .*?)```.*?```console\n\$ squall journal show\n(.*?)```", page, re.S).groups()
    journal().write_text(file)
    assert show(cli).stdout == text
