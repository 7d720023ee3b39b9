"""What the program `squall` does, seen from outside: arguments in; text, documents, exit codes and requests out."""

import json
import os
import signal
import stat
import time

import pytest
from conftest import ROOT
from fakes import NODE, SESSION, claims, event, problem, report

CONTAINER = "c" * 64
INJECT = ["inject", "cpu-stress", "load=50", "workers=1", "--container", CONTAINER]
RESTORED = {"outcome": "restored"}
ENDED = report("ended", "expired", RESTORED)


def documents(text):
    return [json.loads(line) for line in text.splitlines()]


def of_session(path=""):
    return f"/v1/sessions/{SESSION}{path}"


class TestInject:
    def test_signs_what_the_command_line_says(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report())
        words = [*INJECT, *key, "--duration", "1m30s", "--lease", "20s", "--reason", "why not"]
        assert cli.run(*words).returncode == 0
        (said,) = gateway.asked("POST /v1/sessions")
        assert 0 < said.pop("exp") - said.pop("iat") <= 60
        assert said.pop("jti")
        assert said == {
            "iss": "shop", "aud": "node-1", "op": "inject", "fault": "cpu-stress",
            "parameters": {"load": 50, "workers": 1}, "target": {"container": CONTAINER},
            "duration": "1m30s", "lease": "20s", "reason": "why not",
        }

    def test_asks_for_a_session_that_follows_its_container(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report() | {"onRestart": "reinject"})
        result = cli.run(*INJECT, *key, "--on-restart", "reinject")
        assert gateway.asked("POST /v1/sessions")[0]["onRestart"] == "reinject"
        assert "on restart  reinject\n" in result.stdout

    def test_reports_the_session_in_words(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report())
        result = cli.run(*INJECT, *key)
        assert result.stdout.splitlines() == [
            f"session   {SESSION}",
            "state     active, 30s left",
            "what      cpu-stress: burn 50% of a CPU",
            "target    container web of pod shop/web-1",
            "tenant    shop",
            "duration  30s",
            "opened    2023-11-14 22:13:20 UTC",
            "steps",
            "  run a worker  in effect",
        ]

    def test_says_what_the_fault_achieves(self, cli, gateway, key):
        told = report()
        told["steps"][0]["effect"] = {"summary": "used 1.5 s of CPU time", "cpuSeconds": 1.5}
        gateway.answers["POST /v1/sessions"] = (201, told)
        assert cli.run(*INJECT, *key).stdout.splitlines()[-2:] == [
            "  run a worker              in effect",
            "    used 1.5 s of CPU time",
        ]

    def test_prints_the_apis_own_document_as_json(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report())
        assert documents(cli.run(*INJECT, *key, "--output", "json").stdout) == [report()]

    def test_types_parameters_as_the_catalogue_says(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report())
        cli.run("inject", "network-latency", "latency=100ms", "jitter=20ms", "correlation=12.5%",
                "--container", CONTAINER, *key)
        (said,) = gateway.asked("POST /v1/sessions")
        assert said["parameters"] == {"latency": "100ms", "jitter": "20ms", "correlation": 12.5}

    def test_names_a_process_by_its_start_time(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report())
        with open("/proc/self/stat") as file:
            start = int(file.read().rpartition(")")[2].split()[19])
        cli.run("inject", "cpu-stress", "--pid", str(os.getpid()), *key)
        cli.run("inject", "cpu-stress", "--pid", "4711", "--start-time", "99", *key)
        assert [said["target"] for said in gateway.asked("POST /v1/sessions")] == [
            {"process": {"pid": os.getpid(), "startTime": start}}, {"process": {"pid": 4711, "startTime": 99}}]

    @pytest.mark.parametrize("words, field", [
        (["inject", "cpu-stress", "load=200", "--container", CONTAINER], "parameters.load"),
        (["inject", "cpu-stress", "load=much", "--container", CONTAINER], "parameters.load"),
        (["inject", "cpu-stress", "lood=20", "--container", CONTAINER], "parameters.lood"),
        (["inject", "cpu-stress", "load=1", "load=2", "--container", CONTAINER], "parameters.load"),
        (["inject", "cpu-stress", "load", "--container", CONTAINER], "parameters"),
        (["inject", "earthquake", "--container", CONTAINER], "fault"),
        (["inject", "cpu-stress", "--container", "../x"], "target.container"),
        (["inject", "cpu-stress", "--cgroup", "/a/../b"], "target.cgroup"),
        (["inject", "cpu-stress", "--pod", "web-0"], "target.pod.namespace"),
        (["inject", "cpu-stress", "--namespace", "shop"], "target.pod"),
        (["inject", "cpu-stress", "--namespace", "shop", "--pod", "web/0"], "target.pod.name"),
        (["inject", "cpu-stress", "--namespace", "shop", "--selector", "app"], "target.pod.labels"),
        (["inject", "cpu-stress", "--namespace", "shop", "--selector", "a=b,a=c"], "target.pod.labels"),
        (["inject", "cpu-stress", "--namespace", "shop", "--pod", "web-0", "--container", CONTAINER], "target"),
    ])
    def test_refuses_what_cannot_be_without_asking_the_agent(self, cli, key, words, field):
        result = cli.run(*words, *key)
        assert result.returncode == 2
        assert result.stderr.startswith("squall: error: ")
        assert f"\n  field: {field}\n" in result.stderr

    @pytest.mark.parametrize("target", [[], ["--container", CONTAINER, "--pid", "4711"], ["--start-time", "5"]])
    def test_needs_exactly_one_target(self, cli, key, target):
        result = cli.run("inject", "cpu-stress", *target, *key)
        assert result.returncode == 2
        assert result.stderr.startswith("squall: error: ")

    @pytest.mark.parametrize("status, code, expected", [
        (400, "request-malformed", 2), (422, "field-invalid", 2), (401, "key-unknown", 3), (403, "target-refused", 3),
        (404, "target-not-found", 5), (410, "target-gone", 5), (429, "limit-exceeded", 6), (503, "draining", 6),
        (500, "apply-failed", 1),
    ])
    def test_tells_a_refusal_and_its_kind_by_the_exit_code(self, cli, gateway, key, status, code, expected):
        refusal = problem(status, code, "it will not do", field="target", hint="think again")
        gateway.answers["POST /v1/sessions"] = refusal
        result = cli.run(*INJECT, *key)
        assert result.returncode == expected
        assert result.stderr == "squall: error: it will not do\n  field: target\n  hint: think again\n"
        result = cli.run(*INJECT, *key, "--output", "json")
        assert (result.stdout, documents(result.stderr)) == ("", [refusal[1]])

    def test_says_that_nobody_is_there(self, cli, key):
        result = cli.run(*INJECT, *key)
        assert result.returncode == 4
        assert "cannot reach the agent" in result.stderr and "\n  hint: " in result.stderr

    def test_asks_again_with_the_same_token_when_the_answer_is_lost(self, cli, gateway, key):
        answers = iter([None, problem(409, "replayed", "used before", session=SESSION)])
        gateway.answers["POST /v1/sessions"] = lambda: next(answers)
        gateway.answers[f"GET {of_session()}"] = (200, report())
        result = cli.run(*INJECT, *key, "--output", "json")
        assert (result.returncode, documents(result.stdout)) == (0, [report()])
        first, second = gateway.asked("POST /v1/sessions")
        assert first == second

    def test_takes_tenant_and_node_from_the_environment(self, cli, gateway, key):
        gateway.answers["POST /v1/sessions"] = (201, report())
        cli.environment |= {"SQUALL_TENANT": "other", "SQUALL_NODE": "node-9"}
        cli.run(*INJECT, *key)
        (said,) = gateway.asked("POST /v1/sessions")
        assert (said["iss"], said["aud"]) == ("other", "node-9")
        assert gateway.asked("GET /v1/node/name") == []

    def test_does_not_wait_for_what_the_node_can_do(self, cli, gateway, key):
        """The node's report asks the container runtime, which may hang; the node's name is all that is needed."""
        gateway.answers["POST /v1/sessions"] = (201, report())
        assert cli.run(*INJECT, *key).returncode == 0
        assert [asked for asked, _ in gateway.requests] == ["GET /v1/node/name", "POST /v1/sessions"]


