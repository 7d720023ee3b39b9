"""The API by mutual TLS, as OpenSSL, curl and Python's own client see it."""

import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from api import Tenant
from authority import Authority
from conftest import PROGRAMS
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from frames import ask
from running_agent import wait_until

SHOP, BANK = "spiffe://example.org/ns/shop/sa/chaos", "bank.example"
CREDENTIALS = 5  # The kind of the frame by which the gateway is told the private key.


class TLSTenant(Tenant):
    """A tenant whose requests come by TLS, with or without its certificate."""

    def __init__(self, tenant, port, authority, certificate, address="127.0.0.1"):
        """Whoever this tenant is, with its key."""
        self.__dict__ |= tenant.__dict__
        self.port, self.authority, self.certificate, self.address = port, authority.file, certificate, address

    def connection(self):
        context = ssl.create_default_context(cafile=self.authority)
        # A pod's address is not known when the certificate is made.
        context.check_hostname = self.address == "127.0.0.1"
        if self.certificate:
            context.load_cert_chain(*self.certificate)
        return http.client.HTTPSConnection(self.address, self.port, timeout=30, context=context)


class Served:
    """An agent that serves TLS, and what its clients need."""

    def __init__(self, make_agent, directory):
        self.port, self.probe_port = free_ports(2)
        self.files = {name: directory / name for name in ("tls.crt", "tls.key", "ca.crt")}
        self.authority = Authority(directory, "authority")
        self.serve_with(self.authority.issue_server("server"), self.authority)
        self.agent = make_agent(
            "--tls-bind-address", f"127.0.0.1:{self.port}", "--probe-bind-address", f"127.0.0.1:{self.probe_port}",
            "--tls-cert-file", self.files["tls.crt"], "--tls-private-key-file", self.files["tls.key"],
            "--client-ca-file", self.files["ca.crt"],
        )  # fmt: skip
        self.agent.write_policy(
            shop={"namespaces": ["shop"], "faults": ["*"], "host": "allowed", "tlsIdentities": [SHOP]},
            bank={"namespaces": ["shop"], "faults": ["*"], "host": "allowed", "tlsIdentities": [BANK]},
        )
        self.shop = self.authority.issue("shop", [x509.UniformResourceIdentifier(SHOP)])
        self.bank = self.authority.issue("bank", [x509.DNSName("Bank.Example")])
        wait_until(lambda: works(self.tenant(self.shop)) and self.tenant(self.shop).list().status == 200, 10)

    def serve_with(self, certificate, authority):
        self.replace("tls.crt", certificate[0].read_bytes())
        self.replace("tls.key", certificate[1].read_bytes())
        self.replace("ca.crt", authority.file.read_bytes())

    def replace(self, name, data):
        fresh = self.files[name].with_suffix(".new")
        fresh.write_bytes(data)
        # Whoever reads them has to be root, and the gateway is not.
        fresh.chmod(0o600)
        fresh.rename(self.files[name])

    def tenant(self, certificate, of=None, authority=None):
        return TLSTenant(of or self.agent.tenant, self.port, authority or self.authority, certificate)

    def problem(self):
        return self.agent.tenant.call("GET", "/v1/node").body["tls"]["problem"]

    def s_client(self, *options, certificate=None, text=b""):
        """What `openssl s_client` says."""
        if certificate:
            options = (*options, "-cert", certificate[0], "-key", certificate[1])
        run = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", self.authority.file, *options],
            input=text, capture_output=True, timeout=30,
        )  # fmt: skip
        return (run.stdout + run.stderr).decode(errors="replace")


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def served(make_module_agent, tmp_path_factory):
    return Served(make_module_agent, tmp_path_factory.mktemp("tls"))


def refused(attempt):
    """TLS 1.3 has the client believe that it is in before the server has seen its certificate."""
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        attempt()
    return True


