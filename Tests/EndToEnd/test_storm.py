"""Sessions of every fault on several pods, beginning and ending at random, with an engine that is killed every few
seconds. SQUALL_STORM_SECONDS says for how long, SQUALL_STORM_SEED repeats one."""

import os
import random
import time

import pytest
from conftest import Node

from running_agent import all_processes, command_line

pytestmark = pytest.mark.node

SECONDS = int(os.environ.get("SQUALL_STORM_SECONDS", 60))
SEED = int(os.environ.get("SQUALL_STORM_SEED", time.time_ns() % 1_000_000))
MOST_SESSIONS = 10
# As many as an engine remembers of those that ended before it.
MOST_REMEMBERED = 200
FAULTS = {
    "cpu-stress": lambda r: {"load": r.randint(1, 10), "workers": 1},
    "memory-stress": lambda r: {"size": f"{r.randint(1, 16)}MiB", "ramp": r.choice(["0s", "1s"])},
    "disk-fill": lambda r: {"size": f"{r.randint(1, 32)}MiB", "visible": r.random() < 0.5},
    "network-latency": lambda r: {"latency": f"{r.randint(1, 50)}ms"},
}
LIVE = ("pending", "applying", "active", "reverting")


class Storm:
    def __init__(self, agent, pods):
        self.agent, self.pods = agent, pods
        self.random = random.Random(SEED)
        self.begun = []
        self.ended = self.kills = self.lost = 0
        self.reports = {}

    def persistently(self, request):
        """An answer, whatever becomes of the engine meanwhile."""
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = request()
                if answer.status != 503:
                    return answer
            except OSError:
                pass
            assert time.monotonic() < deadline, "no answer for 30 s"
            time.sleep(0.05)

    def begin(self):
        kind = self.random.choice(list(FAULTS))
        pod = self.random.choice(self.pods)
        tenant = self.agent.tenant
        # The same token again and again: one session, however often the answer is lost.
        token = tenant.token(
            "inject", fault=kind, parameters=FAULTS[kind](self.random), target=pod.selector,
            duration=f"{self.random.randint(2, 15)}s",
        )  # fmt: skip
        answer = self.persistently(lambda: tenant.call("POST", "/v1/sessions", token))
        if answer.status == 409 and answer.code == "replayed":
            # Taken in by an engine that died with the answer: its successor took the session back.
            self.lost += 1
        elif answer.status == 500 and answer.code == "apply-failed":
            raise AssertionError(f"{kind} could not be applied: {answer}")
        else:
            assert answer.status == 201, answer
            self.begun.append(answer.body["id"])

    def end(self, session):
        answer = self.persistently(lambda: self.agent.tenant.end(session))
        assert answer.status == 200 and answer.body["revertVerified"], answer
        self.ended += 1

    def live(self):
        reports = self.persistently(self.agent.tenant.list).body["sessions"]
        self.reports = {report["id"]: report for report in reports}
        return [report["id"] for report in reports if report["state"] in LIVE]

    def check_that_the_reports_are_true(self):
        """Every active session that has a worker has it, and no worker belongs to a session that is over."""
        reports = self.persistently(self.agent.tenant.list).body["sessions"]
        states = {report["id"]: report["state"] for report in reports}
        active = {report["id"] for report in reports if report["state"] == "active" and report["fault"] != "network-latency"}
        found = {words[1] for words in map(command_line, all_processes()) if words[:1] == ["squall-worker"]}
        again = {report["id"]: report["state"] for report in self.persistently(self.agent.tenant.list).body["sessions"]}
        missing = {session for session in active - found if again.get(session) == "active"}
        assert not missing, f"active without a worker: {missing}"
        over = {session for session in found if states.get(session) == "ended"}
        assert not over, f"over, and still at work: {over}"

    def run(self):
        until = time.monotonic() + SECONDS
        next_kill = time.monotonic() + 3
        while time.monotonic() < until:
            live = self.live()
            if len(live) < MOST_SESSIONS and self.random.random() < 0.7:
                self.begin()
            elif live:
                self.end(self.random.choice(live))
            if time.monotonic() > next_kill:
                self.agent.kill(self.agent.role("engine"))
                self.kills += 1
                next_kill = time.monotonic() + self.random.uniform(2, 5)
            else:
                self.check_that_the_reports_are_true()


def test_a_storm_leaves_nothing_and_is_told_truly(agent, target, world):
    print(f"seed {SEED}, {SECONDS} s")
    # The runtime keeps a removed pod's cgroup and log folder: they are there before and after.
    third = world.make_target()
    node = Node(agent)
    try:
        storm = Storm(agent, [target, world.peer, third])
        storm.run()
        agent.wait_until_ready()
        deadline = time.monotonic() + 40
        while storm.live() and time.monotonic() < deadline:
            time.sleep(0.5)
        print(f"{len(storm.begun)} sessions begun, {storm.ended} ended on request, {storm.lost} answers lost, {storm.kills} kills")
        assert not storm.live()
        assert storm.begun and storm.kills
        # Every one is remembered, across all those restarts, and says truly how it ended.
        for session in storm.begun[-MOST_REMEMBERED:]:
            report = storm.reports[session]
            assert report["state"] == "ended" and report["revertVerified"], report
            assert report["ending"] in ("expired", "cancelled", "recovered"), report
        assert node.differences() == [], f"seed {SEED}"
    finally:
        third.remove()