class TestDryRun:
    PLAN = {
        "fault": "cpu-stress", "summary": "burn 50% of a CPU", "parameters": {"load": 50, "workers": 1},
        "target": {**report()["target"], "process": {"pid": 4711, "startTime": 99}},
        "duration": "30s", "steps": ["run a worker", "do more"], "reach": "container",
    }

    def test_says_the_plan_as_a_person_would(self, cli, gateway, key):
        gateway.answers["POST /v1/plans"] = (200, self.PLAN)
        result = cli.run(*INJECT, *key, "--dry-run")
        assert result.stdout.splitlines() == [
            "Would burn 50% of a CPU",
            "  hits       container web of pod shop/web-1",
            "             process 4711, cgroup /kubepods/web",
            "  with       load=50 workers=1",
            "  changes    1. run a worker",
            "             2. do more",
            "  lasts      30s",
            "  ends       by itself after 30s",
            "             earlier, on request, when the target ends, or when the agent stops or dies",
            "  undone     the changes are taken back in reverse order, and what the kernel then has is read back and reported",
            "  take back  squall session revert ID --key shop.key.jwk, or as root on the node without a key",
            "  touches    the processes of this container or cgroup",
            "  leaves     other containers and units, and the node itself",
            "Nothing has been changed.",
        ]
        assert gateway.asked("POST /v1/plans")[0]["op"] == "plan"
        assert gateway.asked("POST /v1/sessions") == []

    def test_says_what_a_lease_and_waiting_would_change(self, cli, gateway, key):
        gateway.answers["POST /v1/plans"] = (200, self.PLAN)
        text = cli.run(*INJECT, *key, "--dry-run", "--wait", "--lease", "5s").stdout
        assert "earlier, when nobody has renewed its lease for 5s; this program would\n" in text
        assert "earlier, when this program is interrupted\n" in text

    def test_says_what_becomes_of_a_restart(self, cli, gateway, key):
        gateway.answers["POST /v1/plans"] = (200, self.PLAN)
        text = cli.run(*INJECT, *key, "--dry-run", "--on-restart", "reinject").stdout
        assert "when the target ends" not in text
        assert "not with the target: when that is started again, the fault is injected again\n" in text

    def test_tells_the_reach_of_a_fault_on_the_network(self, cli, gateway, key):
        gateway.answers["POST /v1/plans"] = (200, self.PLAN | {"fault": "network-latency", "steps": ["delay egress"], "reach": "pod"})
        text = cli.run("inject", "network-latency", "--container", CONTAINER, *key, "--dry-run").stdout
        assert "  changes    1. delay egress\n" in text
        assert "  undone     the change is taken back," in text
        assert "  touches    every container of the pod: they share one network namespace\n" in text
        assert "  leaves     all other pods, and the node's own network\n" in text

    def test_tells_what_is_to_be_known_before(self, cli, gateway, key):
        notes = ["memory will run out", "the target may be killed"]
        gateway.answers["POST /v1/plans"] = (200, self.PLAN | {"notes": notes})
        text = cli.run(*INJECT, *key, "--dry-run").stdout
        assert "\n  note       memory will run out\n             the target may be killed\n" in text


