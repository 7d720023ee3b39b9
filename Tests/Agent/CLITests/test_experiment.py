"""Experiments as `squall experiment validate` reads them, beside their JSON Schema as another library reads it."""

import json
import re
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest
import yaml
from conftest import PROGRAM, ROOT
from prometheus_client.parser import text_string_to_metric_families

SCHEMA = json.loads((ROOT / "docs/experiment.schema.json").read_text())
EXAMPLE, INVENTORY, CLUSTER = re.findall(
    r"^```yaml\n(apiVersion.*?)^```", (ROOT / "docs/experiments.md").read_text(), re.MULTILINE | re.DOTALL
)
def by_ssh(ssh, **more):
    return {"name": "run", "script": {"command": ["true"], "ssh": ssh} | more}


WAIT = {"name": "wait", "wait": "1s"}
WORKLOAD = {"workload": {"kind": "deployment", "namespace": "shop", "name": "web", "count": 1}}
STRESS = {"name": "stress", "fault": "cpu-stress", "target": {"container": "0123456789abcdef"}}


def experiment(*steps, **spec):
    return {
        "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "one"}, "spec": {"steps": list(steps)} | spec,
    }  # fmt: skip


@pytest.fixture
def validate(cli, tmp_path):
    def validate(document, *words):
        file = tmp_path / "experiment.yaml"
        file.write_text(document if isinstance(document, str) else json.dumps(document, indent=1))
        return cli.run("experiment", "validate", file, *words, connect=False)

    return validate


def test_the_schema_is_current_and_one(cli):
    assert json.loads(cli.run("experiment", "schema", connect=False).stdout) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_example_is_read(validate):
    jsonschema.validate(yaml.safe_load(EXAMPLE), SCHEMA)
    done = validate(EXAMPLE)
    assert (done.returncode, done.stdout.splitlines()) == (
        0, ["leader-loss: 5 steps, 3 probes", "inputs: namespace, load"],
    ), done  # fmt: skip
    told = json.loads(validate(EXAMPLE, "--output", "json").stdout)
    assert [step["kind"] for step in told["steps"]] == ["script", "parallel", "fault", "fault", "wait"]


