"""The examples of docs/api.md, run as they stand on a node with a real agent."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROGRAMS

API = (Path(__file__).parents[2] / "docs/api.md").read_text()
TENANTS = Path("/etc/squall/tenants")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", API, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(agent, tmp_path):
    yield tmp_path
    (TENANTS / "payments.jwks.json").unlink(missing_ok=True)


@pytest.mark.node
def test_the_examples_do_what_they_say(agent, target, folder, world):
    environment = dict(os.environ, ID=target.selector["container"], PATH=f"{PROGRAMS}:{os.environ['PATH']}")

    def run(*command):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    keys, shell, group = blocks("sh")
    pod = world.make_target(labels={"app": "cart"})
    try:
        output = run("bash", "-euo", "pipefail", "-c", f"{keys}\nsleep 2\n{shell}\n{group}")
    finally:
        pod.remove()
    assert re.search(r"^64(\.\d+)? MiB resident$", output, re.MULTILINE), output
    assert output.splitlines()[-2:] == ["active", "true"], output
    (program,) = blocks("python")
    (folder / "example.py").write_text(program)
    assert "% of one CPU" in run(sys.executable, "example.py", target.selector["container"])


def test_every_code_is_in_the_table():
    import openapi

    codes = set(openapi.DOCUMENT["components"]["schemas"]["ProblemCode"]["enum"]) - {"not-operator", "method-not-allowed"}
    table = API[API.index("| status | codes") :]
    assert codes == set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| \d+ \|([^|]*)\|", table, re.MULTILINE))))


def test_the_error_shown_is_one():
    import openapi

    (problem,) = map(json.loads, blocks("json"))
    openapi.check("POST", "/v1/sessions", problem["status"], "application/problem+json", problem)