class TestWait:
    def script(self, gateway, events, final=ENDED):
        gateway.answers["POST /v1/sessions"] = (201, report())
        gateway.answers[f"GET {of_session('/events')}"] = events
        gateway.answers[f"GET {of_session()}"] = (200, final)
        gateway.answers[f"POST {of_session('/lease')}"] = (200, report())

    def test_prints_each_event_and_how_it_ended(self, cli, gateway, key):
        self.script(gateway, [event(0, "opened", "burn"), event(1, "ended", "expired")])
        result = cli.run(*INJECT, *key, "--wait")
        assert result.returncode == 0
        assert result.stdout.splitlines()[:2] == ["   0.000s  opened: burn", "   0.100s  ended: expired"]
        assert "state     ended: expired, and every change is undone and verified" in result.stdout
        assert "  run a worker  restored" in result.stdout

    def test_prints_report_events_and_last_report_as_json(self, cli, gateway, key):
        events = [event(0, "opened", "burn"), event(1, "ended", "expired")]
        self.script(gateway, events)
        result = cli.run(*INJECT, *key, "--wait", "--output", "json")
        assert documents(result.stdout) == [report(), *events, ENDED]

    def test_a_target_that_was_to_end_and_has_ended_is_as_asked(self, cli, gateway, key):
        final = report("ended", "completed", {"outcome": "irreversible"})
        self.script(gateway, [event(0, "opened", "stop"), event(1, "ended", "it has done all that it was to")], final)
        result = cli.run(*INJECT, *key, "--wait")
        assert result.returncode == 0
        expected = "state     ended: completed; what it did cannot be taken back, and nothing else is left"
        assert expected in result.stdout

    @pytest.mark.parametrize("final", [
        report("ended", "fault-ended", RESTORED), report("ended", "cancelled", RESTORED),
        report("ended", "target-gone", {"outcome": "irreversible"}),
        report("ended", "expired", {"outcome": "drifted", "found": "else"}), report("stuck"),
    ])
    def test_exits_with_1_when_it_did_not_go_as_asked(self, cli, gateway, key, final):
        self.script(gateway, [event(0, "opened", "burn")], final)
        assert cli.run(*INJECT, *key, "--wait").returncode == 1

    def test_renews_the_lease_at_a_third_of_its_length(self, cli, gateway, key):
        self.script(gateway, [event(0, "opened", "burn"), 2.5, event(1, "ended", "expired")])
        cli.run(*INJECT, *key, "--wait", "--lease", "3s")
        renewals = gateway.asked(f"POST {of_session('/lease')}")
        assert len(renewals) == 2
        assert all((said["op"], said["session"]) == ("renew", SESSION) for said in renewals)

    def test_asks_for_a_lease_where_the_session_is_longer_than_one(self, cli, gateway, key):
        self.script(gateway, [event(0, "opened", "burn")])
        cli.run(*INJECT, *key, "--wait")
        cli.run(*INJECT, *key, "--wait", "--duration", "10s")
        assert [said.get("lease") for said in gateway.asked("POST /v1/sessions")] == ["15s", None]

    def test_outlives_a_broken_stream_and_repeats_no_event(self, cli, gateway, key):
        first, last = event(0, "opened", "burn"), event(1, "ended", "expired")
        streams = iter([[first, None], [first, last]])
        self.script(gateway, lambda: next(streams))
        result = cli.run(*INJECT, *key, "--wait", "--output", "json")
        assert result.returncode == 0
        assert documents(result.stdout) == [report(), first, last, ENDED]

    def test_shows_what_an_agent_that_was_restarted_counts_anew(self, cli, gateway, key):
        before = [event(0, "opened", "burn"), event(1, "active", "in effect")]
        after = [{**event(0, "recovering", "taken back"), "offsetSeconds": 5.0}]
        streams = iter([[*before, None], problem(503, "engine-unavailable", "away"), after])
        self.script(gateway, lambda: next(streams), report("ended", "recovered", RESTORED))
        result = cli.run(*INJECT, *key, "--wait", "--output", "json")
        assert result.returncode == 1
        assert documents(result.stdout)[1:-1] == [*before, *after]

    def test_leaves_a_stuck_session_to_the_agent(self, cli, gateway, key):
        self.script(gateway, [event(0, "opened", "burn"), event(1, "undo-failed", "no"), 20.0], report("stuck"))
        result = cli.run(*INJECT, *key, "--wait")
        assert result.returncode == 1
        assert "state     stuck" in result.stdout

    def test_says_that_the_session_reverts_by_itself_when_the_agent_cannot_be_told(self, cli, gateway, key):
        self.script(gateway, [event(0, "opened", "burn"), 20.0])
        gateway.answers[f"DELETE {of_session()}"] = problem(503, "engine-unavailable", "away")
        process = cli.start(*INJECT, *key, "--wait")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert process.returncode == 6
        assert "reverts by itself" in err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_reverts_the_session_when_interrupted(self, cli, gateway, key, number):
        self.script(gateway, [event(0, "opened", "burn"), 20.0])
        gateway.answers[f"DELETE {of_session()}"] = (200, report("ended", "cancelled", RESTORED))
        process = cli.start(*INJECT, *key, "--wait")
        assert process.stdout.readline() == "   0.000s  opened: burn\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 130
        assert f"interrupted: reverting session {SESSION}" in err
        assert "ended: cancelled, and every change is undone and verified" in out
        (said,) = gateway.asked(f"DELETE {of_session()}")
        assert (said["op"], said["session"]) == ("end", SESSION)

    def test_a_second_signal_ends_the_program_at_once(self, cli, gateway, key):
        self.script(gateway, [event(0, "opened", "burn"), 20.0])

        def hang():
            time.sleep(20)

        gateway.answers[f"DELETE {of_session()}"] = hang
        process = cli.start(*INJECT, *key, "--wait")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "reverting" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == 130
        process.communicate()