def test_a_tenant_does_by_tls_what_it_does_on_the_socket(served, host_target):
    tenant = served.tenant(served.shop)
    begun = tenant.inject("cpu-stress", host_target.selector, {"load": 10}, duration="20s")
    assert begun.status == 201, begun
    session = begun.body["id"]
    assert tenant.read(session).body["state"] == "active"
    # It is the same session from anywhere.
    assert served.agent.tenant.read(session).body["state"] == "active"
    assert tenant.end(session).body["state"] == "ended"


def test_curl_gets_in_with_a_certificate(served):
    run = subprocess.run(
        ["curl", "-sS", "--fail", "--cacert", served.authority.file, "--cert", served.shop[0], "--key", served.shop[1],
         "-H", f"Authorization: Bearer {served.agent.tenant.token('read')}",
         f"https://localhost:{served.port}/v1/sessions"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "sessions" in json.loads(run.stdout), run.stderr


def test_nothing_older_than_tls_1_3_is_spoken(served):
    said = served.s_client("-brief", certificate=served.shop)
    assert "Protocol version: TLSv1.3" in said and "Ciphersuite: TLS_" in said, said
    for old in ("-tls1_2", "-tls1_1"):
        said = served.s_client(old, "-cipher", "ALL:@SECLEVEL=0", certificate=served.shop)
        assert "Cipher is (NONE)" in said and "alert protocol version" in said, said


def test_who_has_no_certificate_does_not_get_in(served):
    said = served.s_client("-quiet", text=b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "certificate required" in said and "200" not in said, said
    assert refused(lambda: served.tenant(None).call("GET", "/livez"))


@pytest.mark.parametrize("flaw", ["another authority's", "expired", "a server's", "its own", "an authority's namesake's"])
def test_a_certificate_that_is_not_good_is_none(served, tmp_path, flaw):
    name = [x509.UniformResourceIdentifier(SHOP)]
    certificate = {
        "another authority's": lambda: Authority(tmp_path, "another").issue("client", name),
        "expired": lambda: served.authority.issue("late", name, days=-1),
        "a server's": lambda: served.authority.issue("serving", name, usage=ExtendedKeyUsageOID.SERVER_AUTH),
        "its own": lambda: self_signed(tmp_path, name),
        "an authority's namesake's": lambda: Authority(tmp_path, served.authority.name).issue("client", name),
    }[flaw]()
    assert refused(lambda: served.tenant(certificate).call("GET", "/livez"))


def self_signed(directory, names):
    authority = Authority(directory, "self")
    key = directory / "self.key"
    key.write_bytes(authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return authority.file, key


def test_a_certificate_is_no_token(served):
    tenant = served.tenant(served.shop)
    assert tenant.call("GET", "/v1/sessions").code == "token-missing"
    stranger = Tenant("shop", served.agent.node_name, None)
    assert tenant.call("GET", "/v1/sessions", stranger.token("read")).code == "key-unknown"


def test_a_certificate_carries_the_tokens_of_its_own_tenant_only(served):
    for tenant, certificate, status in [
        (served.agent.tenant, served.shop, 200),
        (served.agent.other_tenant, served.bank, 200),
        (served.agent.tenant, served.bank, 403),
        (served.agent.other_tenant, served.shop, 403),
        (served.agent.tenant, served.authority.issue("nobody"), 403),
        (served.agent.tenant, served.authority.issue("other", [x509.DNSName("shop")]), 403),
        # A name of one kind is not one of the other, whatever its text.
        (served.agent.tenant, served.authority.issue("uri-as-dns", [x509.DNSName(SHOP)]), 403),
        (served.agent.other_tenant, served.authority.issue("dns-as-uri", [x509.UniformResourceIdentifier(BANK)]), 403),
        (served.agent.tenant, served.authority.issue("mail", [x509.RFC822Name("chaos@shop.example")]), 403),
    ]:
        answer = served.tenant(certificate, of=tenant).list()
        assert answer.status == status, (tenant.name, certificate, answer)
        assert status == 200 or answer.code == "identity-mismatch"


def test_one_name_among_many_is_enough_and_no_more_than_sixteen_count(served):
    others = [x509.DNSName(f"n{number}.example") for number in range(40)]
    shop = [x509.UniformResourceIdentifier(SHOP)]
    assert served.tenant(served.authority.issue("many", others[:15] + shop)).list().status == 200
    assert served.tenant(served.authority.issue("more", others + shop)).list().code == "identity-mismatch"


def test_the_audit_log_tells_the_certificate(served, host_target):
    session = served.tenant(served.shop).inject("cpu-stress", host_target.selector, {"load": 10}).body["id"]
    served.tenant(served.shop).end(session)
    lines = []
    for path in sorted((served.agent.state_directory / "audit").glob("*.jsonl")):
        lines += map(json.loads, path.read_text().splitlines())
    opened = [line for line in lines if line.get("session") == session and "fault" in line]
    assert opened and opened[0]["identity"] == SHOP, lines[-5:]


def test_other_files_are_served_with_as_soon_as_they_are_there(served, tmp_path):
    another = Authority(tmp_path, "next")
    client = another.issue("client", [x509.UniformResourceIdentifier(SHOP)])
    old = served.tenant(served.shop)
    held = old.connection()
    held.request("GET", "/livez")
    held.getresponse().read()
    try:
        served.serve_with(another.issue_server("next-server"), another)
        new = served.tenant(client, authority=another)
        wait_until(lambda: works(new), 10)
        assert not works(old), "the old authority's clients still get in"
        # Who was in already has to come in again.
        with pytest.raises((http.client.HTTPException, OSError)):
            held.auto_open = 0
            held.request("GET", "/livez")
            held.getresponse()
    finally:
        held.close()
        served.serve_with(served.authority.issue_server("server"), served.authority)
        wait_until(lambda: works(old), 10)


def works(tenant):
    # No address may make many handshakes in a second.
    time.sleep(0.1)
    try:
        return tenant.call("GET", "/livez").status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize(
    ("file", "content"),
    [("tls.crt", "nothing"), ("tls.crt", "half"), ("tls.key", "half"), ("tls.key", "another's"), ("ca.crt", "nothing"),
     ("ca.crt", "nonsense")],
)  # fmt: skip
def test_bad_files_leave_the_good_ones_in_force(served, tmp_path, file, content):
    good = served.files[file].read_bytes()
    other = Authority(tmp_path, "other")
    anothers = other.issue_server("server")[1].read_bytes()
    bad = {"nothing": b"", "nonsense": b"nonsense\n", "half": good[: len(good) // 2], "another's": anothers}[content]
    served.replace(file, bad)
    try:
        wait_until(served.problem, 10)
        assert works(served.tenant(served.shop))
        doctor = subprocess.run(
            [served.agent.programs / "squall", "doctor", "--socket", served.agent.api_socket, "--output", "json"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert served.problem() in doctor.stdout, doctor.stdout
    finally:
        served.replace(file, good)
    wait_until(lambda: served.problem() is None, 10)


def test_the_private_key_is_told_to_the_gateway_only(served):
    key = served.files["tls.key"].read_bytes()
    answers = ask(served.agent.engine_socket, CREDENTIALS, b"{}")
    assert key.splitlines()[1] not in json.dumps(answers, default=repr).encode()
    assert "request-malformed" in json.dumps(answers, default=repr)
    assert b"PRIVATE" not in served.agent.log_file.read_bytes()


def test_whoever_says_nothing_keeps_nobody_out(served):
    """More than one address may have, all of them half open: they go by themselves, and the probes answer meanwhile."""
    silent = []
    try:
        for _ in range(80):
            one = socket.create_connection(("127.0.0.1", served.port), timeout=5)
            one.send(b"\x16\x03\x01")
            silent.append(one)
        for _ in range(5):
            begun = time.monotonic()
            assert http_get(served.probe_port, "/livez") == 200
            assert time.monotonic() - begun < 1
        assert served.agent.tenant.list().status == 200
        begun = time.monotonic()
        wait_until(lambda: works(served.tenant(served.shop)), 20)
        assert time.monotonic() - begun < 15
    finally:
        for one in silent:
            one.close()


def http_get(port, path, headers=None, address="127.0.0.1"):
    connection = http.client.HTTPConnection(address, port, timeout=5)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def test_a_stop_does_not_wait_for_who_asks_nothing(make_agent, tmp_path):
    another = Served(make_agent, tmp_path)
    held = another.tenant(another.shop).connection()
    held.request("GET", "/livez")
    held.getresponse().read()
    begun = time.monotonic()
    assert another.agent.stop() == 0
    assert time.monotonic() - begun < 4
    held.close()


def test_no_address_takes_all_of_the_probes(served):
    with contextlib.ExitStack() as stack:
        for _ in range(70):
            stack.enter_context(from_address("127.0.0.9", served.probe_port))
        assert http_get(served.probe_port, "/livez") == 200


def from_address(address, port):
    one = socket.socket()
    one.settimeout(5)
    one.bind((address, 0))
    one.connect(("127.0.0.1", port))
    return one


def test_no_address_makes_handshakes_without_end(served):
    """Each costs the server a signature: others are served meanwhile."""
    refused, deadline = 0, time.monotonic() + 20
    while refused < 20 and time.monotonic() < deadline:
        with from_address("127.0.0.9", served.port) as one:
            try:
                one.sendall(b"\x16\x03\x01\x00\x05hello")
                # Who is let in is told what is wrong with that.
                refused += not one.recv(100)
            except ConnectionError:
                refused += 1
    assert refused >= 20
    assert works(served.tenant(served.shop))


def test_the_gateways_memory_is_private(served):
    status = served.agent.process_status(served.agent.role("gateway"))
    assert status["CapEff"] == "0" * 16
    gateway = Path(f"/proc/{served.agent.role('gateway')}")
    # What is not dumpable is root's.
    assert (gateway / "mem").stat().st_uid == 0
    limits = (gateway / "limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), limits


def test_the_probes_have_a_listener_of_their_own_and_nothing_else_is_on_it(served):
    for path in ("/livez", "/readyz", "/metrics"):
        assert http_get(served.probe_port, path) == 200
    token = {"Authorization": f"Bearer {served.agent.tenant.token('read')}"}
    for path in ("/v1/node", "/v1/faults", "/v1/sessions"):
        assert http_get(served.probe_port, path, token) == 404


def test_who_speaks_http_in_the_clear_gets_nothing(served):
    with pytest.raises((http.client.HTTPException, OSError)):
        http_get(served.port, "/livez")


def test_a_port_that_is_taken_is_said(make_agent, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        run = subprocess.run(
            [PROGRAMS / "squalld", "--probe-bind-address", place, "--run-directory",
             tmp_path / "run", "--private-directory", tmp_path / "private", "--state-directory", tmp_path / "state"],
            capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert run.returncode == 71 and place in run.stderr and "in use" in run.stderr, run


@pytest.mark.node
def test_pods_and_kubelet_reach_the_agent_in_its_container(agent, policy):
    """Through the network, at the address of the agent's pod; with files that only root reads."""
    address, authority = agent.container.pod.ip, agent.authority
    for path in ("/livez", "/readyz", "/metrics"):
        assert http_get(9464, path, address=address) == 200
    shop = {"namespaces": ["shop"], "faults": ["*"], "host": "allowed", "tlsIdentities": [SHOP]}
    agent.write_policy(shop=shop)
    certificate = authority.issue("shop", [x509.UniformResourceIdentifier(SHOP)])
    tenant = TLSTenant(agent.tenant, 9443, authority, certificate, address)
    wait_until(lambda: tenant.list().status == 200, 10)
    tenant.certificate = None
    assert refused(lambda: tenant.call("GET", "/livez"))
