"""The programs that were made for arm64 on x86-64: QEMU translates one after the other, in this machine's kernel. It knows no
filters of system calls, so no agent runs in it; that is for scripts/node-test, in a whole machine."""

import json
import subprocess
from pathlib import Path

import jwt
import pytest
from conftest import IN_NODE, PROGRAMS, ROOT
from test_userlands import EXPERIMENT, NAMES, SAYINGS, Program

MADE = ROOT / ".build/arm64"
ARM64 = MADE / "programs"
QEMU = MADE / "qemu-aarch64-static"


def missing():
    if IN_NODE:
        return "where they are made they can be tried"
    if not all((ARM64 / name).exists() for name in NAMES) or not QEMU.exists():
        return "needs programs for arm64, which scripts/package/build --arch arm64 makes"
    sources = [ROOT / "Package.swift", *(path for path in (ROOT / "Sources").rglob("*") if path.is_file())]
    if max(path.stat().st_mtime for path in sources) > min((ARM64 / name).stat().st_mtime for name in NAMES):
        return "the programs for arm64 are older than the sources: scripts/package/build --arch arm64 makes them anew"
    return None


pytestmark = pytest.mark.skipif(bool(missing()), reason=str(missing()))


def run(name, *words, folder=None):
    return subprocess.run([QEMU, ARM64 / name, *words], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_for_arm64_and_need_no_library_and_no_newer_kernel_than_the_documents_say(name):
    program = Program(ARM64 / name)
    assert (ARM64 / name).read_bytes()[18:20] == b"\xb7\0"
    assert Program.INTERPRETER not in program.segments
    assert (program.oldest_kernel or (0, 0, 0)) <= (5, 10, 0)


@pytest.mark.parametrize("words", SAYINGS, ids=" ".join)
def test_they_say_what_those_of_this_machine_say(words, tmp_path):
    (tmp_path / "policy.yaml").write_text('version: 1\ntenants: {shop: {namespaces: [shop], faults: ["cpu-*"]}}\n')
    (tmp_path / "wrong.yaml").write_text("version: 1\ntenants: {shop: {faults: [cpu-stres]}}\n")
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    there = run(*words, folder=tmp_path)
    here = subprocess.run([PROGRAMS / words[0], *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_its_keys_are_keys(algorithm, tmp_path):
    done = run("squall", "keygen", "--tenant", "shop", "--algorithm", algorithm, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    private = jwt.PyJWK(json.loads((tmp_path / "shop.key.jwk").read_text()))
    public = jwt.PyJWKSet.from_json((tmp_path / "shop.jwks.json").read_text()).keys[0]
    signed = jwt.encode({"iss": "shop"}, private.key, algorithm)
    assert jwt.decode(signed, public.key, [algorithm]) == {"iss": "shop"}


def test_the_dead_mans_process_ends_where_it_is_given_nothing(tmp_path):
    assert run("squall-deadman", "state", "cgroup", folder=tmp_path).returncode == 65