class TestSessions:
    def test_lists_as_tenant(self, cli, gateway, key):
        gateway.answers["GET /v1/sessions"] = (200, {"sessions": [report(), ENDED]})
        result = cli.run("session", "list", *key)
        assert result.stdout.splitlines() == [
            "ID                  STATE   LEFT  FAULT       TENANT  ENDING   TARGET",
            f"{SESSION}  active  30s   cpu-stress  shop    -        container web of pod shop/web-1",
            f"{SESSION}  ended   -     cpu-stress  shop    expired  container web of pod shop/web-1",
        ]

    def test_tells_of_groups_where_there_are_some(self, cli, gateway, key):
        gateway.answers["GET /v1/sessions"] = (200, {"sessions": [report() | {"group": "g-0123456789abcdef"}, ENDED]})
        lines = cli.run("session", "list", *key).stdout.splitlines()
        assert [line.split()[6] for line in lines] == ["GROUP", "g-0123456789abcdef", "-"]

    def test_lists_as_operator_where_the_engine_is(self, cli, engine):
        engine.answers["list"] = (200, {"sessions": []})
        result = cli.run("session", "list")
        assert (result.returncode, result.stdout) == (0, "no sessions\n")
        assert engine.commands == [{"command": "list"}]

    def test_watches_as_operator(self, cli, engine):
        engine.answers |= {"show": (200, ENDED), "events": [event(0, "opened", "burn"), event(1, "ended", "expired")]}
        result = cli.run("session", "watch", SESSION, "--output", "json")
        assert result.returncode == 0
        assert documents(result.stdout) == [*engine.answers["events"], ENDED]

    def test_leaves_a_watched_session_alone_when_interrupted(self, cli, gateway, key):
        gateway.answers[f"GET {of_session()}"] = (200, report())
        gateway.answers[f"GET {of_session('/events')}"] = [event(0, "opened", "burn"), 20.0]
        process = cli.start("session", "watch", SESSION, *key)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert (process.returncode, "goes on" in err) == (130, True)
        assert gateway.asked(f"DELETE {of_session()}") == []

    def test_reverts_as_operator_and_says_what_was_found(self, cli, engine):
        engine.answers["revert"] = (200, report("ended", "cancelled", {"outcome": "drifted", "found": "tbf"}))
        result = cli.run("session", "revert", SESSION)
        assert result.returncode == 1
        assert "  run a worker  drifted: tbf" in result.stdout
        assert engine.commands == [{"command": "revert", "session": SESSION}]

    def test_tells_that_there_is_no_such_session(self, cli, gateway, key):
        gateway.answers[f"GET {of_session()}"] = problem(404, "session-not-found", "there is no such session")
        assert cli.run("session", "show", SESSION, *key).returncode == 5
        assert cli.run("session", "show", "nonsense", *key).returncode == 2

    def test_needs_a_key_where_there_is_no_engine(self, cli, gateway):
        result = cli.run("session", "list")
        assert result.returncode == 2
        assert "give --key" in result.stderr


