"""What Prometheus scrapes, read by Prometheus' own client library."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def scrape(agent):
    answer = agent.tenant.call("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = text_string_to_metric_families(answer.body)
    return {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}


def test_sessions_are_counted(agent, target):
    before = scrape(agent)
    assert before["squall_ready",] == 1
    assert before["squall_sessions", "stuck"] == 0
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 1, "workers": 1}, duration="60s")
    active = scrape(agent)
    assert active["squall_sessions", "active"] == before["squall_sessions", "active"] + 1
    assert active["squall_sessions_opened_total", "cpu-stress"] == before["squall_sessions_opened_total", "cpu-stress"] + 1
    assert active["squall_journal_bytes",] > before["squall_journal_bytes",] > 0
    agent.tenant.end(session)
    after = scrape(agent)
    assert after["squall_sessions", "active"] == before["squall_sessions", "active"]
    assert after["squall_sessions_ended_total", "cancelled"] == before["squall_sessions_ended_total", "cancelled"] + 1
    assert after["squall_undo_attempts_total", "restored"] == before["squall_undo_attempts_total", "restored"] + 1
