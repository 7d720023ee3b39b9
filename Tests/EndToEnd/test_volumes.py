"""Keys, policy and certificates as Kubernetes mounts ConfigMaps and Secrets: links to a folder that is exchanged whole."""

import itertools
import shutil
import time

import pytest
from authority import Authority
from running_agent import wait_until
from test_tls import free_ports

numbers = itertools.count()


class Volume:
    """What kubelet's atomic writer leaves in a folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def write(self, files):
        """All of them at once: {name: bytes}."""
        data, old = self.folder / "..data", None
        fresh = self.folder / f"..2026_11_22_12_00_00.{next(numbers)}"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        if data.is_symlink():
            old = data.resolve()
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        link.rename(data)
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).unlink(missing_ok=True)
                (self.folder / name).symlink_to(f"..data/{name}")
        for path in self.folder.iterdir():
            if path.is_symlink() and path != data and path.name not in files:
                path.unlink()
        if old:
            shutil.rmtree(old)


@pytest.fixture
def agent(make_agent):
    return make_agent()


def test_a_policy_that_is_exchanged_is_in_force(agent, target):
    def grant(faults):
        agent.write_policy(shop={"namespaces": ["shop"], "faults": faults, "host": "allowed"})
        return agent.policy_file.read_bytes()

    less, more = grant(["cpu-stress"]), grant(["cpu-stress", "cpu-throttle"])
    # It was a plain file: its folder is the volume from now on.
    volume = Volume(agent.policy_file.parent)
    for policy, code in ((less, "fault-denied"), (more, None), (less, "fault-denied")):
        volume.write({agent.policy_file.name: policy})
        wait_until(lambda: agent.tenant.plan("cpu-throttle", target.selector, {"percent": 50}).code == code, 5)
    assert agent.tenant.call("GET", "/v1/node").body["policy"] == {"problem": None}


def test_a_tenant_comes_and_goes(agent, target):
    files = {path.name: path.read_bytes() for path in agent.tenants_directory.iterdir()}
    volume = Volume(agent.tenants_directory)
    volume.write(files)
    time.sleep(1.2)
    session = agent.other_tenant.begin("cpu-stress", target.selector, {"load": 10, "workers": 1}, duration="60s")
    bank = f"{agent.other_tenant.name}.jwks.json"
    volume.write({name: text for name, text in files.items() if name != bank})
    wait_until(lambda: agent.other_tenant.list().code == "key-unknown", 5)
    assert agent.tenant.list().status == 200
    volume.write(files)
    wait_until(lambda: agent.other_tenant.list().status == 200, 5)
    assert agent.other_tenant.wait_until_ended(session)["ending"] == "revoked"
    assert agent.tenant.call("GET", "/v1/node").body["tenants"]["problem"] is None


def test_a_certificate_is_replaced_with_its_key(make_agent, tmp_path):
    (port,) = free_ports(1)
    authority, volume = Authority(tmp_path, "authority"), Volume(tmp_path / "tls")

    def issue(name):
        certificate, key = authority.issue_server(name)
        files = {"tls.crt": certificate, "tls.key": key, "ca.crt": authority.file}
        volume.write({name: path.read_bytes() for name, path in files.items()})

    issue("first")
    folder = volume.folder
    agent = make_agent(
        "--tls-bind-address", f"127.0.0.1:{port}", "--tls-cert-file", folder / "tls.crt",
        "--tls-private-key-file", folder / "tls.key", "--client-ca-file", folder / "ca.crt",
    )  # fmt: skip

    def told():
        return agent.tenant.call("GET", "/v1/node").body["tls"]

    wait_until(lambda: "expires" in told(), 10)
    first = told()["expires"]
    time.sleep(1.1)  # Certificates count seconds.
    issue("second")
    wait_until(lambda: told()["expires"] != first, 10)
    assert told()["problem"] is None
