"""Chaos Toolkit, a client that we did not write, injects a fault by its own http provider: no extension, no code."""

import json
import os
import socket
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import ROOT

PROGRAM = Path(os.environ.get("CHAOS_TOOLKIT", ROOT / ".build/python-tools/bin/chaos"))
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="chaostoolkit is not installed")


@pytest.fixture
def url(agent):
    """The gateway's socket as a port of loopback: its http provider knows no Unix sockets, nor certificates of its own."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.socket(socket.AF_UNIX) as gateway:
                gateway.connect(str(agent.api_socket))
                threading.Thread(target=copy, args=(self.request, gateway), daemon=True).start()
                copy(gateway, self.request)

    def copy(source, destination):
        try:
            while data := source.recv(65536):
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            return  # One of the two has gone.

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def http(kind, name, url, secret, method="GET", **more):
    headers = {"Authorization": f"Bearer ${{{secret}}}"}
    provider = {"type": "http", "url": url, "method": method, "headers": headers, "timeout": 10, "secrets": ["squall"]}
    return {"type": kind, "name": name, "provider": provider, "secrets": ["squall"]} | more


def test_it_injects_a_fault_and_sees_it(agent, target, url, tmp_path):
    tenant = agent.tenant
    ready = {"type": "probe", "name": "ready", "tolerance": 200, "provider": {"type": "http", "url": f"{url}/readyz"}}
    experiment = {
        "title": "CPU stress", "description": "by tokens that were signed beforehand",
        "secrets": {"squall": {name: {"type": "env", "key": f"SQUALL_{name.upper()}"} for name in ("inject", "read")}},
        "steady-state-hypothesis": {"title": "the agent is ready", "probes": [ready]},
        "method": [
            http("action", "stress", f"{url}/v1/sessions", "inject", "POST", pauses={"after": 1}),
            http("probe", "sessions", f"{url}/v1/sessions", "read", pauses={"after": 4}),
        ],
        "rollbacks": [],
    }  # fmt: skip
    file, journal = tmp_path / "experiment.json", tmp_path / "journal.json"
    file.write_text(json.dumps(experiment))
    inject = tenant.token(
        "inject", fault="cpu-stress", parameters={"load": 20, "workers": 1}, target=target.selector, duration="3s"
    )
    done = subprocess.run(
        [PROGRAM, "--no-version-check", "--log-file", tmp_path / "log", "run", "--journal-path", journal, file],
        env=os.environ | {"SQUALL_INJECT": inject, "SQUALL_READ": tenant.token("read"), "HOME": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(journal.read_text())
    assert (told["status"], told["deviated"]) == ("completed", False)
    began, seen = (activity["output"] for activity in told["run"])
    assert began["status"] == 201 and began["body"]["state"] == "active"
    session = began["body"]["id"]
    assert [each["state"] for each in seen["body"]["sessions"] if each["id"] == session] == ["active"]
    report = tenant.read(session).body
    assert (report["ending"], report["revertVerified"]) == ("expired", True)
