"""cpu-stress, measured at the target's cgroup."""

import time


def load(target, seconds=4):
    used, begun = target.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (target.cpu_seconds() - used) / (time.monotonic() - begun)


def about(asked):
    """Never noticeably more than asked; less when the machine has not that much to give. How exact it is on a quiet
    one, scripts/quickstart shows."""
    return Between(0.5 * asked, 1.1 * asked)


class Between:
    def __init__(self, low, high):
        self.low, self.high = low, high

    def __eq__(self, value):
        return self.low <= value <= self.high

    def __repr__(self):
        return f"{self.low} to {self.high}"


def test_it_burns_what_was_asked_and_ends_by_its_deadline(agent, target):
    before = target.processes()
    answer = agent.tenant.inject("cpu-stress", target.selector, {"load": 50, "workers": 1}, duration="6s")
    assert answer.status == 201, answer
    assert answer.body["state"] == "active"
    # Its own start is CPU time too: let it pass.
    time.sleep(1)
    assert load(target) == about(0.5)
    report = agent.tenant.wait_until_ended(answer.body["id"])
    assert (report["ending"], report["revertVerified"]) == ("expired", True)
    assert target.processes() == before
    assert load(target, 1) < 0.05


def test_two_sessions_on_one_target_add_up_and_end_in_any_order(agent, target):
    before = target.processes()
    first = agent.tenant.begin("cpu-stress", target.selector, {"load": 20, "workers": 1})
    second = agent.tenant.begin("cpu-stress", target.selector, {"load": 30, "workers": 1})
    assert load(target) == about(0.5)
    assert agent.tenant.end(first).body["revertVerified"]
    assert load(target) == about(0.3)
    assert agent.tenant.end(second).body["revertVerified"]
    assert target.processes() == before


def test_the_worker_is_nobody_and_can_do_nothing(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 10, "workers": 1})
    (worker,) = agent.workers(session)
    status = agent.process_status(worker)
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["65534"] * 4
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0
    assert status["NoNewPrivs"] == "1"
    agent.tenant.end(session)


def test_a_worker_that_is_killed_ends_its_session_truthfully(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 10, "workers": 1})
    (worker,) = agent.workers(session)
    agent.kill(worker)
    report = agent.tenant.wait_until_ended(session)
    assert report["ending"] == "fault-ended"
    assert any(event["kind"] == "worker-ended" for event in agent.tenant.events(session))


def test_a_lease_that_is_not_renewed_ends_the_session(agent, target):
    session = agent.tenant.begin(
        "cpu-stress", target.selector, {"load": 10, "workers": 1}, duration="30s", lease="2s"
    )
    for _ in range(3):
        time.sleep(1)
        assert agent.tenant.renew(session).status == 200
    assert agent.tenant.read(session).body["state"] == "active"
    assert agent.tenant.wait_until_ended(session, 5)["ending"] == "lease-lapsed"


def test_the_targets_end_ends_the_session(agent, mortal_target):
    session = agent.tenant.begin("cpu-stress", mortal_target.selector, {"load": 10, "workers": 1})
    mortal_target.kill()
    report = agent.tenant.wait_until_ended(session)
    assert report["ending"] == "target-gone"
    assert report["revertVerified"]


def test_a_cgroup_is_a_target(agent, host_target):
    session = agent.tenant.begin("cpu-stress", host_target.cgroup_selector, {"load": 30, "workers": 1}, duration="6s")
    assert load(host_target) == about(0.3)
    agent.tenant.end(session)


def test_a_cgroup_with_a_worker_of_ours_is_still_a_target(agent, host_target):
    """A worker is in the agent's network namespace: it must not be taken for a process of the target."""
    selector, stress = host_target.cgroup_selector, {"load": 10, "workers": 1}
    first = agent.tenant.inject("cpu-stress", selector, stress).body
    second = agent.tenant.inject("cpu-stress", selector, stress)
    assert second.status == 201, second
    assert second.body["target"] == first["target"]


def test_a_process_is_a_target(agent, host_target):
    session = agent.tenant.begin("cpu-stress", host_target.process_selector, {"load": 30, "workers": 1}, duration="6s")
    assert agent.tenant.end(session).body["revertVerified"]
