"""What Prometheus and Grafana are given for Squall, as Prometheus' own tool reads it, and against what the agent says of
itself: docs/running.md has its metrics, docs/openapi.yaml its words, docs/operations.md what to do about an alert."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RULES = ROOT / "daemonset/observability/alerts.yaml"
RULES_TESTS = HERE / "alerts_test.yaml"

EVERY_RULE = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in EVERY_RULE if "alert" in rule]
DASHBOARD = json.loads((ROOT / "daemonset/observability/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

# What Grafana puts in place of its own variables and of ours.
VARIABLES = {"$__rate_interval": "5m", "$window": "1h", "$node": ".*", "$instance": ".*", "$fault": ".*"}

# What the scrape says of its target, and the bounds of a histogram's buckets.
TARGET_LABELS = {"job", "instance", "node"}
OTHER_METRICS = {"up": TARGET_LABELS | {"app_kubernetes_io_name"}, "ALERTS": TARGET_LABELS | {"alertname", "alertstate", "severity"}}


def metrics(page):
    """Of the table in a page: by each metric's name, its labels."""
    text = (ROOT / page).read_text()
    rows = re.findall(r"^\| `(squall_\w+)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE)
    return {name: set(labels.split(",")) - {""} for name, labels in rows}


METRICS = metrics("docs/running.md")
# Not of an agent, and with no node.
OF_EXPERIMENTS = metrics("docs/experiments.md")


def labels_of(name):
    """Those that a series of this name may have; nothing where there is no such series."""
    if name in OTHER_METRICS:
        return OTHER_METRICS[name]
    if name in OF_EXPERIMENTS:
        return OF_EXPERIMENTS[name]
    histogram = re.fullmatch(r"(\w+_seconds)_(bucket|count|sum)", name)
    if histogram and histogram[1] in METRICS:
        return METRICS[histogram[1]] | TARGET_LABELS | ({"le"} if histogram[2] == "bucket" else set())
    return METRICS[name] | TARGET_LABELS if name in METRICS else None


def queries():
    """Every expression, with its place: the rules', the panels', the variables' and the annotations'."""
    for rule in EVERY_RULE:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            yield variable["name"], f"count by ({asked[2]}) ({asked[1]})"
    for annotation in DASHBOARD["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]


QUERIES = list(queries())


def without_variables(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def promtool(*words):
    if not shutil.which("promtool"):
        pytest.skip("needs promtool, of Debian's package prometheus")
    run = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


# The alerts


def test_prometheus_takes_the_rules():
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_alerts_fire_when_they_should_and_not_when_they_should_not():
    promtool("test", "rules", RULES_TESTS)


def test_the_alerts_of_the_redis_experiment_fire_when_an_election_is_slow_and_not_when_it_is_quick():
    promtool("check", "rules", "--lint=all", "--lint-fatal", ROOT / "daemonset/experiments/catalogue/redis-leader-loss/1.0.0/alerts.yaml")
    promtool("test", "rules", HERE / "redis_alerts_test.yaml")


def test_every_alert_is_seen_to_fire_and_to_be_silent():
    fired, silent = set(), set()
    for world in yaml.safe_load(RULES_TESTS.read_text())["tests"]:
        for case in world.get("alert_rule_test", []):
            expected = case.get("exp_alerts", [])
            fired |= {(case["alertname"], alert["exp_labels"]["severity"]) for alert in expected}
            silent |= set() if expected else {case["alertname"]}
    assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS}
    assert silent == {alert["alert"] for alert in ALERTS}


def test_every_alert_says_what_it_means():
    for alert in ALERTS:
        assert re.fullmatch(r"Squall([A-Z][a-z]+)+", alert["alert"])
        assert alert["labels"].keys() == {"severity"}
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"].keys() == {"summary", "description", "runbook"}
        # The summary is for a list, the description for a person who has to decide.
        assert len(alert["annotations"]["summary"]) < len(alert["annotations"]["description"])


def test_every_alert_has_its_runbook_and_every_runbook_its_alert():
    text = (ROOT / "docs/operations.md").read_text()
    _, _, below = text.partition("\n## Alerts\n")
    chapter = re.split(r"^## ", below, flags=re.MULTILINE)[0]
    headings = re.findall(r"^### (\w+)$", chapter, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == {alert["alert"] for alert in ALERTS}
    for alert in ALERTS:
        # As a page makes an anchor of a heading of one word.
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_the_rules_head_says_how_the_operator_gets_them():
    head = RULES.read_text().partition("\ngroups:")[0]
    recipe = "\n".join(line.removeprefix("#") for line in head.splitlines() if line.startswith("#   "))
    command = recipe.partition("| kubectl -n monitoring apply -f -")[0]
    text = subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    resource = yaml.safe_load(text)
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["spec"] == yaml.safe_load(RULES.read_text())


# The dashboard


def test_prometheus_takes_the_dashboards_queries(tmp_path):
    rules = [{"record": f"query:{number}", "expr": without_variables(query)} for number, (_, query) in enumerate(QUERIES)]
    assert not [rule for rule in rules if "$" in rule["expr"]], "a variable that nobody sets"
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", file)


def test_the_dashboard_can_be_imported_anywhere():
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["id"] is None and DASHBOARD["uid"]
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert {f"${name}" for name in variables} - {"$datasource"} == VARIABLES.keys() - {"$__rate_interval"}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    whole = json.dumps(DASHBOARD)
    assert set(re.findall(r'"uid": "([^"]*)"', whole)) == {"${datasource}", "-- Grafana --", DASHBOARD["uid"]}
    for panel in PANELS:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_every_panel_says_what_it_shows():
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)), panel["title"]


def test_no_panel_lies_on_another():
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))
    taken = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    heights = [panel["gridPos"]["y"] for panel in DASHBOARD["panels"]]
    assert heights == sorted(heights), "a panel is in another row than it seems"


