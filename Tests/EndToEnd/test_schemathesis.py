"""schemathesis, which makes requests of every kind out of docs/openapi.yaml, on both listeners of the network. It is
installed by scripts/test, from PyPI."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from test_tls import Served

PROGRAM = Path(os.environ.get("SCHEMATHESIS", ROOT / ".build/python-tools/bin/schemathesis"))
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="schemathesis is not installed")


@pytest.fixture(scope="module")
def served(make_module_agent, tmp_path_factory):
    return Served(make_module_agent, tmp_path_factory.mktemp("schemathesis"))


def run(served, target, url, *options):
    key = served.agent.tenant.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = {"node": served.agent.node_name, "key": key, "kid": served.agent.tenant.key_id, "target": target.selector}
    engine, gateway = served.agent.role("engine"), served.agent.role("gateway")
    done = subprocess.run(
        [PROGRAM, "run", ROOT / "docs/openapi.yaml", "--url", url, "--max-examples",
         os.environ.get("SQUALL_SCHEMATHESIS_EXAMPLES", "25"), "--phases", "examples,coverage,fuzzing",
         "--exclude-checks", "positive_data_acceptance,ignored_auth", "--request-timeout", "30", "--generation-database", "none",
         *options],
        env=os.environ | {"SQUALL_SIGNER": json.dumps(signer), "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                          "PYTHONPATH": str(Path(__file__).parent)},
        cwd=served.agent.root, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    # Whatever was asked, nobody died of it.
    assert (served.agent.role("engine"), served.agent.role("gateway")) == (engine, gateway)
    return done.stdout


def test_the_api_by_tls(served, target):
    certificate, key = served.shop
    before = served.agent.tenant.list().body["sessions"]
    run(served, target, f"https://localhost:{served.port}", "--request-cert", certificate, "--request-cert-key", key,
        "--tls-verify", served.authority.file)  # fmt: skip
    # It was not only refused.
    assert len(served.agent.tenant.list().body["sessions"]) > len(before)


def test_the_probes(served, target):
    run(served, target, f"http://127.0.0.1:{served.probe_port}", "--include-path-regex", "^/(livez|readyz|metrics)$")