class TestTarget:
    REPORT = {
        "target": {**report()["target"], "process": {"pid": 4711, "startTime": 99},
                   "network": {"inode": "4026532890", "cookie": "12289"}},
        "cpus": 2, "hostNetwork": False, "frozen": False, "memoryLimit": 256 << 20,
        "sessions": [{"shares": ["cgroup", "network"], "session": report()}],
    }

    def test_shows_what_the_agent_knows(self, cli, engine):
        engine.answers["target"] = (200, self.REPORT)
        result = cli.run("target", "show", "--container", f"containerd://{CONTAINER}")
        assert result.returncode == 0
        assert result.stdout.splitlines() == [
            "target     container web of pod shop/web-1",
            f"container  {CONTAINER}",
            "pod        uid u",
            "process    4711, start time 99",
            "network    its own or its pod's, inode 4026532890, cookie 12289",
            "cgroup     /kubepods/web, id 7",
            "CPUs       2",
            "memory     at most 256 MiB",
            "sessions",
            "  ID                  STATE   LEFT  FAULT       TENANT  SHARES           TARGET",
            f"  {SESSION}  active  30s   cpu-stress  shop    cgroup, network  container web of pod shop/web-1",
        ]
        assert engine.commands == [{"command": "target", "target": {"container": CONTAINER}}]

    def test_warns_of_the_nodes_own_network_and_of_a_frozen_target(self, cli, engine):
        engine.answers["target"] = (
            200, self.REPORT | {"hostNetwork": True, "frozen": True, "memoryLimit": None, "sessions": []})
        text = cli.run("target", "show", "--cgroup", "/kubepods/web").stdout
        assert "the node's own, inode 4026532890: network faults hit what the target's own cgroup sends" in text
        assert "frozen     yes" in text
        assert "memory     no limit" in text
        assert "sessions  none live" in text

    def test_prints_the_agents_own_document_as_json(self, cli, engine):
        engine.answers["target"] = (200, self.REPORT)
        assert documents(cli.run("target", "show", "--pid", "4711", "--start-time", "99", "--output", "json").stdout) == [
            self.REPORT]
        assert engine.commands[-1]["target"] == {"process": {"pid": 4711, "startTime": 99}}

    def test_tells_why_there_is_no_such_target(self, cli, engine):
        engine.answers["target"] = problem(404, "target-not-found", "there is no such cgroup", field="target")
        result = cli.run("target", "show", "--cgroup", "/kubepods/web")
        assert result.returncode == 5
        assert result.stderr == "squall: error: there is no such cgroup\n  field: target\n"

    def test_needs_exactly_one_target(self, cli):
        assert cli.run("target", "show").returncode == 2

    def test_is_for_operators(self, cli, as_nobody):
        result = cli.run("target", "show", "--cgroup", "/kubepods/web", prefix=as_nobody)
        assert result.returncode == 3
        assert "this is not root" in result.stderr and "\n  hint: run this as root" in result.stderr


