"""daemonset/onboard-tenant, with kubectl's own patches and templates, and a folder for a cluster."""

import base64
import json
import os
import stat
import subprocess

import pytest
from conftest import DAEMONSET, only

# Asks the real one to do with a file what it would do with an object, and notes what was changed.
KUBECTL = """#!/usr/bin/env python3
import os, subprocess, sys
from pathlib import Path

cluster, real = Path(os.environ["CLUSTER"]), os.environ["REAL_KUBECTL"]
_, namespace, verb, *words = sys.argv[1:]
file = cluster / namespace / f"{words[0]}-{words[2 if verb == 'create' else 1]}.json"


def kubectl(*words):
    return subprocess.run([real, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


if verb == "get":
    if os.environ.get("CLUSTER_IS_AWAY"):
        sys.exit("no answer")
    may_lack = "--ignore-not-found" in words
    if not file.exists():
        sys.exit(0 if may_lack else f"{file} not found")
    words = [word for word in words[2:] if word != "--ignore-not-found"]
    print(kubectl("patch", "--local", "--filename", file, "--type", "merge", "--patch", "{}", *words), end="")
    sys.exit()
elif verb == "create":
    assert not file.exists()
    file.parent.mkdir(exist_ok=True)
    file.write_text(kubectl("-n", namespace, "create", *words, "--dry-run=client", "--output", "json"))
elif verb == "patch":
    file.write_text(kubectl("patch", "--local", "--filename", file, *words[2:], "--output", "json"))
elif verb == "delete":
    file.unlink(missing_ok=True)
else:
    assert (verb, words[0]) == ("annotate", "pods"), sys.argv
with (cluster / "changes").open("a") as changes:
    changes.write(f"{verb} {words[0]}\\n")
"""


class Cluster:
    def __init__(self, folder, tools, programs, objects):
        self.folder = folder / "cluster"
        (self.folder / "squall-system").mkdir(parents=True)
        for each in objects:
            self.write("squall-system", each)
        kubectl = folder / "kubectl"
        kubectl.write_text(KUBECTL)
        kubectl.chmod(0o755)
        self.environment = os.environ | {
            "CLUSTER": str(self.folder), "REAL_KUBECTL": str(tools / "kubectl"), "KUBECTL": str(kubectl),
            "SQUALL": str((programs / "squall").resolve()), "TMPDIR": str(folder),
        }  # fmt: skip
        self.programs = programs

    def write(self, namespace, each):
        name = f"{each['kind'].lower()}-{each['metadata']['name']}.json"
        (self.folder / namespace / name).write_text(json.dumps(each))

    def data(self, namespace, name):
        return json.loads((self.folder / namespace / f"{name}.json").read_text()).get("data") or {}

    def changes(self):
        file = self.folder / "changes"
        done = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return done

    def onboard(self, *words, status=0):
        command = [DAEMONSET / "onboard-tenant", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def cluster(tmp_path, tools, programs, helm):
    rendered = helm(profile="production")
    objects = [only(rendered, "ConfigMap", name) for name in ("squall-policy", "squall-tenants")]
    return Cluster(tmp_path, tools, programs, objects)


def test_a_tenant_gets_a_key_and_the_nodes_its_public_half(cluster):
    said = cluster.onboard("shop", "--namespace", "shop-experiments")
    assert "cpu-throttle" in said, "what the policy lets it do"
    assert cluster.changes() == ["create secret", "patch configmap", "annotate pods"]
    public = cluster.data("squall-system", "configmap-squall-tenants")
    (key,) = json.loads(public["shop.jwks.json"])["keys"]
    assert key["kty"] == "OKP" and "d" not in key
    secret = cluster.data("shop-experiments", "secret-squall-key-shop")
    private = json.loads(base64.b64decode(secret["shop.key.jwk"]))
    assert private["x"] == key["x"] and private["d"]
    left = [path for path in cluster.folder.parent.iterdir() if path.name.startswith("tmp.")]
    assert not left, "the private key lies about"


def test_the_agent_takes_the_key(cluster, tmp_path):
    cluster.onboard("shop")
    key = tmp_path / "shop.key.jwk"
    key.write_bytes(base64.b64decode(cluster.data("shop", "secret-squall-key-shop")["shop.key.jwk"]))
    command = [cluster.programs / "squall", "token", "read", "--key", key, "--node", "node-1"]
    token = subprocess.check_output(command, text=True)
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    published = json.loads(cluster.data("squall-system", "configmap-squall-tenants")["shop.jwks.json"])
    assert header["kid"] == published["keys"][0]["kid"]


def test_to_do_it_again_changes_nothing(cluster):
    cluster.onboard("shop")
    before = cluster.data("squall-system", "configmap-squall-tenants")
    cluster.changes()
    said = cluster.onboard("shop")
    assert "left as they are" in said
    assert cluster.changes() == []
    assert cluster.data("squall-system", "configmap-squall-tenants") == before


def test_what_lies_in_the_tenants_namespace_is_not_published(cluster):
    """Whoever may write Secrets there could have anybody's key published, or one that was taken away."""
    forged = '{"keys":[]}\r  bank.jwks.json: |\r    {"keys":[]}'
    data = {"shop.jwks.json": base64.b64encode(forged.encode()).decode()}
    (cluster.folder / "shop").mkdir()
    cluster.write("shop", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "squall-key-shop"}, "data": data})
    assert "--remove it first" in cluster.onboard("shop", status=64)
    assert cluster.changes() == []
    assert not cluster.data("squall-system", "configmap-squall-tenants")


