"""A real Prometheus scrapes the agent and evaluates our alerts: what it then knows, asked by its own API."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml
from conftest import ROOT
from running_agent import wait_until
from test_tls import free_ports

OBSERVABILITY = ROOT / "daemonset/observability"


class Prometheus:
    def __init__(self, directory, targets):
        """`targets` are addresses, each with the node that it is."""
        (self.port,) = free_ports(1)
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(OBSERVABILITY / "alerts.yaml")],
            "scrape_configs": [
                {
                    "job_name": "squall",
                    "static_configs": [
                        {"targets": [target], "labels": {"node": node}} for target, node in targets.items()
                    ],
                }
            ],
        }
        file = directory / "prometheus.yaml"
        file.write_text(yaml.safe_dump(configuration))
        self.log = directory / "log"
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
            ],
            stderr=self.log.open("wb"),
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.load(urllib.request.urlopen(url, timeout=10))["data"]
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{parameters}: {refusal.read().decode()}") from None

    def values(self, query):
        return [float(each["value"][1]) for each in self.ask("query", query=query)["result"]]

    def rules(self):
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory, make_module_agent):
    """An agent, and a Prometheus that scrapes it, and a port at which nobody is."""
    if not shutil.which("prometheus"):
        pytest.skip("needs Debian's package prometheus")
    port, nobody = free_ports(2)
    agent = make_module_agent("--probe-bind-address", f"127.0.0.1:{port}")
    targets = {f"127.0.0.1:{port}": agent.node_name, f"127.0.0.1:{nobody}": "gone"}
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
    try:
        wait_until(prometheus.is_ready, 30)
        wait_until(lambda: prometheus.values('up{node="here"}') == [1], 20)
        yield agent, prometheus
    finally:
        prometheus.stop()


def test_prometheus_sees_a_session_begin_and_end(scraped, target):
    agent, prometheus = scraped
    opened = 'squall_sessions_opened_total{node="here", fault="cpu-stress"}'
    active = 'sum(squall_sessions{node="here", state="active"})'
    cancelled = 'squall_sessions_ended_total{node="here", ending="cancelled"}'
    assert prometheus.values('squall_ready{node="here"}') == [1]
    assert [prometheus.values(each) for each in (opened, active, cancelled)] == [[0], [0], [0]]
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    wait_until(lambda: prometheus.values(opened) == [1] and prometheus.values(active) == [1], 10)
    agent.tenant.end(session)
    wait_until(lambda: prometheus.values(cancelled) == [1] and prometheus.values(active) == [0], 10)


def test_what_is_scraped_is_openmetrics(scraped):
    """Prometheus' older format knows no info."""
    _, prometheus = scraped
    wait_until(lambda: prometheus.ask("targets/metadata", metric="squall_build"), 10)
    (build,) = prometheus.ask("targets/metadata", metric="squall_build")
    assert (build["type"], build["help"]) == ("info", "The agent that runs.")
    (opened,) = prometheus.ask("targets/metadata", metric="squall_sessions_opened")
    assert opened["type"] == "counter"


def test_every_alert_is_evaluated_and_only_the_one_that_is_due_is_raised(scraped):
    _, prometheus = scraped
    wait_until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), 20)
    assert not [rule for rule in prometheus.rules() if rule["health"] != "ok" or "lastError" in rule]


    def raised():
        return {(alert["labels"]["alertname"], alert["labels"].get("node")) for alert in prometheus.ask("alerts")["alerts"]}

    # Before the first scrape no agent was there at all.
    wait_until(lambda: raised() == {("SquallAgentDown", "gone")}, 30)


def test_every_query_of_the_dashboard_is_answered(scraped):
    _, prometheus = scraped
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 30
    for query in queries:
        query = re.sub(r"\$(__rate_interval|window)", "5m", query)
        prometheus.ask("query", query=re.sub(r"\$\w+", ".*", query))
    answered = prometheus.values('count(squall_build_info{node=~".*", instance=~".*"}) or vector(0)')
    assert answered == [1]