class TestDoctor:
    def test_finds_nothing_where_everything_works(self, cli, gateway):
        result = cli.run("doctor")
        assert result.returncode == 0
        assert result.stdout.startswith("node node-1  kernel 6.12.0, agent 0.1.0, cgroups v2\n\nCHECK ")
        assert " missing " not in result.stdout

    def test_says_what_does_not_work_why_and_what_to_do(self, cli, gateway):
        feature = {"name": "traffic-shaping", "works": False, "reason": "no netem", "remedy": "load sch_netem"}
        gateway.answers["GET /v1/node"] = (200, NODE | {"features": [feature]})
        gateway.answers["GET /readyz"] = (503, {"ready": False, "reasons": ["the agent is stopping"]})
        result = cli.run("doctor")
        assert result.returncode == 1
        lines = result.stdout.splitlines()
        row = next(index for index, line in enumerate(lines) if line.startswith("traffic-shaping"))
        assert lines[row].split(maxsplit=2)[1:] == ["missing", "no netem"]
        assert lines[row + 1].strip() == "→ load sch_netem"
        assert "the agent is stopping" in result.stdout

    @pytest.mark.parametrize("node, check, state, why", [
        ({"capabilities": {"needed": ["cap_net_admin", "cap_kill"], "missing": ["cap_kill"]}}, "capabilities",
         "warning", "the engine lacks cap_kill"),
        ({"journal": {"path": "/var/lib/squall/journal", "problem": "open journal: Read-only file system"}}, "journal",
         "missing", "open journal: Read-only file system"),
    ])
    def test_finds_what_the_engine_lacks(self, cli, gateway, node, check, state, why):
        def checks():
            result = cli.run("doctor", "--output", "json")
            return result.returncode, {found["check"]: found for found in documents(result.stdout)[1]["checks"]}

        code, found = checks()
        assert (code, found[check]["state"]) == (0, "ok")
        gateway.answers["GET /v1/node"] = (200, NODE | node)
        code, found = checks()
        assert (code, found[check]["state"], found[check]["why"]) == (int(state == "missing"), state, why)
        assert found[check]["remedy"]

    def test_warns_without_failing_where_there_is_no_runtime(self, cli, gateway):
        gateway.answers["GET /v1/node"] = (200, NODE | {"runtimes": [{"socket": "/run/x.sock"}]})
        result = cli.run("doctor", "--output", "json")
        assert result.returncode == 0
        node, found = documents(result.stdout)
        assert node["name"] == "node-1"
        warnings = [check["why"] for check in found["checks"] if check["state"] == "warning"]
        assert warnings == ["no socket at /run/x.sock"]

    def test_reports_an_agent_that_is_not_there(self, cli):
        result = cli.run("doctor")
        assert result.returncode == 1
        assert "cannot reach the agent" in result.stdout

    def test_copes_with_an_agent_that_says_little(self, cli, gateway):
        gateway.answers["GET /v1/node"] = (200, {})
        assert cli.run("doctor").returncode == 0

    def test_looks_for_the_agents_processes_on_the_node(self, cli, gateway, engine):
        result = cli.run("doctor")
        assert [line.split()[0] for line in result.stdout.splitlines() if line.startswith("squall")] == [
            "squalld", "squall-gateway", "squall-runtimes"]

    def test_looks_at_the_clock_and_for_a_datapath_that_it_knows(self, cli, gateway, engine):
        _, found = documents(cli.run("doctor", "--output", "json").stdout)
        states = {check["check"]: check["state"] for check in found["checks"]}
        # Whether anybody keeps this machine's clock right is not the test's to say.
        assert states["clock"] in ("ok", "warning") and states["datapath"] == "ok" and states["cgroups"] == "ok"