SHIPPED = sorted((ROOT / "daemonset/experiments/catalogue").glob("*/*/experiment.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.parent.name)
def test_what_is_shipped_is_read(cli, file):
    done = cli.run("experiment", "validate", file, connect=False)
    assert done.returncode == 0 and done.stdout.startswith(f"{file.parent.parent.name}:"), done
    jsonschema.validate(yaml.safe_load(file.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "document",
    [
        experiment(),
        experiment(WAIT, kind="x"),
        experiment(WAIT) | {"apiVersion": "v2"},
        experiment(WAIT) | {"kind": "Policy"},
        experiment(WAIT) | {"metadata": {}},
        experiment(WAIT) | {"metadata": {"name": "Not a name"}},
        experiment({"name": "both", "wait": "1s", "probe": "x"}),
        experiment({"name": "none"}),
        experiment({"wait": "1s"}),
        experiment({"name": "wait", "wait": "soon"}),
        experiment({"name": "wait", "wait": 3}),
        experiment({"name": "wait", "wait": "1s", "duration": "1s"}),
        experiment({"name": "stress", "fault": "cpu-stress"}),
        experiment(STRESS | {"fault": "earthquake"}),
        experiment(STRESS | {"sequence": "random"}),
        experiment(STRESS | {"onFailure": "ignore"}),
        experiment(STRESS | {"background": "yes"}),
        experiment({"name": "run", "script": {"command": "echo hello"}}),
        experiment({"name": "run", "script": {"command": []}}),
        experiment({"name": "run", "script": {"command": ["true"], "image": 5}}),
        experiment({"name": "lose", "deletePods": {"gracePeriod": "0s"}}),
        experiment({"name": "lose", "deletePods": {"target": WORKLOAD, "force": True}}),
        experiment(WAIT, probes=[{"name": "p", "kubernetes": {"namespace": "shop"}}]),
        experiment(WAIT, probes=[{"name": "p", "kubernetes": {"resource": "pods", "operation": "create"}}]),
        experiment(WAIT, probes=[{"name": "p", "command": {"command": ["true"], "timeout": "1s"}}]),
        experiment({"name": "run", "script": {"command": ["true"], "output": "xml"}}),
        experiment(WAIT, probes=[{"name": "p"}]),
        experiment(WAIT, probes=[{"name": "p", "tcp": {"address": "a:1"}, "http": {"url": "http://x"}}]),
        experiment(WAIT, probes=[{"name": "p", "tcp": {"address": "a:1"}, "mode": "Sometimes"}]),
        experiment(WAIT, probes=[{"name": "p", "tcp": {"address": "a:1"}, "expect": {"criteria": "=~", "value": 1}}]),
        experiment(WAIT, probes=[{"name": "p", "tcp": {"address": "a:1"}, "attempts": 0}]),
    ],
)
def test_reader_and_schema_refuse_the_same(validate, document):
    done = validate(document)
    assert done.returncode == 2 and re.search(r"experiment\.yaml: line \d+: ", done.stderr), done
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize(
    "document, words",
    [
        (experiment(WAIT, WAIT), 'another step is called "wait"'),
        (experiment(STRESS | {"parameters": {"load": 101}}), "parameters.load"),
        (experiment(STRESS | {"parameters": {"lode": 1}}), "parameters.lode"),
        (experiment(STRESS | {"target": {}}), "a target names exactly one"),
        (experiment(STRESS | {"target": {"workload": {"kind": "cronjob"}}}), "one of the kinds deployment, statefulset"),
        (experiment(STRESS | {"target": {"workload": WORKLOAD["workload"] | {"percent": 5}}}), "either count or percent"),
        (experiment({"name": "lose", "deletePods": {"target": STRESS["target"]}}), "a pod, pods or a workload's"),
        (experiment({"name": "run", "script": {"command": ["true"], "serviceAccount": "a"}}), 'only with an "image"'),
        (experiment(by_ssh({"user": "ops"})), '"host" is missing'),
        (experiment(by_ssh({"host": "a"})), '"keyFile" is missing'),
        (experiment(by_ssh({"host": ""})), "a host's name or address"),
        (experiment(by_ssh({"host": "a", "port": 65536, "keyFile": "k"})), "1 to 65535"),
        (experiment(by_ssh({"host": "a", "keyFile": "k", "password": "b"})), "password"),
        (experiment(by_ssh({"host": "a"}, image="b")), 'an "image" or "ssh", not both'),
        (experiment({"name": "stop", "http": {"url": "ftp://shop"}}), "an address, as http://"),
        (experiment({"name": "stop", "http": {"url": "http://shop", "undo": {"timeout": "1s", "url": "http://shop"}}}), "timeout"),
        (experiment({"name": "stop", "http": {"url": "http://shop/${{ steps.stop.output }}"}}), "is not over by then"),
        (experiment({"name": "stop", "http": {"url": "http://shop"}}, {"name": "start", "end": "stop"}), 'or an "undo"'),
        (
            experiment(WAIT, probes=[{"name": "p", "kubernetes": {"resource": "pods", "path": "status.phase"}}]),
            '"expect" is missing',
        ),
        (experiment(STRESS | {"duration": "3h"}), "100ms to 2h"),
        (experiment(STRESS | {"parameters": {"load": "${{ inputs.load }}"}}), 'no input is called "load"'),
        (experiment(STRESS | {"parameters": {"load": "${{ steps.stress.output }}"}}), 'step "stress" is not over by then'),
        (experiment(STRESS | {"parameters": {"load": "${{ steps.gone.output }}"}}), 'no step is called "gone"'),
        (experiment(STRESS | {"parameters": {"load": "${{ secrets.x }}"}}), "a path begins with"),
        (experiment(STRESS | {"parameters": {"load": "${{ inputs..x }}"}}), "is no path"),
        (experiment(STRESS | {"parameters": {"load": "${{ inputs.x"}}), "without"),
        (experiment({"name": "look", "probe": "gone"}), 'no probe is called "gone"'),
        (experiment(STRESS | {"parameters": {"load": "${{ inputs.x }}"}}, inputs={"x": 800}), "parameters.load"),
        (
            experiment({"name": "one", "script": {"command": ["true"]}},
                       STRESS | {"parameters": {"lode": 1, "load": "${{ steps.one.output }}"}}), "no parameter lode",
        ),
        (experiment(STRESS | {"target": {"pood": "${{ inputs.x }}"}}, inputs={"x": "a"}), "target.pood"),
        (experiment(STRESS | {"agents": ["a", 5]}), "agents are names"),
        (experiment(STRESS, {"name": "enough", "end": "stress"}), "has a fault in the background"),
        (experiment({"name": "enough", "end": "stress"}, STRESS | {"background": True}), "no step before it"),
        (experiment({"name": "stress", "fualt": "cpu-stress", "target": {}}), "spec.steps[0].fualt: unknown"),
        (experiment(STRESS | {"background": True, "sequence": "serial"}), "not in the background"),
        (experiment(WAIT, probes=[{"name": "p", "http": {"url": "shop/health"}}]), "http://shop.example/health"),
        (
            experiment({"name": "one", "script": {"command": ["true"]}},
                       probes=[{"name": "p", "tcp": {"address": "${{ steps.one.output }}"}}]), "not over by then",
        ),
        (
            experiment({"name": "both", "parallel": [
                {"name": "one", "script": {"command": ["true"]}},
                {"name": "two", "script": {"command": ["echo", "${{ steps.one.output }}"]}},
            ]}), 'step "one" is not over by then',
        ),
        (experiment(WAIT, probes=[{"name": "p", "prometheus": {"url": "http://x", "query": "up"}}]), '"expect" is missing'),
        (
            experiment(WAIT, probes=[{"name": "p", "tcp": {"address": "a:1"}, "expect": {"criteria": "matches", "value": "("}}]),
            "no regular expression",
        ),
        (
            experiment(WAIT, probes=[{"name": "p", "tcp": {"address": "a:1"}, "expect": {"criteria": "between", "value": [1]}}]),
            "two numbers",
        ),
    ],
)  # fmt: skip
def test_what_a_schema_cannot_say_is_refused_with_its_line(validate, document, words):
    done = validate(document)
    assert done.returncode == 2 and words in done.stderr and re.search(r"line \d+", done.stderr), done.stderr


def test_what_is_over_within_a_block_may_be_referred_to_after_it(validate):
    document = experiment(
        {"name": "both", "parallel": [{"name": "one", "script": {"command": ["true"]}}, WAIT]},
        {"name": "after", "script": {"command": ["echo", "${{ steps.one.output }}"]}},
    )
    assert validate(document).returncode == 0


def test_inputs_are_set_by_name(validate):
    document = experiment(WAIT, inputs={"a": 1, "b": {"description": "how much"}})
    assert validate(document, "--set", "b=2").returncode == 0
    for words, objection in [
        (["--set", "a=2"], "the input b has no value"),
        (["--set", "c=2"], "no input c"),
        (["--set", "a"], "NAME=VALUE"),
        (["--set", "b=1", "--set", "b=2"], "set twice"),
    ]:
        done = validate(document, *words)
        assert done.returncode == 2 and objection in done.stderr, done


def test_what_looks_like_a_number_and_is_written_otherwise_is_a_text(cli, tmp_path):
    file, result = tmp_path / "experiment.json", tmp_path / "result.json"
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    document = experiment(WAIT | {"wait": "1ms"}, inputs={name: {"description": "x"} for name in "abcd"} | {"e": 1, "f": None})
    file.write_text(json.dumps(document))
    settings = ("a=1.10", "b=7", "c=[1, 2]", "d=true", "e=0.50", "f=x")
    words = [word for setting in settings for word in ("--set", setting)]
    assert cli.run("experiment", "run", file, "--key", "shop.key.jwk", "--node", "n", "--report", result, *words).returncode == 0
    assert json.loads(result.read_text())["inputs"] == {
        "a": "1.10", "b": 7, "c": [1, 2], "d": True, "e": 0.5, "f": "x",
    }


@pytest.mark.parametrize(
    "more",
    [
        {"seconds": 1e300},
        {"probes": [{"name": "p", "passed": 2**63 - 1, "failed": 1}]},
        {"steps": [{"name": "x", "begin": 0, "end": 1e300, "state": "succeeded", "kind": "wait"}], "seconds": 5},
        {"probes": [{"name": "p", "verdict": "Passed", "runs": [{"at": n, "number": -9007199254740994 - n, "passed": True} for n in range(3)]}]},
        {"startedAt": '"><x>', "id": "# no | `head`\u001b[2J"},
        {"experiment": {"name": "<script>|\u200d*x*", "hypothesis": "@all http://x"}},
    ],
)  # fmt: skip
def test_a_result_of_somebody_elses_breaks_no_report(cli, tmp_path, more):
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"kind": "ExperimentResult", "experiment": {"name": "one"}, "verdict": "Pass", "seconds": 5} | more))
    for format in ("html", "md", "xml"):
        done = cli.run("experiment", "report", result, "--format", format, connect=False)
        assert done.returncode == 0, done
        assert "<script" not in done.stdout and "\x1b" not in done.stdout
        if format == "xml":
            ElementTree.fromstring(done.stdout)
    assert "@all" not in cli.run("experiment", "report", result, "--format", "md", connect=False).stdout


