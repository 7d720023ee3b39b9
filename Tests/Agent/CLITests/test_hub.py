"""A catalogue of experiments: what goes in comes out as it was, in its version, for whom it is."""

import json
import os

import pytest
import yaml
from conftest import ROOT


def document(name, **metadata):
    return {
        "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": name} | metadata,
        "spec": {"steps": [{"name": "wait", "wait": "1s"}]},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """An experiment with a script beside it."""
    folder = tmp_path / "mine"
    (folder / "lib").mkdir(parents=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(document("loss", description="Loses a leader.")))
    (folder / "lib/leader.py").write_text("print('web-0')\n")
    (folder / "lib/leader.py").chmod(0o755)
    return folder


@pytest.fixture
def hub(cli, tmp_path):
    (tmp_path / "hub").mkdir()

    def hub(*words, status=0):
        done = cli.run("hub", *words, "--hub", tmp_path / "hub", connect=False)
        assert done.returncode == status, done
        return done

    return hub


def listed(hub, *words):
    return json.loads(hub("list", *words, "--output", "json").stdout)["experiments"]


def test_what_is_published_is_pulled_as_it_was(hub, folder, tmp_path):
    for version in ("1.2.0", "1.10.0", "1.9.3"):
        (folder / "lib/leader.py").write_text(f"print('{version}')\n")
        hub("publish", folder, "--version", version)
    (entry,) = listed(hub)
    assert entry == {"name": "loss", "versions": ["1.2.0", "1.9.3", "1.10.0"], "description": "Loses a leader."}
    assert "loss  1.10.0   1.9.3, 1.2.0  all" in hub("list").stdout
    assert "loss 1.10.0 is in" in hub("pull", "loss", "--to", tmp_path / "new").stdout
    hub("pull", "loss@1.2.0", "--to", tmp_path / "old")
    for place, version in (("new", "1.10.0"), ("old", "1.2.0")):
        script = tmp_path / place / "lib/leader.py"
        assert script.read_text() == f"print('{version}')\n" and os.access(script, os.X_OK)
        assert (tmp_path / place / "experiment.yaml").read_bytes() == (folder / "experiment.yaml").read_bytes()


def test_a_version_stays_as_it_is_and_a_folder_too(hub, folder, tmp_path):
    hub("publish", folder, "--version", "1.0.0")
    before = (tmp_path / "hub/loss/1.0.0/experiment.yaml").read_text()
    (folder / "experiment.yaml").write_text(yaml.safe_dump(document("loss")))
    assert "has a version 1.0.0 already" in hub("publish", folder, "--version", "1.0.0", status=2).stderr
    assert (tmp_path / "hub/loss/1.0.0/experiment.yaml").read_text() == before
    assert "File exists" in hub("pull", "loss", "--to", folder, status=2).stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hub", "mine"]
    assert sorted(each.name for each in (tmp_path / "hub/loss").iterdir()) == ["1.0.0"]


def test_a_tenant_sees_what_is_for_it(hub, folder, tmp_path):
    hub("publish", folder, "--version", "1.0.0", "--for", "shop", "--for", "bank")
    (folder / "experiment.yaml").write_text(yaml.safe_dump(document("for-all")))
    hub("publish", folder, "--version", "1.0.0")
    assert [each["name"] for each in listed(hub, "--tenant", "shop")] == ["for-all", "loss"]
    assert [each["name"] for each in listed(hub, "--tenant", "zoo")] == ["for-all"]
    assert "no experiment loss for zoo" in hub("pull", "loss", "--tenant", "zoo", status=2).stderr
    hub("pull", "loss", "--tenant", "bank", "--to", tmp_path / "it")
    # The next version is for the same.
    (folder / "experiment.yaml").write_text(yaml.safe_dump(document("loss")))
    hub("publish", folder, "--version", "1.1.0")
    assert listed(hub, "--tenant", "bank")[1]["tenants"] == ["shop", "bank"]


def test_what_is_no_experiment_does_not_go_in_and_is_told(hub, folder, tmp_path):
    for version in ("1", "1.2", "1.02.3", "1.2.3-rc1", "../1.2.3"):
        assert "is no version" in hub("publish", folder, "--version", version, status=2).stderr
    assert "is not the name of a tenant" in hub("publish", folder, "--version", "1.0.0", "--for", "Shop!", status=2).stderr
    (folder / "link").symlink_to("/etc/passwd")
    assert "neither a file nor a folder" in hub("publish", folder, "--version", "1.0.0", status=2).stderr
    (folder / "link").unlink()
    (folder / "experiment.yaml").write_text("apiVersion: squall/v1\n")
    assert "experiment.yaml: line 1" in hub("publish", folder, "--version", "1.0.0", status=2).stderr
    assert listed(hub) == [] and list((tmp_path / "hub").iterdir()) == []
    for name in ("loss", "../mine", "loss@2.0.0"):
        assert hub("pull", name, status=2).stderr
    broken = tmp_path / "hub/broken/1.0.0"
    broken.mkdir(parents=True)
    (broken / "experiment.yaml").write_text(yaml.safe_dump(document("another")))
    done = hub("list", "--output", "json")
    assert json.loads(done.stdout)["experiments"] == [] and "is called another" in done.stderr


def test_no_catalogue_is_told(cli, tmp_path):
    assert "SQUALL_HUB" in cli.run("hub", "list", connect=False).stderr
    done = cli.run("hub", "list", "--hub", tmp_path / "none", connect=False)
    assert done.returncode == 2 and "is no folder" in done.stderr


def test_the_shipped_catalogue_is_one(cli, hub, tmp_path):
    catalogue = ROOT / "daemonset/experiments/catalogue"
    done = cli.run("hub", "list", "--hub", catalogue, "--output", "json", connect=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    entries = json.loads(done.stdout)["experiments"]
    assert {entry["name"] for entry in entries} == {folder.name for folder in catalogue.iterdir()}
    assert all(entry["description"] for entry in entries)
    hub("publish", catalogue / "redis-leader-loss/1.0.0", "--version", "0.1.0")
    hub("pull", "redis-leader-loss", "--to", tmp_path / "it")
    assert {each.name for each in (tmp_path / "it").iterdir()} >= {"experiment.yaml", "leader.py"}