class TestKeygen:
    @pytest.mark.parametrize("algorithm, curve", [("EdDSA", "Ed25519"), ("ES256", "P-256")])
    def test_makes_a_pair_that_only_its_owner_can_read(self, cli, algorithm, curve):
        result = cli.run("keygen", "--tenant", "shop", "--algorithm", algorithm, connect=False)
        assert result.returncode == 0
        private = cli.directory / "shop.key.jwk"
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        secret = json.loads(private.read_text())
        (public,) = json.loads((cli.directory / "shop.jwks.json").read_text())["keys"]
        assert public["crv"] == curve
        assert public == {name: value for name, value in secret.items() if name != "d"}
        assert "/etc/squall/tenants/" in result.stdout

    def test_replaces_nothing_unless_told(self, cli, key):
        before = (cli.directory / "shop.key.jwk").read_text()
        assert cli.run("keygen", "--tenant", "shop", connect=False).returncode == 2
        assert (cli.directory / "shop.key.jwk").read_text() == before
        assert cli.run("keygen", "--tenant", "shop", "--force", connect=False).returncode == 0
        assert (cli.directory / "shop.key.jwk").read_text() != before

    def test_refuses_a_tenant_that_cannot_be(self, cli):
        assert cli.run("keygen", "--tenant", "../x", connect=False).returncode == 2