def test_a_file_that_is_not_there_or_a_report_that_nobody_knows_is_told_before_anything_is_done(cli, tmp_path):
    done = cli.run("experiment", "validate", tmp_path / "none.yaml", connect=False)
    assert done.returncode == 2 and "cannot read" in done.stderr
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment(WAIT)))
    done = cli.run("experiment", "run", file, "--key", "none.jwk", "--report", "report.pdf")
    assert done.returncode == 2 and "report.pdf" in done.stderr
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    (tmp_path / "a-file").touch()
    for option in ["--report=no/report.html", "--outputs=no/where", f"--outputs={tmp_path}/a-file"]:
        done = cli.run("experiment", "run", file, "--key", "shop.key.jwk", "--node", "n", option)
        assert done.returncode == 1 and "cannot write" in done.stderr
    done = cli.run("experiment", "report", file, connect=False)
    assert done.returncode == 2 and "no JSON" in done.stderr


def test_an_inventory_is_refused_with_its_line(cli, tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment(WAIT)))
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    inventory = tmp_path / "fleet.yaml"

    def run(text):
        inventory.write_text(text)
        return cli.run("experiment", "run", file, "--key", "shop.key.jwk", "--inventory", inventory, connect=False)

    # Nobody is asked, as no step hits anything.
    assert run(INVENTORY).returncode == 0
    for text, objection in [
        (INVENTORY.replace("Inventory", "Fleet"), "line 2: kind: this is an Inventory"),
        (INVENTORY.replace("node-2", "node-1"), 'another agent is called "node-1"'),
        (INVENTORY.replace("socket: ", "sock: "), 'has a "socket", or an "address"'),
        (INVENTORY.replace("10.0.0.1:9443", "10.0.0.1"), "the address of agent node-1"),
        (INVENTORY.replace("defaults: {caFile: ca.crt, certif", "defaults: {certif"), '"caFile" is missing'),
    ]:
        done = run(text)
        assert done.returncode == 2 and objection in done.stderr, done


