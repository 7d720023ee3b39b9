"""What the package for hosts has in it; that it works is tested by scripts/host-test."""

import re
import subprocess

import pytest
from conftest import ROOT

PACKAGE = ROOT / "scripts/package"


def test_the_service_has_the_capabilities_of_the_container_and_the_clock():
    lines = (ROOT / "daemonset/capabilities").read_text().splitlines()
    expected = {f"CAP_{line.split()[0]}" for line in lines if line.strip() and not line.startswith("#")}
    (given,) = re.findall(r"^CapabilityBoundingSet=(.*)$", (PACKAGE / "squalld.service").read_text(), re.M)
    assert set(given.split()) == expected | {"CAP_SYS_TIME"}


def test_its_policy_allows_nobody_anything(programs):
    done = subprocess.run([programs / "squall", "policy", "check", PACKAGE / "policy.yaml"], capture_output=True, text=True)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done


@pytest.mark.parametrize("script", ["debian/postinst", "debian/prerm", "debian/postrm", "install.sh"])
def test_its_scripts_are_of_any_shell(script):
    subprocess.run(["dash", "-n", PACKAGE / script], check=True)


def test_what_its_policy_shows_as_an_example_is_one(programs, tmp_path):
    text = (PACKAGE / "policy.yaml").read_text()
    comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    example = re.sub("^# ", "", comment.split("For example:\n#\n")[1], flags=re.M)
    (tmp_path / "policy.yaml").write_text(example)
    done = subprocess.run([programs / "squall", "policy", "check", tmp_path / "policy.yaml"], capture_output=True, text=True)
    assert done.returncode == 0 and "shop" in done.stdout, (example, done)