class TestToken:
    @pytest.mark.parametrize("words, said", [
        (["plan", "cpu-stress", "--container", CONTAINER], {"op": "plan", "fault": "cpu-stress"}),
        (["inject", "cpu-stress", "--container", CONTAINER], {"op": "inject", "duration": "30s"}),
        (["plan", "cpu-stress", "--namespace", "shop", "--pod", "web-0", "--container-name", "app"],
         {"target": {"pod": {"namespace": "shop", "name": "web-0", "container": "app"}}}),
        (["plan", "cpu-stress", "--namespace", "shop", "--pod-uid", "u-1"],
         {"target": {"pod": {"namespace": "shop", "uid": "u-1"}}}),
        (["plan", "cpu-stress", "--namespace", "shop", "--selector", "app=web,example.org/tier="],
         {"target": {"pod": {"namespace": "shop", "labels": {"app": "web", "example.org/tier": ""}}}}),
        (["inject", "cpu-stress", "--namespace", "shop", "--pod", "web-0", "--on-restart", "reinject"],
         {"onRestart": "reinject"}),
        (["inject", "cpu-stress", "--process", "redis-server"], {"target": {"process": {"name": "redis-server"}}}),
        (["plan", "cpu-stress", "--process", "redis-server", "--user", "redis"],
         {"target": {"process": {"name": "redis-server", "user": "redis"}}}),
        (["read"], {"op": "read"}),
        (["read", "--session", SESSION], {"op": "read", "session": SESSION}),
        (["renew", "--session", SESSION], {"op": "renew", "session": SESSION}),
        (["end", "--session", SESSION], {"op": "end", "session": SESSION}),
    ])
    def test_prints_a_token_without_any_agent(self, cli, key, words, said):
        result = cli.run("token", *words, *key, "--node", "node-1")
        assert result.returncode == 0
        assert claims(result.stdout.strip()).items() >= said.items()


class TestFaults:
    def test_lists_what_works_here(self, cli, gateway):
        faults = [{"kind": "network-latency", "works": False, "reason": "no netem"}]
        gateway.answers["GET /v1/node"] = (200, NODE | {"faults": faults})
        result = cli.run("fault", "list")
        listed = {line.split()[0]: line.split()[1:3] for line in result.stdout.splitlines()[1:]}
        assert listed["network-latency"] == ["pod", "no"]
        assert listed["cpu-stress"] == ["container", "?"]
        assert "network-latency does not work here: no netem" in result.stderr

    def test_lists_the_catalogue_where_no_agent_is(self, cli):
        result = cli.run("fault", "list")
        kinds = [json.loads(line)["kind"] for line in cli.run("fault", "list", "--output", "json").stdout.splitlines()]
        assert result.returncode == 0
        assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == kinds
        assert {"cpu-stress", "network-latency"} <= set(kinds)

    def test_shows_every_example_as_a_command_that_is_accepted(self, cli, gateway, key):
        gateway.answers["POST /v1/plans"] = (200, {})
        for fault in documents(cli.run("fault", "list", "--output", "json").stdout):
            text = cli.run("fault", "show", fault["kind"]).stdout
            examples = [line.split()[1:] for line in text.splitlines() if line.strip().startswith("squall inject")]
            assert len(examples) == len(fault["examples"])
            for words in examples:
                words = [{"ID": CONTAINER, "FILE": "shop.key.jwk"}.get(word, word) for word in words]
                assert cli.run(*words, "--dry-run").returncode == 0


class TestProgram:
    @pytest.mark.parametrize("words, code", [
        (["--version"], 0), (["version"], 0), (["--help"], 0), (["help", "exit-codes"], 0), (["nonsense"], 2),
        (["inject"], 2),
        (["session", "list", "--output", "xml"], 2),
    ])
    def test_exit_codes_of_the_command_line_itself(self, cli, words, code):
        result = cli.run(*words, connect=False)
        assert result.returncode == code
        assert bool(result.stdout) == (code == 0)

    def test_says_the_agents_own_version(self, cli):
        said = cli.run("--version", connect=False).stdout
        assert said == cli.run("version", connect=False).stdout
        (document,) = documents(cli.run("version", "--output", "json", connect=False).stdout)
        assert said == f"squall {document['version']}\n"
        source = (ROOT / "Sources/Agent/AgentAPI/Version.swift").read_text()
        assert f'agentVersion = "{document["version"]}"' in source

    def test_documents_every_exit_code(self, cli):
        codes = [line.split()[0] for line in cli.run("exit-codes", connect=False).stdout.splitlines()[1:]]
        assert codes == ["0", "1", "2", "3", "4", "5", "6", "7", "75", "130"]

    @pytest.mark.parametrize("words, coloured", [
        ([], False), (["--color", "always"], True), (["--color", "never"], False)])
    def test_colours_only_where_wanted(self, cli, gateway, words, coloured):
        assert ("\x1b[" in cli.run("doctor", *words).stdout) == coloured
