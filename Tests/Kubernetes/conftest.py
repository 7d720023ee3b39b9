"""The cluster, with the shipped manifests and a tenant, for all tests of a run."""

import base64
import json
import os
import subprocess
import sys

import pytest
import yaml
from cluster_kit import *
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

sys.path.insert(0, str(HOST / "Tests/EndToEnd"))
from authority import Authority  # noqa: E402

# The names that certificates have: what clients expect of every agent, and who the tenant is.
SERVER, CLIENT = "squall.squall-system.svc", "spiffe://cluster.local/ns/shop/sa/squall-litmus"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


def secret(namespace, name, **files):
    data = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in files.items()}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}
    kubectl("apply", "-f", "-", text=json.dumps(document))


@pytest.fixture(scope="session")
def cluster(authority):
    archive = HOST / "programs/squall.tar"
    subprocess.run(["ctr", "-n", "k8s.io", "images", "import", archive], check=True, stdout=subprocess.DEVNULL)
    kubectl("apply", "-k", HOST / "daemonset/namespace")
    certificate, key = authority.issue("server", [x509.DNSName(SERVER)], usage=ExtendedKeyUsageOID.SERVER_AUTH)
    secret(
        AGENT, "squall-tls", tls_crt=certificate.read_bytes(), tls_key=key.read_bytes(),
        ca_crt=authority.file.read_bytes(),
    )  # fmt: skip
    kubectl("apply", "-f", HOST / "manifest.yaml")
    yield
    print(kubectl("-n", AGENT, "logs", "--selector", "app.kubernetes.io/name=squall", "--tail", "50", check=False))


@pytest.fixture(scope="session")
def agent(cluster):
    wait_until(ready_agent, 120, "the agent is ready")
    kubectl("create", "namespace", "shop")
    target = yaml.safe_load(example("target.yaml"))
    container = target["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]
    kubectl("apply", "-f", "-", text=json.dumps(target))
    # Whom it speaks to: the node itself is never hit.
    kubectl("-n", "shop", "run", "db", f"--image={BUSYBOX}", "--", "sleep", "3600")
    kubectl("apply", "-f", EXAMPLES / "namespace.yaml")
    tools = {"SQUALL": str(HOST / "programs/squall")}
    subprocess.run(
        [HOST / "daemonset/onboard-tenant", "shop", "--namespace", "shop-experiments"],
        env=os.environ | tools, check=True, timeout=120,
    )  # fmt: skip
    web = wait_until(target_pod, 90, "the target is ready")
    # Kubelet brings the key onto the node, at once for a pod whose annotations have changed.
    wait_until(knows_the_tenant, 150, "the tenant's key is on the node")
    return web


@pytest.fixture(scope="session")
def client(agent, authority):
    """What the pods of experiments have of the tenant: its key, its certificate, and where the agents are."""
    certificate, key = authority.issue("shop", [x509.UniformResourceIdentifier(CLIENT)])
    signing = objects("-n", "shop-experiments", "secret", "squall-key-shop")["data"]["shop.key.jwk"]
    secret(
        "shop", "squall-client", shop_key_jwk=base64.b64decode(signing), tls_crt=certificate.read_bytes(),
        tls_key=key.read_bytes(), ca_crt=authority.file.read_bytes(),
        inventory_yaml=(HOST / "daemonset/experiments/litmus/inventory.yaml").read_bytes(),
    )  # fmt: skip
    kubectl("apply", "-f", HOST / "Tests/Kubernetes/litmus-crds.yaml")
    kubectl("apply", "-f", HOST / "daemonset/experiments/litmus/rbac.yaml")
    wait_until(lambda: kubectl("-n", "shop", "get", "chaosengines", check=False) is not None, 30)
    text = (HOST / "daemonset/experiments/litmus/experiments.yaml").read_text()
    wait_until(
        lambda: kubectl("-n", "shop", "apply", "-f", "-", text=text.replace("registry.example.com/squall:0.1.0", IMAGE), check=False),
        30, "the experiments are there",
    )  # fmt: skip
