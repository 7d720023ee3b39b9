"""Scripts and probes by SSH, OpenSSH being the other side; and an experiment over two hosts, as hosts without Kubernetes have it."""

import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest
import yaml
from authority import Authority
from conftest import IN_NODE, PROGRAMS, ROOT
from cryptography import x509
from local_world import LocalAgent

OPENSSH = ROOT / ".build/openssh"
LIBRARIES = {"LD_LIBRARY_PATH": f"{OPENSSH}/usr/lib/x86_64-linux-gnu:{OPENSSH}/lib/x86_64-linux-gnu"}

pytestmark = [
    pytest.mark.skipif(IN_NODE, reason="needs agents that the test may make"),
    pytest.mark.skipif(not (OPENSSH / "usr/sbin/sshd").exists(), reason="needs sshd, which scripts/test unpacks"),
]


def keygen(kind, file):
    command = [OPENSSH / "usr/bin/ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file]
    subprocess.run(command, check=True, env=os.environ | LIBRARIES)


class Server:
    """sshd on a port of an address, with the files that it wants of a host in a mount namespace of its own."""

    def __init__(self, folder, address="127.0.0.1", port=2222, begun_by=(), kinds=("rsa", "ecdsa", "ed25519")):
        self.address, self.port, self.folder = address, port, folder
        folder.mkdir()
        for kind in kinds:
            keygen(kind, folder / f"host-{kind}")
        keygen("ed25519", folder / "id")
        self.authorize((folder / "id.pub").read_text())
        (folder / "passwd").write_text("root:x:0:0::/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/bin/false\n")
        (folder / "config").write_text(
            f"ListenAddress {address}\nPort {port}\nPidFile none\nAuthorizedKeysFile {folder}/authorized\n"
            + "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
            + "".join(f"HostKey {folder}/host-{kind}\n" for kind in kinds)
        )
        begin = f"""
            mount --make-rprivate / && mount -t tmpfs none /run && mkdir /run/sshd &&
            mount --bind {folder}/passwd /etc/passwd && exec {OPENSSH}/usr/sbin/sshd -D -e -f {folder}/config"""
        self.process = subprocess.Popen(
            [*begun_by, "unshare", "--mount", "sh", "-c", begin],
            env=os.environ | LIBRARIES, stderr=(folder / "log").open("wb"),
        )  # fmt: skip
        end = time.monotonic() + 10
        while "listening" not in (folder / "log").read_text():
            assert self.process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.02)

    def authorize(self, text):
        (self.folder / "authorized").write_text(text)

    def known(self, *kinds, name=None):
        """A file of known hosts with these of its keys."""
        file = self.folder / f"known-{len(os.listdir(self.folder))}"
        name = name or f"[{self.address}]:{self.port}"
        keys = [(self.folder / f"host-{kind}.pub").read_text().split()[:2] for kind in kinds]
        file.write_text("".join(f"{name} {kind} {key}\n" for kind, key in keys))
        return str(file)

    def login(self, **more):
        return {
            "host": self.address, "port": self.port, "user": "root", "keyFile": str(self.folder / "id"),
            "knownHostsFile": self.known("ed25519"),
        } | more  # fmt: skip

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "server")
    yield server
    server.stop()