def kubeconfig(**user):
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "one", "users": [{"name": "me", "user": user}],
        "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:1/"}}],
        "contexts": [{"name": "one", "context": {"cluster": "here", "user": "me"}}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "document, words",
    [
        (kubeconfig(token="a"), "cannot connect to 127.0.0.1:1"),
        (kubeconfig(exec={"command": "aws"}), "credentials by exec cannot be used here"),
        (kubeconfig() | {"current-context": "two"}, 'it has no context "two"'),
        (kubeconfig() | {"current-context": ""}, "it has no current-context"),
        (kubeconfig(**{"client-key-data": "!"}), "client-key-data is no base64"),
        ("- [", "did not find expected node content"),
    ],
)
def test_a_cluster_that_cannot_be_asked_fails_the_step_that_needs_it(cli, tmp_path, document, words):
    file, config = tmp_path / "experiment.yaml", tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(experiment({"name": "lose", "deletePods": {"target": WORKLOAD}})))
    config.write_text(document if isinstance(document, str) else json.dumps(document))
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    options = ["--key", "shop.key.jwk", "--node", "n", "--kubeconfig", config]
    done = cli.run("experiment", "run", file, *options)
    assert done.returncode == 7 and words in done.stdout, done
    # Who asks the cluster for its agents cannot go on without it.
    inventory = tmp_path / "fleet.yaml"
    inventory.write_text(CLUSTER)
    file.write_text(yaml.safe_dump(experiment(WAIT)))
    done = cli.run("experiment", "run", file, *options, "--inventory", inventory, connect=False)
    assert done.returncode == 4 and words in done.stderr, done


