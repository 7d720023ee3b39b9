"""Several pods at once: one request, a session on each that is chosen, all of them or none."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROGRAMS

pytestmark = pytest.mark.node

CGROUPS = "/sys/fs/cgroup"
STRESS = {"load": 30, "workers": 1}
LATENCY = {"latency": "40ms"}


@pytest.fixture(scope="module")
def pods(world):
    # Elsewhere there is nothing to ask a runtime with.
    from node_world import Pod

    made = [
        Pod(world.runtime, f"cart-{number}", labels={"app": "cart"}, container={"name": "app"}) for number in range(4)
    ]
    yield made
    for pod in made:
        pod.remove()


def cart(**more):
    return {"pods": {"namespace": "shop", "labels": {"app": "cart"}} | more}


def hit(report):
    return {session["target"]["container"]["id"] for session in report["sessions"]}


def planned(agent, **more):
    answer = agent.tenant.plan("cpu-stress", cart(**more), STRESS)
    assert answer.status == 200, answer
    return {plan["target"]["container"]["id"] for plan in answer.body["plans"]}, answer.body


def test_a_fault_is_in_each_that_is_chosen_and_in_no_other(agent, pods, unchanged_node):
    answer = agent.tenant.inject("network-latency", cart(count=2), LATENCY, duration="60s")
    assert answer.status == 201, answer
    group = answer.body
    assert answer.headers["Location"] == f"/v1/groups/{group['id']}"
    assert (group["matched"], group["state"], len(group["sessions"])) == (4, "live", 2)
    chosen = hit(group)
    assert len(chosen) == 2 and {pod.network_is_plain() for pod in pods if pod.id in chosen} == {False}
    assert all(pod.network_is_plain() for pod in pods if pod.id not in chosen)
    # Each is a session like any other.
    for session in group["sessions"]:
        assert session["group"] == group["id"]
        assert agent.tenant.read(session["id"]).body["state"] == "active"
    assert agent.tenant.read(group["id"]).body["state"] == "live"
    report = agent.tenant.end(group["id"]).body
    assert (report["state"], report["revertVerified"]) == ("ended", True)
    assert all(pod.network_is_plain() for pod in pods)


def test_a_killed_engine_takes_all_of_them_back(agent, pods, unchanged_node):
    answer = agent.tenant.inject("network-latency", cart(percent=100), LATENCY, duration="60s")
    assert answer.status == 201, answer
    agent.kill_engine()
    report = agent.tenant.wait_until(answer.body["id"], "ended", timeout=60)
    assert {session["ending"] for session in report["sessions"]} == {"recovered"}
    assert (report["matched"], report["seed"]) == (answer.body["matched"], answer.body["seed"])
    assert all(pod.network_is_plain() for pod in pods)


def test_where_one_fails_all_are_taken_back(agent, pods, unchanged_node):
    """In one of the containers there is no room for another process, which nobody can know before."""
    limit = Path(f"{CGROUPS}{pods[2].cgroup}/pids.max")
    before = limit.read_text()
    limit.write_text(limit.with_name("pids.current").read_text())
    try:
        answer = agent.tenant.inject("cpu-stress", cart(percent=100), STRESS, duration="60s")
    finally:
        limit.write_text(before)
    assert (answer.status, answer.code) == (500, "apply-failed"), answer
    assert "shop/cart-2" in answer.body["detail"]
    report = agent.tenant.read(answer.body["group"]).body
    endings = sorted(session["ending"] for session in report["sessions"])
    assert endings == ["apply-failed"] + 3 * ["group-failed"], endings
    assert report["revertVerified"]


def test_the_same_seed_chooses_the_same_pods(agent, pods):
    first, plan = planned(agent, percent=50)
    assert len(first) == 2 and plan["matched"] == 4
    assert planned(agent, percent=50, seed=plan["seed"])[0] == first
    assert len({frozenset(planned(agent, percent=50)[0]) for _ in range(12)}) > 1
    everything, _ = planned(agent, percent=100)
    assert everything == {pod.id for pod in pods}
    assert len(planned(agent, percent=1)[0]) == 1 and planned(agent, count=32)[0] == everything


def test_what_is_refused_for_one_is_refused_for_all(agent, world, pods):
    from node_world import Pod

    unasked = Pod(world.runtime, "cart-4", labels={"app": "cart"}, container={"name": "app"}, annotations={})
    try:
        answer = agent.tenant.inject("network-latency", cart(percent=100), LATENCY)
        assert (answer.status, answer.code) == (403, "opt-in-missing"), answer
        assert "shop/cart-4" in answer.body["detail"]
        assert all(pod.network_is_plain() for pod in pods)
        assert all(session["state"] == "ended" for session in agent.tenant.list().body["sessions"])
    finally:
        unasked.remove()


def test_the_limit_of_sessions_counts_each(agent, pods, policy):
    policy(shop={"namespaces": ["shop"], "faults": ["*"], "sessions": 3})
    answer = agent.tenant.inject("cpu-stress", cart(percent=100), STRESS)
    assert (answer.status, answer.code) == (429, "limit-exceeded"), answer
    answer = agent.tenant.inject("cpu-stress", cart(count=3), STRESS)
    assert answer.status == 201, answer
    assert agent.tenant.end(answer.body["id"]).body["revertVerified"]


def test_one_lease_keeps_all_alive(agent, pods):
    answer = agent.tenant.inject("cpu-stress", cart(count=2), STRESS, duration="60s", lease="3s")
    group = answer.body["id"]
    for _ in range(3):
        time.sleep(1.5)
        assert agent.tenant.renew(group).status == 200
    report = agent.tenant.wait_until(group, "ended")
    assert {session["ending"] for session in report["sessions"]} == {"lease-lapsed"}
    assert (agent.tenant.renew(group).status, agent.tenant.renew(group).code) == (409, "session-ended")


def test_one_of_them_may_end_before_the_others(agent, pods):
    answer = agent.tenant.inject("cpu-stress", cart(count=2), STRESS, duration="60s")
    group, (first, second) = answer.body["id"], answer.body["sessions"]
    assert agent.tenant.end(first["id"]).body["revertVerified"]
    report = agent.tenant.read(group).body
    assert report["state"] == "live"
    assert {session["id"]: session["state"] for session in report["sessions"]} == {
        first["id"]: "ended", second["id"]: "active",
    }  # fmt: skip
    assert agent.tenant.end(group).body["revertVerified"]


def test_a_groups_token_works_once(agent, pods):
    token = agent.tenant.token("inject", fault="cpu-stress", target=cart(count=2), parameters=STRESS, duration="60s")
    group = agent.tenant.call("POST", "/v1/sessions", token).body["id"]
    again = agent.tenant.call("POST", "/v1/sessions", token)
    assert (again.status, again.code, again.body["group"]) == (409, "replayed", group)
    assert agent.tenant.end(group).body["revertVerified"]


def test_it_is_another_tenants_business(agent, pods):
    answer = agent.tenant.inject("cpu-stress", cart(count=2), STRESS, duration="60s")
    group = answer.body["id"]
    for answer in (agent.other_tenant.read(group), agent.other_tenant.end(group), agent.other_tenant.renew(group)):
        assert (answer.status, answer.code) == (404, "session-not-found"), answer
    assert agent.tenant.end(group).body["revertVerified"]


def test_names_that_match_nothing(agent, pods):
    for selector, code in (
        ({"pods": {"namespace": "shop", "labels": {"app": "nobody"}, "count": 1}}, "target-not-found"),
        (cart(count=1, container="nobody"), "target-not-found"),
    ):
        answer = agent.tenant.inject("cpu-stress", selector, STRESS)
        assert (answer.status, answer.code) == (404, code), answer


@pytest.fixture
def squall(agent, tmp_path):
    """The command line, as the tenant."""
    key = tmp_path / "shop.key.jwk"
    key.write_text(json.dumps(agent.tenant.private_jwk))
    key.chmod(0o600)

    def start(*words):
        told = ["--key", key, "--tenant", "shop", "--node", agent.node_name, "--socket", agent.api_socket]
        return subprocess.Popen(
            [str(word) for word in (PROGRAMS / "squall", *words, *told)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


CART = ["--namespace", "shop", "--selector", "app=cart"]


def test_the_command_line_says_what_would_be_hit_and_hits_it(agent, pods, squall):
    stress = ["inject", "cpu-stress", "load=20", *CART, "--count", 2, "--output", "json"]
    plan, _ = squall(*stress, "--dry-run").communicate()
    plan = json.loads(plan)
    told, _ = squall(*stress, "--seed", plan["seed"]).communicate()
    group = json.loads(told)
    assert hit(group) == {each["target"]["container"]["id"] for each in plan["plans"]}
    shown, _ = squall("session", "show", group["id"]).communicate()
    assert "2 of 4 pods" in shown and all(session["id"] in shown for session in group["sessions"])
    reverted = squall("session", "revert", group["id"])
    told, errors = reverted.communicate()
    assert reverted.returncode == 0 and told.count("cancelled") == 2, told + errors


def test_the_command_line_waits_for_all_and_takes_all_back_when_it_is_interrupted(agent, pods, squall):
    waiting = squall("inject", "cpu-stress", "load=20", *CART, "--percent", 50, "--duration", "3s", "--wait")
    told, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and told.count("expired") >= 2, told + errors
    waiting = squall("inject", "cpu-stress", "load=20", *CART, "--percent", 50, "--duration", "60s", "--wait")
    for _ in range(2):
        assert "active" in waiting.stdout.readline()
    waiting.send_signal(signal.SIGINT)
    told, errors = waiting.communicate(timeout=60)
    assert told.count("cancelled") == 2 and "interrupted" in errors, told + errors
    assert waiting.returncode == 130
    assert all(session["state"] == "ended" for session in agent.tenant.list().body["sessions"])
