"""The journal on a disk that the kernel says is broken, and on the same disk when it was mended."""

import contextlib
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.node

SECTORS = 64 << 11
IMAGE = Path("/run/squall-node/disk")


class Disk:
    """A disk that can break: a file, behind the device mapper."""

    def __init__(self, name="squall-test"):
        self.name = name

    def __enter__(self):
        with IMAGE.open("wb") as file:
            file.truncate(SECTORS * 512)
        run("modprobe", "--all", "loop", "dm_mod")
        self.loop = run("losetup", "--find", "--show", IMAGE)
        run("dmsetup", "create", self.name, "--noudevsync", "--table", self.table("linear"))
        self.device = f"/dev/mapper/{self.name}"
        run("dmsetup", "mknodes", self.name)
        run("mkfs.ext4", "-q", self.device)
        return self

    def __exit__(self, *_):
        run("dmsetup", "remove", "--noudevsync", self.name)
        run("losetup", "--detach", self.loop)
        IMAGE.unlink()

    def table(self, kind):
        return f"0 {SECTORS} " + (f"linear {self.loop} 0" if kind == "linear" else kind)

    def become(self, kind):
        run("dmsetup", "suspend", "--nolockfs", "--noflush", "--noudevsync", self.name)
        run("dmsetup", "load", self.name, "--table", self.table(kind))
        run("dmsetup", "resume", "--noudevsync", self.name)

    @contextlib.contextmanager
    def mounted(self, directory):
        run("mount", self.device, directory)
        try:
            yield
        finally:
            run("umount", directory)


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


STRESS = {"load": 10, "workers": 1}


@pytest.fixture
def stopped_agent(world):
    world.agent.stop()
    yield world.agent
    world.agent.start()


def test_when_the_disk_breaks_nothing_begins_and_all_that_lives_ends(stopped_agent, target):
    agent, before = stopped_agent, target.processes()
    with Disk() as disk:
        with disk.mounted(agent.state_directory):
            agent.start()
            try:
                parameters = {"size": "1MiB", "visible": True}
                ended = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="600s")
                drained = agent.tenant.begin("disk-fill", target.selector, parameters, duration="600s")
                disk.become("error")
                refused = agent.tenant.inject("cpu-stress", target.selector, STRESS)
                # The audit log is on the same disk: whichever is found out first.
                assert refused.status == 503, refused
                assert refused.code in ("journal-unavailable", "audit-unavailable"), refused
                readiness = agent.tenant.call("GET", "/readyz")
                reasons = " ".join(readiness.body["reasons"])
                assert readiness.status == 503 and re.search("made durable|be recorded", reasons), readiness
                assert agent.tenant.end(ended).body["revertVerified"]
                assert agent.workers(ended) == [] != agent.workers(drained)
            finally:
                agent.stop()
            assert target.processes() == before
            assert not list((target.root / "tmp").glob(".squall-*"))
        disk.become("linear")
        # 1 says that it has mended something.
        assert subprocess.run(["e2fsck", "-p", disk.device], capture_output=True).returncode in (0, 1)
        with disk.mounted(agent.state_directory):
            agent.start()
            try:
                # Of their ends nothing could be written: the next agent finds nothing left to undo.
                for session in (ended, drained):
                    report = agent.tenant.read(session).body
                    assert (report["ending"], report["revertVerified"]) == ("recovered", True)
                    assert [step["undo"]["outcome"] for step in report["steps"]] == ["already-restored"]
                answer = agent.tenant.inject("cpu-stress", target.selector, STRESS)
                assert answer.status == 201, answer
                assert agent.tenant.end(answer.body["id"]).body["revertVerified"]
            finally:
                agent.stop()