def test_every_panel_heeds_the_variables():
    for panel in PANELS:
        for target in panel["targets"]:
            for name, matchers in re.findall(r"(?<!:)\b(squall_\w+|up|ALERTS)\b(?:\{(.*?)\})?", target["expr"]):
                if name in OF_EXPERIMENTS:
                    continue
                assert 'node=~"$node", instance=~"$instance"' in matchers, (panel["title"], name)
                assert ("fault=~" in matchers) == ("fault" in labels_of(name)), (panel["title"], name)


# Both


def test_what_is_asked_for_is_there():
    assert "squall_ready" in METRICS
    for place, query in QUERIES:
        for name, matchers in re.findall(r"(?<!:)\b(squall_\w+|up|ALERTS)\b(?:\{(.*?)\})?", query):
            assert labels_of(name) is not None, f"{place}: there is no {name}"
            unknown = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers)) - labels_of(name)
            assert not unknown, f"{place}: {name} has no {unknown}"


def test_every_metric_is_shown():
    queries = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bsquall_\w+", queries)} - OF_EXPERIMENTS.keys() == METRICS.keys()


def test_what_is_asked_for_is_said():
    """The words in labels: a typing error in one would never match."""
    schemas = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["components"]["schemas"]
    table = (ROOT / "docs/running.md").read_text()
    words = {
        "code": set(schemas["ProblemCode"]["enum"]),
        "alertname": {"Squall.+"},
        "alertstate": {"firing"},
    }
    for metric, label in [("squall_sessions", "state"), ("squall_undo_attempts_total", "outcome")]:
        line = next(line for line in table.splitlines() if line.startswith(f"| `{metric}{{"))
        words[label] = set(re.findall(r"`([a-z-]+)`", line))
    seen = set()
    for place, query in QUERIES:
        for label, values in re.findall(r'(\w+)=~?"([^"$]*)"', query):
            if label in words:
                seen.add(label)
                assert set(values.split("|")) <= words[label], place
    assert seen == words.keys()
