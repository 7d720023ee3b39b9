"""The manifests in daemonset, looked at without a cluster."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DAEMONSET = ROOT / "daemonset"
CHART = DAEMONSET / "chart"
PROFILES = ["staging", "production"]


@pytest.fixture(scope="session")
def tools():
    """The folder with helm, kubectl and kubernetes-validate."""
    done = subprocess.run([ROOT / "scripts/lib/kubernetes-tools"], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        pytest.skip(f"helm, kubectl and kubernetes-validate could not be installed: {reason}")
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def programs():
    folder = os.environ.get("SQUALL_PROGRAMS")
    if not folder:
        pytest.skip("needs squall and squalld: SQUALL_PROGRAMS names their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def helm(tools):
    """Renders the chart: the objects, or what helm says against it."""

    def render(*options, profile=None, fails=False):
        values = ["--values", CHART / f"values-{profile}.yaml"] if profile else []
        command = [tools / "helm", "template", "squall", CHART, "--namespace", "squall-system", *values, *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else objects(done.stdout)

    return render


def objects(text):
    return [each for each in yaml.safe_load_all(text) if each]


def only(objects, kind, name=None):
    (found,) = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return found


def pod_specs(objects):
    """Of everything that makes pods."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif "template" in each.get("spec", {}):
            yield each["spec"]["template"]["spec"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]
