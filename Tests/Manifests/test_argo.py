"""The Argo workflow in daemonset/experiments, without Argo: read by its models, its references followed, its containers run."""

import json
import re
import subprocess

import pytest
import yaml
from conftest import DAEMONSET, ROOT, objects
from test_manifests import VERSIONS, validate, write

TEMPLATE = DAEMONSET / "experiments/argo/workflow-template.yaml"
REFERENCE = re.compile(r"{{([^}]*)}}")


@pytest.fixture
def workflow():
    (found,) = objects(TEMPLATE.read_text())
    return found


READ = """
import json, sys
from hera.workflows.models import WorkflowTemplate
model = WorkflowTemplate.model_validate_json(sys.stdin.read())
print(model.model_dump_json(by_alias=True, exclude_none=True, exclude_unset=True))
"""


def read_by_argos_models(workflow):
    """What Argo's own models have of it: they leave out what they do not know. Hera has them in Python."""
    python = ROOT / ".build/python-tools/bin/python"
    if not python.exists():
        pytest.skip("needs hera, which scripts/test installs")
    done = subprocess.run([python, "-c", READ], input=json.dumps(workflow), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_argos_models_know_all_of_it(workflow):
    assert read_by_argos_models(workflow) == workflow


def test_what_they_do_not_know_would_be_found(workflow):
    workflow["spec"]["templates"][0]["steps"][0][0]["hook"] = {}
    assert read_by_argos_models(workflow) != workflow


def test_the_account_is_there_and_may_tell_argo(workflow):
    account, role, binding = objects((TEMPLATE.parent / "rbac.yaml").read_text())
    name = workflow["spec"]["serviceAccountName"]
    assert account["metadata"]["name"] == binding["subjects"][0]["name"] == name
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert role["rules"] == [{"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}]


def references_without_what_they_mean(workflow):
    """The references that Argo would not resolve, or that would lack what they mean when their step's turn comes."""
    spec = workflow["spec"]
    templates = {template["name"]: template for template in spec["templates"]}
    of_workflow = {f"workflow.parameters.{each['name']}" for each in spec["arguments"]["parameters"]}
    lost = set()

    def look(place, known):
        lost.update(set(REFERENCE.findall(json.dumps(place))) - known)

    def names(of, *path):
        for each in path:
            of = of.get(each, {})
        return {each["name"] for each in of or []}

    def call(given, known):
        look(given.get("arguments", {}), known)
        wanted = names(templates[given["template"]], "inputs", "parameters")
        lost.update(wanted ^ names(given, "arguments", "parameters"))

    for template in templates.values():
        own = of_workflow | {f"inputs.parameters.{name}" for name in names(template, "inputs", "parameters")}
        for side_by_side in template.get("steps", []):
            found = set()
            for step in side_by_side:
                call(step, own)
                called = templates[step["template"]]
                of_step = {f"steps.{step['name']}.outputs.parameters.{n}" for n in names(called, "outputs", "parameters")}
                if "script" in called:
                    of_step.add(f"steps.{step['name']}.outputs.result")
                for hook in step.get("hooks", {}).values():
                    call(hook, own | of_step)
                found |= of_step
            own |= found
        if "steps" not in template:
            look(template, own)
    return lost


def test_every_reference_is_to_what_is_there_by_then(workflow):
    assert references_without_what_they_mean(workflow) == set()
    first, second, *_ = workflow["spec"]["templates"][0]["steps"]
    workflow["spec"]["templates"][0]["steps"][:2] = [second, first]
    assert references_without_what_they_mean(workflow) == {"steps.find.outputs.result"}


class Run:
    """Carries the workflow out as Argo does, its containers as processes here."""

    def __init__(self, workflow, programs, folder, **parameters):
        self.programs, self.folder, self.log = programs, folder, []
        self.templates = {template["name"]: template for template in workflow["spec"]["templates"]}
        given = {each["name"]: each["value"] for each in workflow["spec"]["arguments"]["parameters"]} | parameters
        self.known = {f"workflow.parameters.{name}": value for name, value in given.items()}
        self.places = {"/squall": str(programs / "squall")}
        for name in ["/etc/squall/client", "/experiments", "/reports"]:
            self.places[name] = str(folder / name.rpartition("/")[2])
            (folder / name.rpartition("/")[2]).mkdir()

    def resolved(self, text, known):
        return REFERENCE.sub(lambda found: known[found[1]], text)

    def here(self, text):
        return re.sub(r"/squall$|/etc/squall/client|/experiments|/reports", lambda found: self.places[found[0]], text)

    def go(self):
        self.steps(self.templates["find-and-hit"], dict(self.known))
        return self.log

    def steps(self, template, known):
        for (step,) in template["steps"]:
            succeeded = self.call(step["template"], step, known, f"steps.{step['name']}")
            for hook in step.get("hooks", {}).values():
                self.call(hook["template"], hook, known, "hook")
            if not succeeded:
                return

    def call(self, name, given, known, prefix):
        own = dict(self.known)
        for each in given.get("arguments", {}).get("parameters", []):
            own[f"inputs.parameters.{each['name']}"] = self.resolved(each["value"], known)
        template = self.templates[name]
        if script := template.get("script"):
            command, source = script["command"], self.resolved(script["source"], own)
        else:
            container = template["container"]
            # What it is asked for is found at its own paths, what it is told is left as it is.
            words = [self.resolved(self.here(word), own) for word in container["command"] + container["args"]]
            command, source = words, None
        done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60)
        self.log.append((name, done.returncode, (done.stdout + done.stderr).strip()))
        known[f"{prefix}.outputs.result"] = done.stdout.strip()
        for output in template.get("outputs", {}).get("parameters", []):
            file = self.folder / self.here(output["valueFrom"]["path"])
            value = file.read_text() if file.exists() else output["valueFrom"]["default"]
            known[f"{prefix}.outputs.parameters.{output['name']}"] = value
        return done.returncode == 0


EXPERIMENT = {
    "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "chain"},
    "spec": {
        "inputs": {"target": {"description": "Whom."}, "url": {"description": "What."}},
        "steps": [{"name": "see", "script": {"command": ["echo", "${{ inputs.target.pods.percent }} of ${{ inputs.url }}"]}}],
        "probes": [{
            "name": "holds", "mode": "EOT", "weight": 10,
            "command": {"command": ["echo", "${{ steps.see.output }}"]},
        }],
    },
}  # fmt: skip


@pytest.fixture
def ready(workflow, programs, tmp_path):
    def ready(probed, **parameters):
        run = Run(workflow, programs, tmp_path, url="http://shop", **parameters)
        made = subprocess.run(
            [programs / "squall", "keygen", "--tenant", "shop", "--out", tmp_path / "client"], capture_output=True
        )
        assert made.returncode == 0, made.stderr
        inventory = {
            "apiVersion": "squall/v1", "kind": "Inventory", "agents": [{"name": "n1", "socket": "/run/nobody.sock"}],
        }  # fmt: skip
        (tmp_path / "client/inventory.yaml").write_text(yaml.safe_dump(inventory))
        experiment = json.loads(json.dumps(EXPERIMENT))
        experiment["spec"]["probes"][0]["expect"] = {"criteria": "equal", "value": probed}
        (tmp_path / "experiments/experiment.yaml").write_text(json.dumps(experiment))
        return run

    return ready


def test_what_steps_find_goes_on_to_the_next(ready):
    run = ready("50 of http://shop")
    find, plan, ran, told = run.go()
    assert [find[:2], plan[:2], ran[:2]] == [("find", 0), ("plan", 0), ("run", 0)], run.log
    assert told == ("tell", 0, "Pass 100")
    assert (run.folder / "reports/outputs/steps.see").read_text() == "50 of http://shop"
    assert "<html" in (run.folder / "reports/report.html").read_text()


def test_the_job_after_a_deployment_says_what_squall_understands(ready):
    """Argo CD's trigger: the same files, and an experiment that needs no inputs."""
    (job,) = objects((TEMPLATE.parent / "post-sync.yaml").read_text())
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PostSync"
    run = ready("50 of http://shop")
    plain = json.loads(json.dumps(EXPERIMENT))
    del plain["spec"]["inputs"]
    plain["spec"]["steps"][0]["script"]["command"] = ["echo", "said"]
    file = run.folder / "experiments/experiment.yaml"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = [run.here(word) for word in container["command"] + container["args"]]
    for expected, code in [("said", 0), ("something else", 1)]:
        plain["spec"]["probes"][0]["expect"] = {"criteria": "equal", "value": expected}
        file.write_text(json.dumps(plain))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["post-sync.yaml", "rbac.yaml"])
def test_what_is_kubernetes_own_is_what_it_knows(tools, name, tmp_path):
    found = objects((TEMPLATE.parent / name).read_text())
    for each in found:
        # Which the API server would make, and the tool misses.
        each["metadata"].setdefault("name", "made")
    validate(tools, write(tmp_path, found), *VERSIONS)


def test_of_a_failure_it_is_told_and_the_step_has_failed(ready):
    run = ready("something else")
    assert [(name, code) for name, code, _ in run.go()] == [("find", 0), ("plan", 0), ("run", 1), ("tell", 0)]
    assert run.log[-1][2] == "Fail 0"


def test_what_could_not_begin_is_told_by_the_defaults(ready):
    run = ready("something else", **{"min-score": "101"})
    assert [(name, code) for name, code, _ in run.go()] == [("find", 0), ("plan", 0), ("run", 2), ("tell", 0)]
    assert run.log[-1][2] == "Error none"