@pytest.fixture
def run(tmp_path):
    """Runs a script by SSH as the only step: what it said, or why it failed."""
    subprocess.run([PROGRAMS / "squall", "keygen", "--tenant", "shop", "--out", tmp_path], check=True, capture_output=True)

    def run(command, ssh, environment=None, timeout="10s", fails=False):
        script = {"command": command, "ssh": ssh, "timeout": timeout} | ({"environment": environment} if environment else {})
        file = tmp_path / "experiment.json"
        file.write_text(json.dumps({
            "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "by-ssh"},
            "spec": {"inputs": {"word": "told"}, "steps": [{"name": "say", "script": script}]}
        }))  # fmt: skip
        options = ["--key", tmp_path / "shop.key.jwk", "--node", "n", "--output", "json"]
        done = subprocess.run(
            [PROGRAMS / "squall", "experiment", "run", file, *options],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == (7 if fails else 0), done.stdout + done.stderr
        result = json.loads(done.stdout)
        return result["reason"] if fails else result["steps"][0]["output"]

    return run


def test_words_and_variables_arrive_as_they_are(server, run):
    odd = ["a b", "it's", "'\u0301;id #", "'\ufe0f'", "$HOME", '"', "\\", "", "*", "${{ inputs.word }}", "ä\n;"]
    script = 'for word; do printf "<%s>" "$word"; done; printf "%s" "$ODD"; id -un'
    said = run(["sh", "-c", script, "sh", *odd], server.login(), {"ODD": "it's $(id)"})
    assert said == "".join(f"<{word}>" for word in odd).replace("${{ inputs.word }}", "told") + "it's $(id)root"


def test_what_says_nothing_and_what_says_much_is_heard_to_the_end(server, run):
    assert run(["true"], server.login()) == ""
    assert run(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"], server.login()) == "x" * 1000000
    assert run(["sh", "-c", "head -c 500000 /dev/zero >&2; echo said"], server.login()) == "said"


@pytest.mark.parametrize(
    "command, timeout, words",
    [
        (["sh", "-c", "echo oops >&2; exit 3"], "10s", "sh ended with exit code 3: oops"),
        (["sh", "-c", "kill -9 $PPID"], "10s", "sh was killed by signal KILL"),
        (["no-such-program"], "10s", "ended with exit code 127"),
        (["sleep", "60"], "1s", "no answer in time"),
        (["sh", "-c", "head -c 1100000 /dev/zero"], "10s", "longer than 1048576 bytes"),
        (["printf", "\\377"], "10s", "its output is no text"),
        (["sh", "-c", "yes >&2"], "2s", "no answer in time"),
    ],
)
def test_what_goes_wrong_there_is_told(server, run, command, timeout, words):
    begun = time.monotonic()
    assert words in run(command, server.login(), timeout=timeout, fails=True)
    assert time.monotonic() - begun < 20


def test_nobody_but_the_host_that_is_known_is_told_anything(server, run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    keygen("ed25519", other / "key")
    key = (other / "key.pub").read_text().split()[1]
    wrong = other / "known"
    wrong.write_text(f"[127.0.0.1]:2222 ssh-ed25519 {key}\n")
    for known, words in [
        (str(wrong), "has another key than"), (server.known(), "knows no such key of 127.0.0.1"),
        (str(other / "none"), "cannot read the known hosts"),
        # The same key, but of another port's server.
        (server.known("ed25519", name="[127.0.0.1]:22"), "knows no such key"),
    ]:  # fmt: skip
        assert words in run(["touch", str(other / "done")], server.login(knownHostsFile=known), fails=True)
    assert not (other / "done").exists()
    assert "Accepted" not in (server.folder / "log").read_text()


def test_a_host_is_known_by_any_of_its_keys(server, run):
    for kinds in [("ed25519",), ("ecdsa",), ("ecdsa", "ed25519")]:
        assert run(["echo", "in"], server.login(knownHostsFile=server.known(*kinds))) == "in"
    hashed = server.known("ecdsa")
    subprocess.run([OPENSSH / "usr/bin/ssh-keygen", "-H", "-f", hashed], check=True, capture_output=True, env=os.environ | LIBRARIES)
    assert "127.0.0.1" not in open(hashed).read()
    assert run(["echo", "in"], server.login(knownHostsFile=hashed)) == "in"


def test_whom_the_server_does_not_know_is_not_let_in(server, run):
    server.authorize("")
    assert "root cannot log in with" in run(["true"], server.login(), fails=True)
    assert "root cannot log in with" in run(["true"], server.login(keyFile="/nowhere"), fails=True)


def test_a_server_that_is_none_or_hangs_is_told(server, run):
    assert "cannot connect" in run(["true"], server.login(port=1), fails=True)
    os.kill(server.process.pid, 19)
    try:
        assert "SSH handshake: no answer in time" in run(["true"], server.login(), timeout="1s", fails=True)
    finally:
        os.kill(server.process.pid, 18)


# MARK: Two hosts


class HostAgent(LocalAgent):
    def write_policy(self):
        super().write_policy(shop={"faults": ["*"], "host": "allowed", "tlsIdentities": ["shop.example"]})


class Host:
    """A network of its own with an agent, sshd and a service in it, which the others reach by its address."""

    def __init__(self, name, number, network, authority, folder, make_target):
        self.name, self.address = name, f"10.77.0.{number}"
        self.target = make_target()
        begun_by = ["nsenter", "--net", "--target", str(self.target.process.pid)]
        network.connect(name, self.target.process.pid, self.address)
        self.ssh = Server(folder / name, self.address, 22, begun_by)
        certificate, key = authority.issue_server(name)
        for file in (certificate, key):
            file.chmod(0o600)
        self.root = tempfile.mkdtemp(prefix="squall-test.")
        # The gateway, which is nobody in particular, passes through it.
        os.chmod(self.root, 0o755)
        self.agent = HostAgent(
            PROGRAMS, self.root,
            ["--tls-bind-address", f"{self.address}:9443", "--tls-cert-file", certificate, "--tls-private-key-file", key,
             "--client-ca-file", authority.file],
        )  # fmt: skip
        self.agent.node_name, self.agent.begun_by = name, begun_by
        self.agent.start()

    def stop(self):
        self.agent.stop()
        self.ssh.stop()
        self.target.remove()
        shutil.rmtree(self.root)


class Network:
    """That of who runs the experiment: a bridge, with a wire to each host."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
        while "sleep" not in open(f"/proc/{self.process.pid}/cmdline").read().split("\0")[0]:
            time.sleep(0.01)
        self.run("ip link add bridge type bridge && ip addr add 10.77.0.1/24 dev bridge && ip link set bridge up")

    def run(self, script):
        subprocess.run(["nsenter", "--net", "--target", str(self.process.pid), "sh", "-ec", script], check=True)

    def connect(self, name, process, address):
        self.run(
            f"ip link add {name} type veth peer name eth0 netns {process} && ip link set {name} master bridge up &&"
            f"nsenter --net --target {process} sh -ec 'ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip link set lo up'"
        )


@pytest.fixture
def hosts(tmp_path, world):
    network, authority = Network(), Authority(tmp_path, "authority")
    hosts = []
    try:
        for number, name in enumerate(["web", "db"], 2):
            hosts.append(Host(name, number, network, authority, tmp_path, world.make_target))
        yield network, authority, hosts
    finally:
        for host in hosts:
            host.stop()
        network.process.kill()
        network.process.wait()


def test_an_experiment_goes_over_two_hosts(hosts, tmp_path):
    network, authority, (web, db) = hosts
    key = tmp_path / "shop.key.jwk"
    key.write_text(json.dumps(web.agent.tenant.private_jwk))
    web.agent.tenant.publish(db.agent.tenants_directory)
    certificate, private = authority.issue("shop", [x509.DNSName("shop.example")])
    inventory = {
        "apiVersion": "squall/v1", "kind": "Inventory",
        "defaults": {"caFile": str(authority.file), "certificateFile": str(certificate), "keyFile": str(private)},
        "agents": [{"name": h.name, "address": f"{h.address}:9443", "serverName": "localhost"} for h in (web, db)],
    }  # fmt: skip
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(inventory))

    def finding(host):
        # As a user's script would ask for a service's main process.
        find = f"""
            from pathlib import Path
            pid = {host.target.process.pid}
            begun = int(Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[19])
            import json; print(json.dumps({{"process": {{"pid": pid, "startTime": begun}}}}))"""
        command = ["python3", "-c", "\n".join(line.strip() for line in find.strip().splitlines())]
        return {"name": f"find-{host.name}", "script": {"command": command, "output": "json", "ssh": host.ssh.login()}}

    def burning(host):
        return {
            "name": f"burn-{host.name}", "fault": "cpu-stress", "parameters": {"load": 20, "workers": 1}, "agents": [host.name],
            "target": f"${{{{ steps.find-{host.name}.output }}}}", "duration": "4s",
        }  # fmt: skip

    probes = [
        {
            "name": f"{host.name}-serves", "mode": mode, "pollingInterval": "500ms", "timeout": "10s",
            "command": {"command": ["sh", "-c", f"kill -0 {host.target.process.pid} && hostname -I"], "ssh": host.ssh.login()},
            "expect": {"criteria": "contains", "value": host.address},
        }
        for host, mode in [(web, "OnChaos"), (db, "Edge")]
    ]  # fmt: skip
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump({
        "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "two-hosts"},
        "spec": {"probes": probes, "steps": [
            {"name": "find", "parallel": [finding(web), finding(db)]},
            {"name": "burn", "parallel": [burning(web), burning(db)]},
        ]},
    }))  # fmt: skip
    begun = [host.target.cpu_seconds() for host in (web, db)]
    done = subprocess.run(
        ["nsenter", "--net", "--target", str(network.process.pid), PROGRAMS / "squall", "experiment", "run",
         tmp_path / "experiment.yaml", "--key", key, "--inventory", tmp_path / "inventory.yaml", "--output", "json",
         "--report", tmp_path / "report.html"],
        capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["verdict"], result["score"]) == ("Pass", 100)
    assert sorted(session["agent"] for session in result["sessions"]) == ["db", "web"]
    assert all(session["revertVerified"] for session in result["sessions"])
    # Each agent has hit its own.
    assert all(host.target.cpu_seconds() - before > 0.4 for host, before in zip((web, db), begun, strict=True))
    ran = {probe["name"]: probe["runs"] for probe in result["probes"]}
    assert len(ran["web-serves"]) > 1 and len(ran["db-serves"]) == 2
    page = (tmp_path / "report.html").read_text()
    assert all(word in page for word in ["web-serves", "db-serves", "burn-web", "burn-db"])