def test_keys_that_an_operator_is_exchanging_are_left_alone(cluster):
    cluster.onboard("shop")
    cluster.changes()
    both = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "squall-tenants"}, "data": {"shop.jwks.json": "{}"}}
    cluster.write("squall-system", both)
    assert "left as they are" in cluster.onboard("shop")
    assert cluster.changes() == []


def test_nothing_is_made_for_an_agent_that_is_not_there(cluster):
    cluster.onboard("shop", "--name", "chaos-squall", status=1)
    cluster.onboard("shop", "--agent-namespace", "elsewhere", status=1)
    assert cluster.changes() == []


def test_a_private_key_that_was_not_found_is_told(cluster):
    cluster.onboard("shop", "--namespace", "shop-experiments")
    assert "no Secret squall-key-shop" in cluster.onboard("shop", "--remove", status=64)
    assert not cluster.data("squall-system", "configmap-squall-tenants"), "the nodes trust it no more all the same"


def test_others_keys_stay_when_one_comes_or_goes(cluster):
    cluster.onboard("shop")
    assert "does not name bank" in cluster.onboard("bank")
    assert cluster.data("squall-system", "configmap-squall-tenants").keys() == {"shop.jwks.json", "bank.jwks.json"}
    cluster.changes()
    cluster.onboard("shop", "--remove")
    assert cluster.changes() == ["patch configmap", "annotate pods", "delete secret"]
    assert cluster.data("squall-system", "configmap-squall-tenants").keys() == {"bank.jwks.json"}
    assert not (cluster.folder / "shop/secret-squall-key-shop.json").exists()


def test_a_cluster_that_does_not_answer_is_not_taken_for_one_without_the_key(cluster):
    cluster.environment["CLUSTER_IS_AWAY"] = "1"
    assert "no answer" in cluster.onboard("shop", status=1)
    assert cluster.changes() == []


def test_a_dry_run_only_says_what_it_would_do(cluster):
    assert "make a key pair" in cluster.onboard("shop", "--dry-run")
    cluster.onboard("shop")
    cluster.changes()
    assert "would: kubectl -n shop delete secret" in cluster.onboard("shop", "--remove", "--dry-run")
    assert cluster.changes() == []


def test_what_is_no_tenant_is_refused(cluster):
    for words in ([], ["Shop"], ["shop", "bank"], ["shop", "--frobnicate"], ["-shop"], ["a" * 64]):
        assert "onboard-tenant: " in cluster.onboard(*words, status=64)
    assert "--agent-namespace" in cluster.onboard("--help")
    assert (DAEMONSET / "onboard-tenant").stat().st_mode & stat.S_IXOTH
