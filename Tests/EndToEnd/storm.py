"""Sessions of every fault on several pods, beginning and ending at random, with an engine that is killed meanwhile."""

import random
import threading
import time
from pathlib import Path

from running_agent import all_processes, command_line

MOST_SESSIONS = 10
# As many as an engine remembers of those that ended before it.
MOST_REMEMBERED = 200
FAULTS = {
    "cpu-stress": lambda r: {"load": r.randint(1, 10), "workers": 1},
    "memory-stress": lambda r: {"size": f"{r.randint(1, 16)}MiB", "ramp": r.choice(["0s", "1s"])},
    "disk-fill": lambda r: {"size": f"{r.randint(1, 32)}MiB", "visible": r.random() < 0.5},
    "io-stress": lambda r: {"size": "1MiB", "direct": False, "readPercent": r.randint(0, 100)},
    "cpu-throttle": lambda r: {"percent": r.randint(50, 99)},
    "network-latency": lambda r: {"latency": f"{r.randint(1, 50)}ms"},
    "network-loss": lambda r: {"percent": r.randint(1, 20)},
    "network-reorder": lambda r: {"percent": r.randint(1, 50), "latency": f"{r.randint(1, 20)}ms"},
}
if Path("/sys/fs/cgroup/cgroup.controllers").exists():
    # A limit that hinders nobody much: what waits for memory ends late.
    FAULTS["io-throttle"] = lambda r: {"writeBytesPerSec": f"{r.randint(4, 64)}MiB"}
    FAULTS["memory-squeeze"] = lambda r: {"size": f"{r.randint(48, 96)}MiB"}
WITH_WORKERS = ("cpu-stress", "memory-stress", "disk-fill", "io-stress")
LIVE = ("pending", "applying", "active", "reverting")


class Storm:
    def __init__(self, agent, pods, seed, faults=FAULTS):
        """Of equal seeds the same sessions and pauses come; what the machine makes of them is another matter."""
        self.agent, self.pods, self.seed, self.faults = agent, pods, seed, faults
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.begun, self.failures, self.recoveries = [], [], []
        self.ended = self.kills = self.lost = self.most = 0
        # Sessions that their callers know to be live, now and at each kill.
        self.held, self.held_at_kills = set(), []
        self.reports = {}

    def persistently(self, request):
        """An answer, whatever becomes of the engine meanwhile."""
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = request()
                if answer.status != 503:
                    return answer
            except OSError:
                pass
            assert time.monotonic() < deadline, "no answer for two minutes"
            time.sleep(0.05)

    def begin(self, r):
        kind, pod, tenant = r.choice(list(self.faults)), r.choice(self.pods), self.agent.tenant
        # The same token again and again: one session, however often the answer is lost.
        claims = tenant.claims(
            "inject", fault=kind, parameters=self.faults[kind](r), target=pod.selector, duration=f"{r.randint(2, 15)}s"
        )
        token = tenant.sign(claims | {"exp": claims["iat"] + 60})
        answer = self.persistently(lambda: tenant.call("POST", "/v1/sessions", token))
        if answer.status == 409 and answer.code == "replayed":
            # Taken in by an engine that died with the answer: its successor took the session back.
            self.lost += 1
            session = answer.body.get("session")
        elif answer.code == "token-expired":
            # A busy machine was longer about it than a token lives.
            self.lost += 1
            session = None
        else:
            assert answer.status == 201, answer
            session = answer.body["id"]
        if session:
            self.begun.append(session)
        return session

    def end(self, session):
        answer = self.persistently(lambda: self.agent.tenant.end(session))
        if answer.status == 409 and answer.code == "replayed":
            # Taken by an engine that died with the answer, and offered to its successor by the gateway.
            self.lost += 1
            return
        assert answer.status == 200 and answer.body["revertVerified"], answer
        self.ended += 1

    def one_after_the_other(self, number):
        r = random.Random(f"{self.seed} {number}")
        try:
            while not self.over.is_set():
                session = self.begin(r)
                if session:
                    self.held.add(session)
                self.over.wait(r.uniform(0, 4))
                self.held.discard(session)
                if session and r.random() < 0.5:
                    self.end(session)
        except Exception as error:  # Told by the main thread.
            self.failures.append(error)

    def live(self):
        reports = self.persistently(self.agent.tenant.list).body["sessions"]
        self.reports = {report["id"]: report for report in reports}
        live = [report["id"] for report in reports if report["state"] in LIVE]
        self.most = max(self.most, len(live))
        return live

    def check_that_the_reports_are_true(self):
        """Every active session that has a worker has it, and no worker belongs to a session that is over."""
        self.live()
        states = {session: report["state"] for session, report in self.reports.items()}
        active = {
            session
            for session, report in self.reports.items()
            if report["state"] == "active" and report["fault"] in WITH_WORKERS
        }
        found = {words[1] for words in map(command_line, all_processes()) if words[:1] == ["squall-worker"]}
        self.live()
        missing = {session for session in active - found if self.reports[session]["state"] == "active"}
        assert not missing, f"active without a worker: {missing}"
        over = {session for session in found if states.get(session) == "ended"}
        assert not over, f"over, and still at work: {over}"

    def kill(self):
        """Kills the engine, and measures how long it takes until all is taken back and sessions are opened again."""
        begun = time.monotonic()
        self.held_at_kills.append(len(self.held))
        self.agent.kill_engine()
        # Their callers find that out.
        self.held.clear()
        self.agent.wait_until_ready()
        self.recoveries.append(time.monotonic() - begun)
        self.kills += 1

    def run(self, pause, is_over, each=lambda storm: None):
        """Kills the engine, with random pauses between (shortest, longest), until `is_over(storm)`."""
        threads = [threading.Thread(target=self.one_after_the_other, args=(each,)) for each in range(MOST_SESSIONS)]
        for thread in threads:
            thread.start()
        try:
            while not is_over(self) and not self.failures:
                time.sleep(self.random.uniform(*pause))
                each(self)
                self.kill()
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        assert not self.failures, self.failures

    def calm_down(self):
        """Waits until every session is over."""
        self.agent.wait_until_ready()
        deadline = time.monotonic() + 40
        while self.live():
            assert time.monotonic() < deadline, f"still live: {self.live()}"
            time.sleep(0.5)

    def check_how_all_ended(self):
        """Every session is remembered, across all those restarts, and says truly how it ended."""
        assert self.begun and self.kills
        for session in self.begun[-MOST_REMEMBERED:]:
            report = self.reports[session]
            assert report["state"] == "ended" and report["revertVerified"], report
            assert report["ending"] in ("expired", "cancelled", "recovered"), report

    def __str__(self):
        return (
            f"{len(self.begun)} sessions begun, at most {self.most} at once, {self.ended} ended on request, "
            f"{self.lost} answers lost, {self.kills} kills survived"
        )
