"""Policies as `squall policy check` reads them, beside their JSON Schema as another library reads it."""

import json
import re

import jsonschema
import pytest
import yaml
from conftest import ROOT

SCHEMA = json.loads((ROOT / "docs/policy.schema.json").read_text())
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/policy.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_schema_is_current_and_one(cli):
    assert json.loads(cli.run("policy", "schema", connect=False).stdout) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_example_is_read(cli, tmp_path):
    (example,) = EXAMPLES
    jsonschema.validate(yaml.safe_load(example), SCHEMA)
    file = tmp_path / "policy.yaml"
    file.write_text(example)
    done = cli.run("policy", "check", file, connect=False)
    assert done.returncode == 0 and "shop,shop-*" in done.stdout and "network-latency,network-rate-limit,cpu-stress" in done.stdout, done


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"tenant": {}},
        {"tenants": {"Shop": {"faults": []}}},
        {"tenants": {"shop": {}}},
        {"tenants": {"shop": {"faults": ["CPU"]}}},
        {"tenants": {"shop": {"faults": ["a*b*c*d*e*"]}}},
        {"tenants": {"shop": {"faults": [], "sessions": -1}}},
        {"tenants": {"shop": {"faults": [], "sessions": "3"}}},
        {"tenants": {"shop": {"faults": [], "containers": 0}}},
        {"tenants": {"shop": {"faults": [], "duration": 30}}},
        {"tenants": {"shop": {"faults": [], "host": True}}},
        {"tenants": {"shop": {"faults": [], "intensity": {"cpu-stress": {"load": 101}}}}},
        {"tenants": {"shop": {"faults": [], "intensity": {"cpu-stress": {"load": {}}}}}},
        {"tenants": {"shop": {"faults": [], "intensity": {"cpu-stress": {"path": "/tmp"}}}}},
        {"tenants": {"shop": {"faults": [], "intensity": {"earthquake": {}}}}},
        {"guardrails": {"optIn": False}},
        {"guardrails": {"protectedNamespaces": "kube-system"}},
    ],
)
def test_reader_and_schema_refuse_the_same(cli, tmp_path, change):
    good = {"version": 1, "tenants": {"shop": {"faults": ["*"]}}}
    jsonschema.validate(good, SCHEMA)
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(good))
    assert cli.run("policy", "check", file, connect=False).returncode == 0
    file.write_text(yaml.safe_dump(good | change))
    done = cli.run("policy", "check", file, connect=False)
    assert done.returncode == 2 and re.search(r"policy\.yaml, line \d+: ", done.stderr), done
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | change, SCHEMA)


def test_a_policy_that_is_not_there(cli, tmp_path):
    done = cli.run("policy", "check", tmp_path / "no.yaml", connect=False)
    assert done.returncode == 2 and "No such file or directory" in done.stderr, done


def test_what_it_allows_is_told_to_programs(cli, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\ntenants: {shop: {faults: ['cpu-*'], namespaces: [shop], units: [nginx], containerNames: ['shop-*'], duration: 5m, containers: 30,"
                    " tlsIdentities: ['spiffe://shop/chaos']}}\n")
    done = cli.run("policy", "check", file, "--output", "json", connect=False)
    assert "CERTIFICATES" in cli.run("policy", "check", file, connect=False).stdout.splitlines()[0]
    assert json.loads(done.stdout) == {
        "tenants": {
            "shop": {
                "namespaces": ["shop"], "units": ["nginx.service"], "containerNames": ["shop-*"], "faults": ["cpu-*"], "host": "refused",
                "duration": "5m", "containers": 30.0, "tlsIdentities": ["spiffe://shop/chaos"],
            }
        }
    }  # fmt: skip