def test_a_chaos_experiment_of_litmus_starts_it_under_another_name(cli, tmp_path):
    for link in ("bash", "experiments"):
        (tmp_path / link).symlink_to(PROGRAM)
    words = {
        "bash": ["-c", "./experiments -name pod-cpu-hog"],
        "experiments": ["-name", "pod-cpu-hog"],
    }
    for link, arguments in words.items():
        done = subprocess.run([tmp_path / link, *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2 and "whose key signs is not said" in done.stderr, done
    # It is no shell.
    done = subprocess.run([tmp_path / "bash", "-c", "echo hello"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "hello" not in done.stdout, done


def test_the_result_is_made_into_every_report(cli, tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment({"name": "say", "script": {"command": ["echo", "hello"]}})))
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    result = tmp_path / "result.json"
    done = cli.run("experiment", "run", file, "--key", "shop.key.jwk", "--node", "n", "--report", result)
    assert done.returncode == 0 and "one: Pass" in done.stdout, done
    for format, sign in [("html", "<!doctype html>"), ("md", "# one: Pass"), ("xml", "<testsuites>"), ("json", "{")]:
        done = cli.run("experiment", "report", result, "--format", format, connect=False)
        assert done.returncode == 0 and done.stdout.startswith(sign) or sign in done.stdout.splitlines()[1], done


def test_a_run_is_told_as_metrics(cli, tmp_path):
    file, metrics = tmp_path / "experiment.yaml", tmp_path / "one.prom"
    probes = [
        {"name": "good", "command": {"command": ["echo", "1"]}, "mode": "EOT", "weight": 30},
        {"name": "bad", "command": {"command": ["false"]}, "mode": "EOT"},
    ]
    file.write_text(yaml.safe_dump(experiment(WAIT, probes=probes)))
    assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 0
    before = time.time()
    done = cli.run("experiment", "run", file, "--key", "shop.key.jwk", "--node", "n", "--report", metrics)
    assert done.returncode == 1 and [each.name for each in tmp_path.glob("one.prom*")] == ["one.prom"], done
    families = {family.name: family for family in text_string_to_metric_families(metrics.read_text())}
    samples = {
        (sample.name.removeprefix("squall_experiment_"), *(v for k, v in sample.labels.items() if k != "experiment")): sample.value
        for family in families.values() for sample in family.samples
    }  # fmt: skip
    table = re.findall(r"^\| `(squall_experiment_\w+)", (ROOT / "docs/experiments.md").read_text(), re.MULTILINE)
    assert families.keys() == set(table) - {"squall_experiment_sessions"}, "there was none"
    assert {sample.labels["experiment"] for family in families.values() for sample in family.samples} == {"one"}
    assert [samples["verdict", verdict] for verdict in ("Pass", "Fail", "Error", "Stopped")] == [0, 1, 0, 0]
    assert samples["score_percent",] == 75 and samples["duration_seconds",] >= 1
    assert samples["probe_passed", "good"] == 1 and samples["probe_passed", "bad"] == 0
    assert before - 2 <= samples["end_timestamp_seconds",] <= time.time() + 2
