"""`squall experiment`: whole experiments against running agents, with real servers, scripts and signals."""

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from conftest import IN_NODE, PROGRAMS, ROOT

STRESS = {"load": 20, "workers": 1}


def experiment(*steps, **spec):
    return {
        "apiVersion": "squall/v1", "kind": "Experiment", "metadata": {"name": "checkout"},
        "spec": {"steps": list(steps)} | spec,
    }  # fmt: skip


def fault(name, target, duration="3s", **more):
    return {
        "name": name, "fault": "cpu-stress", "parameters": STRESS, "target": target, "duration": duration,
    } | more  # fmt: skip


def script(name, *command, **more):
    return {"name": name, "script": {"command": list(command)} | more}


@pytest.fixture
def key(agent, tmp_path):
    file = tmp_path / "tenant.key.jwk"
    file.write_text(json.dumps(agent.tenant.private_jwk))
    return ["--key", file, "--tenant", agent.tenant.name, "--socket", agent.api_socket]


@pytest.fixture
def squall(key, tmp_path):
    def begin(document, *words, command="run"):
        file = tmp_path / "experiment.json"
        file.write_text(json.dumps(document))
        asked = [PROGRAMS / "squall", "experiment", command, file, *key, "--output", "json", *words]
        return subprocess.Popen(list(map(str, asked)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


@pytest.fixture
def run(squall):
    def run(document, *words, command="run", code=0):
        process = squall(document, *words, command=command)
        output, complaints = process.communicate(timeout=90)
        assert process.returncode == code, (process.returncode, output, complaints)
        return json.loads(output if output else complaints)

    return run


class Shop:
    """A server of HTTP whose answers the test decides on."""

    def __init__(self):
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                shop.sent.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode(), dict(self.headers)))
                self.do_GET()

            def do_GET(self):
                shop.asked.append((self.path, dict(self.headers)))
                status, body = shop.answer(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.asked, self.sent = [], []
        self.answer = lambda path: (200, "ready")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def shop():
    with Shop() as shop:
        yield shop


def sessions_of(agent):
    return [session for session in agent.tenant.list().body["sessions"] if session["state"] != "ended"]


def identity(target):
    """Of a selector, or of what an agent tells of a target."""
    if container := target.get("container"):
        return (container if isinstance(container, str) else container["id"]).removeprefix("containerd://")
    return target["process"]["pid"]


def step(result, name):
    (found,) = [step for step in result["steps"] if step["name"] == name]
    return found


def probe(result, name):
    (found,) = [probe for probe in result["probes"] if probe["name"] == name]
    return found


def test_a_fault_is_held_probed_and_taken_back(run, agent, target, shop):
    result = run(
        experiment(
            fault("stress", target.selector),
            hypothesis="the shop answers",
            probes=[
                {"name": "answers", "http": {"url": f"{shop.url}/health"}},
                {"name": "all-the-time", "http": {"url": shop.url}, "mode": "OnChaos", "pollingInterval": "500ms",
                 "expect": {"criteria": "contains", "value": "ready"}},
            ],
        )
    )  # fmt: skip
    assert (result["verdict"], result["score"]) == ("Pass", 100)
    assert step(result, "stress")["state"] == "succeeded"
    (session,) = result["sessions"]
    assert (session["ending"], session["revertVerified"], session["agent"]) == ("expired", True, agent.node_name)
    assert 2.5 < session["end"] - session["begin"] < 10
    assert {event["kind"] for event in session["events"]} >= {"opened", "active", "ended"}
    assert any(effect["cpuSeconds"] > 0 for effect in session["effects"])
    assert probe(result, "answers")["passed"] == 2
    watched = probe(result, "all-the-time")["runs"]
    assert len(watched) >= 3
    assert all(session["begin"] - 0.2 <= run["at"] <= session["end"] + 1 for run in watched)
    assert sessions_of(agent) == []


def test_a_probe_that_fails_meanwhile_fails_the_experiment(run, agent, target, shop):
    shop.answer = lambda path: (503, "") if any(s["state"] == "active" for s in sessions_of(agent)) else (200, "ready")
    result = run(
        experiment(
            fault("stress", target.selector, duration="5s"),
            probes=[
                {"name": "answers", "http": {"url": shop.url}, "mode": "Continuous", "pollingInterval": "500ms", "weight": 30},
                {"name": "holds", "tcp": {"address": shop.address}, "weight": 10},
            ],
        ), code=1,
    )  # fmt: skip
    assert (result["verdict"], result["score"]) == ("Fail", 25)
    assert probe(result, "answers")["verdict"] == "Failed"
    assert "status 503" in probe(result, "answers")["message"]
    assert step(result, "stress")["state"] == "succeeded"


def test_with_a_gate_the_score_decides(run, shop):
    """It is asked before the first step, and by each of two steps: the last of the three goes wrong."""
    document = experiment(
        {"name": "look", "probe": "answers"}, {"name": "again", "probe": "answers"},
        probes=[{"name": "answers", "http": {"url": shop.url}, "mode": "SOT"}, {"name": "holds", "tcp": {"address": shop.address}}],
    )  # fmt: skip
    for gate, code in ((50, 0), (51, 1)):
        shop.asked.clear()
        shop.answer = lambda path: (200 if len(shop.asked) < 3 else 503, "")
        result = run(document, "--min-score", gate, code=code)
        assert (result["verdict"], result["score"]) == ("Fail", 50)


def test_a_probe_that_is_to_stop_it_does(run, agent, target, shop):
    begun = time.monotonic()
    shop.answer = lambda path: (500, "") if any(s["state"] == "active" for s in sessions_of(agent)) else (200, "ready")
    result = run(
        experiment(
            fault("stress", target.selector, duration="60s"),
            probes=[{"name": "answers", "http": {"url": shop.url}, "mode": "Continuous", "pollingInterval": "200ms",
                     "stopOnFailure": True}],
        ), code=1,
    )  # fmt: skip
    assert time.monotonic() - begun < 40
    assert (result["verdict"], step(result, "stress")["state"]) == ("Fail", "stopped")
    assert result["sessions"][0]["ending"] == "cancelled" and result["sessions"][0]["revertVerified"]
    assert sessions_of(agent) == []


def test_nothing_is_done_when_the_hypothesis_does_not_hold_before(run, agent, target, shop):
    shop.answer = lambda path: (404, "")
    result = run(
        experiment(fault("stress", target.selector), probes=[{"name": "answers", "http": {"url": shop.url}}]), code=1
    )
    assert (result["verdict"], result["sessions"]) == ("Fail", [])
    assert step(result, "stress")["state"] == "skipped"
    assert "nothing was done" in result["reason"]


def test_the_output_of_a_script_chooses_the_target(run, agent, target):
    found = {"leader": target.selector, "load": 15, "names": ["a", "b"]}
    result = run(
        experiment(
            script("find", "echo", json.dumps(found), output="json"),
            fault("stress", "${{ steps.find.output.leader }}", parameters={"load": "${{ steps.find.output.load }}", "workers": 1},
                  duration="${{ inputs.long }}", reason="the leader of ${{ steps.find.output.names[1] }}"),
            script("after", "sh", "-c", 'cat "$SQUALL_CONTEXT"', output="json"),
            {"name": "elected", "probe": "changed"},
            inputs={"long": "2s"},
            probes=[{"name": "changed", "mode": "EOT", "command": {"command": ["echo", "${{ steps.find.output.load }}"]},
                     "expect": {"criteria": ">=", "value": 15}}],
        ), "--set", "long=1500ms",
    )  # fmt: skip
    assert result["verdict"] == "Pass"
    (session,) = result["sessions"]
    assert identity(session["target"]) == identity(target.selector)
    assert session["summary"].startswith("use 15 % of") or "15" in session["summary"]
    context = step(result, "after")["output"]
    assert context["inputs"] == {"long": "1500ms"}
    assert context["steps"]["stress"]["targets"][0]["agent"] == agent.node_name


@pytest.mark.parametrize(
    "command, more, words",
    [
        (["echo", "{broken"], {"output": "json"}, "its output is no JSON"),
        (["echo", "no equals sign"], {"output": "values"}, "not NAME=VALUE"),
        (["echo", '{"other": 1}'], {"output": "json"}, "steps.find.output.leader is not there: there are other"),
        (["echo", '{"leader": null}'], {"output": "json"}, "steps.find.output.leader is null"),
        (["echo", '{"leader": "no target"}'], {"output": "json"}, "a target is an object, not string"),
        (["sh", "-c", "echo wrong >&2; exit 3"], {}, "sh ended with exit code 3: wrong"),
        (["no-such-program"], {}, "no-such-program cannot be started"),
        (["sleep", "60"], {"timeout": "1s"}, "it had not ended after"),
        (["head", "-c", "2000000", "/dev/zero"], {}, "longer than"),
    ],
)
def test_bad_output_is_an_error_and_no_target(run, agent, target, command, more, words):
    before = len(agent.tenant.list().body["sessions"])
    result = run(
        experiment(script("find", *command, **more), fault("stress", "${{ steps.find.output.leader }}")), code=7
    )
    assert (result["verdict"], result["sessions"]) == ("Error", [])
    assert words in result["reason"]
    assert len(agent.tenant.list().body["sessions"]) == before


def test_an_interrupted_experiment_takes_everything_back(squall, agent, target):
    process = squall(experiment(fault("stress", target.selector, duration="60s"), {"name": "wait", "wait": "60s"}))
    agent_has = wait_for(lambda: [s for s in sessions_of(agent) if s["state"] == "active"])
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    result = json.loads(output)
    assert (result["verdict"], step(result, "wait")["state"]) == ("Stopped", "skipped")
    assert result["sessions"][0]["id"] == agent_has[0]["id"]
    assert result["sessions"][0]["revertVerified"] is True
    assert sessions_of(agent) == []


def test_a_killed_experiment_leaves_nothing_after_its_lease(squall, agent, target):
    process = squall(experiment(fault("stress", target.selector, duration="60s", lease="2s")))
    (session,) = wait_for(lambda: [s for s in sessions_of(agent) if s["state"] == "active"])
    # It is renewed.
    time.sleep(4)
    assert agent.tenant.read(session["id"]).body["state"] == "active"
    process.kill()
    process.communicate()
    wait_for(lambda: agent.tenant.read(session["id"]).body["state"] == "ended", 8)
    report = agent.tenant.read(session["id"]).body
    assert (report["ending"], report["revertVerified"]) == ("lease-lapsed", True)


def test_a_fault_of_less_than_a_second_is_one(run, target):
    result = run(experiment(fault("stress", target.selector, duration="300ms")))
    assert (result["verdict"], result["sessions"][0]["ending"]) == ("Pass", "expired")


def test_two_experiments_on_one_target_compose(squall, agent, target):
    both = [
        squall(experiment({"name": "limit", "fault": "cpu-throttle", "parameters": {"percent": percent},
                           "target": target.selector, "duration": "4s"}))
        for percent in (50, 80)
    ]  # fmt: skip
    results = []
    for process in both:
        output, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, (output, complaints)
        results.append(json.loads(output))
    assert all(result["sessions"][0]["revertVerified"] for result in results)


def test_steps_go_on_side_by_side_and_in_the_background(run, agent, target, world):
    with world.mortal_target() as other:
        result = run(
            experiment(
                fault("behind", target.selector, duration="5s", background=True),
                {"name": "both", "parallel": [
                    fault("beside", other.selector, duration="2s"),
                    {"name": "in-order", "serial": [{"name": "one", "wait": "500ms"}, {"name": "two", "wait": "500ms"}]},
                ]},
            )
        )  # fmt: skip
    assert result["verdict"] == "Pass"
    behind, beside = (next(s for s in result["sessions"] if s["step"] == name) for name in ("behind", "beside"))
    assert behind["begin"] < beside["begin"] < beside["end"] < behind["end"]
    assert step(result, "one")["end"] <= step(result, "two")["begin"]
    assert step(result, "one")["begin"] < beside["end"]


def test_a_fault_in_the_background_is_ended_when_it_is_enough(run, agent, target):
    result = run(
        experiment(fault("behind", target.selector, duration="60s", background=True), {"name": "enough", "end": "behind"})
    )
    assert (result["verdict"], step(result, "enough")["state"]) == ("Pass", "succeeded")
    (session,) = result["sessions"]
    assert (session["ending"], session["revertVerified"]) == ("cancelled", True)
    assert session["end"] - session["begin"] < 30 and sessions_of(agent) == []


def test_a_step_that_fails_stops_the_experiment_unless_it_may(run, target, agent):
    gone = {"process": {"pid": 4194303, "startTime": 1}}
    result = run(experiment(fault("stress", gone, duration="1s"), {"name": "after", "wait": "1s"}), code=7)
    assert (result["verdict"], step(result, "after")["state"]) == ("Error", "skipped")
    result = run(experiment(fault("stress", gone, duration="1s", onFailure="continue"), {"name": "after", "wait": "1s"}))
    assert (result["verdict"], step(result, "stress")["state"]) == ("Pass", "failed")
    assert step(result, "after")["state"] == "succeeded"


def test_a_plan_hits_nothing(run, agent, target):
    before = len(agent.tenant.list().body["sessions"])
    plan = run(
        experiment(
            fault("now", target.selector), script("find", "touch", "/tmp/squall-must-not-be-there"),
            fault("later", "${{ steps.find.output }}"),
        ), command="plan",
    )  # fmt: skip
    now, later = plan["steps"]
    (planned,) = now["targets"]
    assert planned["agent"] == agent.node_name
    assert identity(target.selector) in (planned.get("containerID"), planned.get("process"))
    assert "targets" not in later and "steps.find.output" in later["problem"]
    assert not os.path.exists("/tmp/squall-must-not-be-there")
    assert len(agent.tenant.list().body["sessions"]) == before
    gone = {"process": {"pid": 4194303, "startTime": 1}}
    assert run(experiment(fault("now", gone)), command="plan", code=1)["steps"][0]["targets"] == []


def test_a_block_that_may_fail_lets_the_experiment_go_on(run, target):
    gone = {"process": {"pid": 4194303, "startTime": 1}}
    block = {"name": "block", "onFailure": "continue", "serial": [fault("stress", gone), {"name": "not-done", "wait": "1ms"}]}
    result = run(experiment(block, {"name": "after", "wait": "1ms"}))
    assert [step(result, name)["state"] for name in ("stress", "not-done", "block", "after")] == ["failed", "skipped", "failed", "succeeded"]


def test_a_probe_that_never_ran_has_not_passed(run):
    never = [{"name": "never", "tcp": {"address": "127.0.0.1:1"}, "mode": "OnChaos"}]
    result = run(experiment({"name": "wait", "wait": "1ms"}, probes=never), code=1)
    assert (result["verdict"], result["score"]) == ("Fail", 0) and "never ran" in result["reason"]


def test_a_gate_is_not_passed_by_what_was_not_done(run, shop):
    shop.answer = lambda path: (200 if path == "/good" else 500, "")
    probes = [{"name": name, "http": {"url": f"{shop.url}/{name}"}} for name in ("good", "bad")]
    result = run(experiment({"name": "wait", "wait": "1ms"}, probes=probes), "--min-score", 10, code=1)
    assert step(result, "wait")["state"] == "skipped"


def test_what_happens_to_a_session_is_heard_while_it_lives(run, target):
    seen = {"name": "active", "mode": "OnChaos", "events": {"kind": "active"}, "pollingInterval": "200ms", "initialDelay": "1500ms",
            "expect": {"criteria": "==", "value": 1}}  # fmt: skip
    result = run(experiment(fault("stress", target.selector, duration="4s"), probes=[seen]))
    assert result["verdict"] == "Pass" and probe(result, "active")["passed"] > 3


def test_a_long_output_reaches_those_who_refer_to_it(run):
    result = run(
        experiment(
            script("much", "python3", "-c", "print('x' * 500000)"),
            script("count", "python3", "-c", "import json, os; print(len(json.load(open(os.environ['SQUALL_CONTEXT']))['steps']['much']['output']))"),
        )
    )  # fmt: skip
    assert step(result, "count")["output"] == "500000"


def test_who_closes_its_output_ends_nothing(agent, target, key, tmp_path):
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(experiment(fault("stress", target.selector, duration="3s"))))
    report = tmp_path / "report.json"
    words = map(str, [PROGRAMS / "squall", "experiment", "run", file, *key, "--report", report])
    with subprocess.Popen(list(words), stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(60)
    assert json.loads(report.read_text())["verdict"] == "Pass"
    assert sessions_of(agent) == []


def cloud(shop, name="stop", **more):
    """A step that stops a machine by a cloud's API, and starts it again."""
    return {"name": name, "http": {
        "url": f"{shop.url}/{name}", "body": {"machine": "web-1"}, "undo": {"url": f"{shop.url}/start"},
    } | more}  # fmt: skip


def test_a_request_is_sent_and_taken_back(run, shop, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    shop.answer = lambda path: (202, '{"operation": 7}') if path == "/stop" else (200, "started")
    step_back = {"url": f"{shop.url}/start/${{{{ steps.stop.output.body.operation }}}}", "method": "POST"}
    result = run(
        experiment(
            cloud(shop, bearerTokenFile=str(token), undo=step_back),
            script("see", "echo", "${{ steps.stop.output.body.operation }} ${{ steps.stop.output.status }}"),
            probes=[{"name": "up", "mode": "EOT", "http": {"url": f"{shop.url}/health"}}],
        )
    )
    assert step(result, "see")["output"] == "7 202"
    (path, body, headers), undo = shop.sent
    assert (path, json.loads(body), headers["Content-Type"]) == ("/stop", {"machine": "web-1"}, "application/json")
    assert headers["Authorization"] == "Bearer secret" and "secret" not in json.dumps(result)
    assert undo[0] == "/start/7" and "Authorization" not in undo[2]
    # What is to hold after the last step is looked at when all is taken back.
    assert [path for path, _ in shop.asked] == ["/stop", "/start/7", "/health"]


def test_requests_are_taken_back_however_it_ends(run, squall, shop):
    def sent():
        found = [path for path, *_ in shop.sent]
        shop.sent.clear()
        return found

    run(experiment(cloud(shop, "one", undo={"url": f"{shop.url}/undo-one"}), cloud(shop), script("fail", "false")), code=7)
    assert sent() == ["/one", "/stop", "/start", "/undo-one"]
    process = squall(experiment(cloud(shop), {"name": "hold", "wait": "1m"}))
    wait_for(lambda: shop.sent)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert sent() == ["/stop", "/start"]
    # In the middle, and then not again.
    run(experiment(cloud(shop), {"name": "enough", "end": "stop"}, script("say", "echo", "on")))
    assert sent() == ["/stop", "/start"]
    # One that was refused, or not answered in time, may have been heard.
    shop.answer = lambda path: (500, "") if path == "/stop" else (200, "")
    result = run(experiment(cloud(shop)), code=7)
    assert "status 500" in result["reason"] and sent() == ["/stop", "/start"]
    hits = iter(range(100))
    shop.answer = lambda path: (503, "") if path == "/start" and next(hits) < 2 else (200, "")
    run(experiment(cloud(shop)))
    assert sent() == ["/stop", "/start", "/start", "/start"]
    shop.answer = lambda path: (403, "") if path == "/start" else (200, "")
    result = run(experiment(cloud(shop)), code=7)
    assert "not taken back: status 403" in result["reason"] and step(result, "stop")["state"] == "failed"
    assert sent() == ["/stop"] + 5 * ["/start"]


def test_a_plan_sends_nothing(run, shop):
    plan = run(experiment(cloud(shop)), command="plan")
    assert plan["steps"][0]["problem"] == f"would send POST {shop.url}/stop, and POST {shop.url}/start to take it back"
    assert shop.asked == []


@pytest.mark.skipif(IN_NODE, reason="needs agents that the test may make")
def test_an_inventory_has_several_agents(run, make_agent, agent, target, tmp_path, world):
    second = make_agent()
    agent.tenant.publish(second.tenants_directory)
    second.write_policy({"host": "allowed"}, **{agent.tenant.name: {"faults": ["*"], "host": "allowed"}})
    inventory = tmp_path / "fleet.yaml"
    entry = "- {name: %s, socket: %s, labels: {zone: %s}}\n"
    inventory.write_text(
        "apiVersion: squall/v1\nkind: Inventory\nagents:\n"
        + entry % (agent.node_name, agent.api_socket, "a")
        + entry % ("there", second.api_socket, "b")
    )
    # The second calls itself as the first does: a token for "there" is not for it.
    document = experiment(fault("stress", target.selector, agents={"labels": {"zone": "b"}}))
    result = run(document, "--inventory", inventory, code=7)
    assert "there: " in result["reason"]
    result = run(experiment(fault("stress", target.selector, agents=["h*"], duration="1s")), "--inventory", inventory)
    assert [session["agent"] for session in result["sessions"]] == [agent.node_name]
    result = run(experiment(fault("stress", target.selector, agents=["nobody"])), "--inventory", inventory, code=7)
    assert "no agent is meant" in result["reason"]


def test_reports_are_written_in_every_form(run, squall, agent, target, shop, tmp_path):
    files = {suffix: tmp_path / f"report.{suffix}" for suffix in ("html", "md", "xml", "json")}
    words = [word for file in files.values() for word in ("--report", file)]
    shop.answer = lambda path: (200, "12.5")
    evil = "<script>alert(1)</script> & | `x`"
    result = run(
        experiment(
            script("say", "echo", evil), fault("stress", target.selector),
            hypothesis=evil,
            probes=[{"name": "latency", "http": {"url": shop.url}, "mode": "Continuous", "pollingInterval": "300ms",
                     "expect": {"criteria": "<=", "value": 20}}],
        ), *words,
    )  # fmt: skip
    assert json.loads(files["json"].read_text()) == result
    page = files["html"].read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "<svg" in page and "http" not in page.split("</style>")[0]
    assert "latency" in page and "cpuSeconds" in page
    assert "&lt;script" in files["md"].read_text() and "| latency | Continuous |" in files["md"].read_text()
    suite = ElementTree.fromstring(files["xml"].read_text()).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "0", "0")
    again = subprocess.check_output(
        [PROGRAMS / "squall", "experiment", "report", files["json"], "--format", "html"], text=True
    )
    assert again == page


def test_the_network_probe_times_out(run, shop):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = run(
            experiment(
                {"name": "wait", "wait": "10ms"},
                probes=[{"name": "slow", "http": {"url": f"http://{address}/"}, "mode": "EOT", "timeout": "500ms",
                         "attempts": 2, "interval": "100ms"}],
            ), code=1,
        )  # fmt: skip
    assert "no answer in time" in probe(result, "slow")["message"]


class TestOverTLS:
    @pytest.fixture(scope="class")
    def served(self, make_module_agent, tmp_path_factory):
        from test_tls import Served

        return Served(make_module_agent, tmp_path_factory.mktemp("tls"))

    @pytest.fixture
    def run_over_tls(self, served, tmp_path):
        def run(steps, authority=None, certificate=None, **more):
            key = tmp_path / "shop.key.jwk"
            key.write_text(json.dumps(served.agent.tenant.private_jwk))
            inventory = tmp_path / "fleet.json"
            certificate = certificate or served.shop
            inventory.write_text(json.dumps({
                "apiVersion": "squall/v1", "kind": "Inventory",
                "defaults": {"caFile": str(authority or served.authority.file)},
                "agents": [{"name": served.agent.node_name, "address": f"localhost:{served.port}", **more,
                            "certificateFile": str(certificate[0]), "keyFile": str(certificate[1])}],
            }))  # fmt: skip
            file = tmp_path / "experiment.json"
            file.write_text(json.dumps(experiment(*steps)))
            done = subprocess.run(
                [PROGRAMS / "squall", "experiment", "run", file, "--inventory", inventory, "--key", key, "--output", "json"],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            return json.loads(done.stdout)

        return run

    def test_a_fault_is_injected(self, run_over_tls, host_target):
        result = run_over_tls([fault("stress", host_target.selector, duration="2s")])
        assert result["verdict"] == "Pass", result["reason"]
        assert result["sessions"][0]["revertVerified"] and result["sessions"][0]["events"]

    def test_an_agent_that_cannot_say_who_it_is_is_none(self, run_over_tls, host_target, served, tmp_path):
        from authority import Authority

        steps = [fault("stress", host_target.selector)]
        other = Authority(tmp_path, "other")
        assert "certificate" in run_over_tls(steps, authority=other.file)["reason"]
        # It is somebody, but not whom this name is for.
        assert "mismatch" in run_over_tls(steps, serverName="elsewhere.example")["reason"]
        stranger = other.issue("stranger")
        refusal = run_over_tls(steps, certificate=stranger)["reason"]
        assert "lost the agent" in refusal or "cannot reach the agent" in refusal, refusal


def test_prometheus_is_asked(run, shop, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("needs Debian's package prometheus")
    from test_prometheus import Prometheus

    def asking(query, criteria, value):
        return {"name": "query", "prometheus": {"url": f"http://127.0.0.1:{prometheus.port}", "query": query},
                "expect": {"criteria": criteria, "value": value}, "mode": "EOT"}  # fmt: skip

    prometheus = Prometheus(tmp_path, {shop.address: "shop"})
    shop.answer = lambda path: (200, "orders_open 7\n")
    try:
        wait_for(lambda: prometheus.is_ready() and prometheus.values("orders_open") == [7], 40)
        wait = {"name": "wait", "wait": "1ms"}
        for query, criteria, value, objection in [
            ('orders_open{node="shop"}', "==", 7, None),
            ("orders_open + 0.5", "between", [7, 8], None),
            ("scalar(orders_open)", ">", 7, "7, expected > 7"),
            ("orders_open > 100", "<=", 7, "the query finds nothing"),
            ("orders_open[1m]", "<=", 7, "not one value of each series"),
            ("orders_open{", "<=", 7, "parse error"),
        ]:
            result = run(experiment(wait, probes=[asking(query, criteria, value)]), code=1 if objection else 0)
            assert (objection or "") in probe(result, "query").get("message", ""), probe(result, "query")
    finally:
        prometheus.stop()


@pytest.mark.node
def test_pods_are_chosen_among_by_a_seed(run, agent, world):
    from node_world import Pod

    pods = [Pod(world.runtime, f"chosen-{number}", labels={"app": "chosen"}, container={"name": "app"}) for number in range(4)]
    try:
        target = {"pods": {"namespace": "shop", "labels": {"app": "chosen"}, "percent": 50}}
        plan = run(experiment(fault("stress", target)), command="plan")
        planned = {entry["containerID"] for entry in plan["steps"][0]["targets"]}
        assert len(planned) == 2
        result = run(experiment(fault("stress", target, sequence="serial", duration="2s")), "--seed", plan["seed"])
        assert {session["target"]["container"]["id"] for session in result["sessions"]} == planned
        first, second = result["sessions"]
        assert first["end"] <= second["begin"]
        # An earlier step says whom.
        names = script("find", "echo", json.dumps({"pod": "chosen-3"}), output="json")
        named = {"pod": {"namespace": "shop", "name": "${{ steps.find.output.pod }}"}}
        result = run(experiment(names, fault("stress", named, duration="1s")))
        assert result["sessions"][0]["target"]["container"]["id"] == pods[3].id
    finally:
        for pod in pods:
            pod.remove()


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come true in time")


CATALOGUE = ROOT / "daemonset/experiments/catalogue"


def in_node(why):
    return pytest.mark.skipif(not IN_NODE, reason=why)


@pytest.mark.parametrize(
    "name, inputs",
    [
        pytest.param("slow-dependency", {"hosts": ["localhost"]}, marks=in_node("this kernel may have no netem")),
        pytest.param("lost-dependency", {"hosts": ["localhost"]}, marks=in_node("this kernel may have no netem")),
        ("busy-cpu", {"load": 20, "ramp": "1s"}),
        pytest.param("short-of-memory", {"percent": 10, "ramp": "1s"}, marks=in_node("there is a limit of memory")),
        ("full-disk", {"path": "/tmp"}),
    ],
)
def test_the_catalogue_has_what_runs(run, agent, target, shop, name, inputs):
    document = yaml.safe_load((CATALOGUE / name / "1.0.0/experiment.yaml").read_text())
    inputs = inputs | {"target": target.selector, "url": shop.url, "duration": "3s"}
    if "path" in inputs:
        # A little more than there is: in the node the target's files are on the node's disk, here on one of their own.
        usage = shutil.disk_usage("/")
        inputs["percent"] = 100 * usage.used // usage.total + 3 if IN_NODE else 1
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in inputs.items()}
    result = run(document, *(word for key, text in texts.items() for word in ("--set", f"{key}={text}")))
    assert (result["verdict"], result["score"]) == ("Pass", 100), result
    assert result["sessions"] and all(session["revertVerified"] for session in result["sessions"])
    assert all(probe["runs"] for probe in result["probes"])
