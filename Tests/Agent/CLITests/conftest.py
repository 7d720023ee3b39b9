import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fakes import FakeEngine, FakeGateway  # noqa: E402

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = str(pathlib.Path(os.environ.get("SQUALL_PROGRAM", ROOT / ".build/debug/squall")).resolve())


class CLI:
    """The program, told where the fakes are."""

    def __init__(self, directory):
        self.directory = directory
        self.gateway_socket = str(directory / "squall.sock")
        self.engine_socket = str(directory / "engine.sock")
        self.environment = {"PATH": os.environ["PATH"]}

    def command(self, *words):
        return [PROGRAM, *words, "--socket", self.gateway_socket, "--engine-socket", self.engine_socket]

    def run(self, *words, connect=True, prefix=()):
        command = [*prefix, *(self.command(*words) if connect else [PROGRAM, *words])]
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=60)

    def start(self, *words):
        return subprocess.Popen(
            self.command(*words), cwd=self.directory, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def cli(tmp_path):
    return CLI(tmp_path)


@pytest.fixture
def gateway(cli):
    fake = FakeGateway(cli.gateway_socket)
    yield fake
    fake.close()


@pytest.fixture
def engine(cli):
    if os.geteuid() != 0:
        pytest.skip("only root is an operator")
    fake = FakeEngine(cli.engine_socket)
    yield fake
    fake.close()


@pytest.fixture
def as_nobody(cli):
    """What a command line begins with to run as a user without rights, in the test's own directory."""
    if os.geteuid() != 0:
        return []
    # Pytest makes its directories for their owner only.
    for directory in (cli.directory, *cli.directory.parents):
        if "pytest-of-" in str(directory):
            directory.chmod(0o711)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


@pytest.fixture
def key(cli):
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    return ["--key", "shop.key.jwk"]
