"""What Prometheus scrapes, read by Prometheus' own client library."""

import os
import re
import signal
import subprocess
import time

from conftest import IN_NODE, PROGRAMS, ROOT
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from running_agent import wait_until


def scrape(agent):
    answer = agent.tenant.call("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = text_string_to_metric_families(answer.body)
    return {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}


def test_sessions_are_counted(agent, target):
    before = scrape(agent)
    assert before["squall_ready",] == 1
    assert before["squall_sessions", "cpu-stress", "stuck"] == 0
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    active = scrape(agent)
    assert active["squall_sessions", "cpu-stress", "active"] == before["squall_sessions", "cpu-stress", "active"] + 1
    assert active["squall_sessions_opened_total", "cpu-stress"] == before["squall_sessions_opened_total", "cpu-stress"] + 1
    assert active["squall_journal_bytes",] > before["squall_journal_bytes",] > 0
    agent.tenant.end(session)
    after = scrape(agent)
    assert after["squall_sessions", "cpu-stress", "active"] == before["squall_sessions", "cpu-stress", "active"]
    assert after["squall_sessions_ended_total", "cancelled"] == before["squall_sessions_ended_total", "cancelled"] + 1
    assert after["squall_undo_attempts_total", "restored"] == before["squall_undo_attempts_total", "restored"] + 1
    assert after["squall_worker_exits_total", "told"] == before["squall_worker_exits_total", "told"] + 1
    for phase in ("apply", "revert"):
        name = f"squall_{phase}_seconds"
        assert after[f"{name}_count", "cpu-stress"] == before.get((f"{name}_count", "cpu-stress"), 0) + 1
        assert after[f"{name}_bucket", "cpu-stress", "+Inf"] == after[f"{name}_count", "cpu-stress"]
        assert after[f"{name}_sum", "cpu-stress"] > before.get((f"{name}_sum", "cpu-stress"), 0)


def test_refusals_are_counted_by_their_code(agent, target):
    before = scrape(agent)
    token = agent.tenant.token("inject", target=target.selector, fault="earthquake", duration="1s")
    assert agent.tenant.call("POST", "/v1/sessions", token).code == "fault-unknown"
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    agent.tenant.end(session)
    assert agent.tenant.call("GET", "/v1/sessions", "no.token.atall").status == 401
    after = scrape(agent)
    name = "squall_requests_refused_total"
    assert after[name, "fault-unknown"] == before[name, "fault-unknown"] + 1
    assert after[name, "token-malformed"] == before[name, "token-malformed"] + 1
    assert after[name, "namespace-denied"] == before[name, "namespace-denied"]
    assert after["squall_replay_tokens",] >= 2


def test_what_the_gateway_refuses_is_counted_too(agent):
    before = scrape(agent)
    name = "squall_gateway_refused_total"
    assert {before[name, reason] for reason in ("connections", "handshakes", "handshake-failed")} == {0}
    assert agent.tenant.call("GET", "/v1/no-such-thing").status == 404
    assert agent.tenant.call("GET", "/v1/sessions").code == "token-missing"
    after = scrape(agent)
    assert after[name, "not-found"] == before.get((name, "not-found"), 0) + 1
    assert after[name, "token-missing"] == before.get((name, "token-missing"), 0) + 1


def test_what_an_engine_left_is_counted_by_the_next(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    before = scrape(agent)
    time.sleep(1)  # It is told in whole seconds.
    agent.kill_engine()
    assert agent.tenant.wait_until_ended(session)["ending"] == "recovered"
    after = scrape(agent)
    assert after["squall_orphans_found",] == 1
    assert after["squall_sessions_ended_total", "recovered"] == 1
    assert after["squall_start_time_seconds",] > before["squall_start_time_seconds",]
    # Nothing was told to end, and whether there was a worker nobody knows.
    assert after["squall_worker_exits_total", "told"] == 0


def test_a_halt_is_told(agent):
    engine = ["--engine-socket", str(agent.engine_socket)]
    assert scrape(agent)["squall_halted",] == 0
    subprocess.run([PROGRAMS / "squall", "halt", *engine], check=True, stdout=subprocess.DEVNULL)
    try:
        assert scrape(agent)["squall_halted",] == 1
    finally:
        subprocess.run([PROGRAMS / "squall", "resume", *engine], check=True, stdout=subprocess.DEVNULL)
    assert scrape(agent)["squall_halted",] == 0


def test_a_file_that_is_not_in_force_is_told(agent):
    good = agent.policy_file.read_text()
    try:
        agent.policy_file.write_text("version: 2\n")
        wait_until(lambda: scrape(agent)["squall_configuration_errors", "policy"] == 1, timeout=10)
    finally:
        agent.policy_file.write_text(good)
    wait_until(lambda: scrape(agent)["squall_configuration_errors", "policy"] == 0, timeout=10)


def test_a_worker_that_ends_early_is_counted_once(agent, target):
    before = scrape(agent)
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    (worker,) = agent.workers(session)
    os.kill(worker, signal.SIGKILL)
    assert agent.tenant.wait_until_ended(session)["ending"] == "fault-ended"
    after = scrape(agent)
    name = "squall_worker_exits_total"
    assert {how: after[name, how] - before[name, how] for how in ("told", "early", "out-of-memory")} == {
        "told": 0, "early": 1, "out-of-memory": 0,
    }  # fmt: skip


def test_the_table_of_docs_running_is_what_there_is(agent, target):
    """Every metric with its labels: the dashboard and the alerts go by that table."""
    agent.tenant.end(agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s"))
    rows = re.findall(r"^\| `(squall_\w+)(?:\{([\w,]+)\})?` \|", (ROOT / "docs/running.md").read_text(), re.MULTILINE)
    table = {name: set(labels.split(",")) - {""} for name, labels in rows}
    suffixes = {"counter": "_total", "info": "_info"}
    there = {
        each.name + suffixes.get(each.type, ""): {label for sample in each.samples for label in sample.labels} - {"le"}
        for each in text_string_to_metric_families(agent.tenant.call("GET", "/metrics").body)
    }
    if not IN_NODE:  # Without TLS.
        del table["squall_tls_not_after_timestamp_seconds"]
    assert there == table
