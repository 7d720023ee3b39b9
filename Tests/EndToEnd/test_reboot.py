"""What an agent does with a journal of another boot: the machine is not restarted, the journal is made to say so."""

import json
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    Path("/usr/lib/squall-node").exists(), reason="needs an agent that the test may stop and start"
)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def say_that_it_was_another_boot(journal):
    lines = []
    for line in journal.read_bytes().splitlines():
        document = json.loads(line[9:])
        if document.get("body", {}).get("entry") == "opened":
            document["body"]["boot"] = "00000000-0000-4000-8000-000000000000"
        text = json.dumps(document, separators=(",", ":")).encode()
        lines.append(b"%08x %s\n" % (crc32c(text), text))
    journal.write_bytes(b"".join(lines))


def test_a_visible_file_is_removed_after_a_reboot(agent, target):
    # Not the target's own /tmp: a disk that outlives it.
    directory = Path(tempfile.mkdtemp(prefix="squall-test.", dir="/var/tmp"))
    parameters = {"path": str(directory), "size": "4MiB", "visible": True, "reserve": 1}
    session = agent.tenant.begin("disk-fill", target.selector, parameters, duration="60s")
    assert [path.name for path in directory.iterdir()] == [f".squall-{session}-0"]
    agent.kill_all()
    assert list(directory.iterdir()), "a killed agent takes nothing back"
    say_that_it_was_another_boot(agent.root / "state/journal")
    agent.start()
    assert list(directory.iterdir()) == []
    report = agent.tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("recovered", True)
    directory.rmdir()
