"""Who may do what: the node's policy, which is looked at again while the agent runs."""

import contextlib
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import PROGRAMS

STRESS = {"load": 10, "workers": 1}
ALL = {"namespaces": ["shop"], "faults": ["*"], "host": "allowed"}


def code(agent, target, fault="cpu-stress", parameters=STRESS, tenant=None, **more):
    """What the agent says; a session that it begins is ended."""
    tenant = tenant or agent.tenant
    answer = tenant.inject(fault, target.selector, parameters, **more)
    if answer.status == 201:
        assert tenant.end(answer.body["id"]).body["revertVerified"]
        return None
    assert answer.status == 403 and answer.body["hint"] or answer.status == 429, answer
    # A plan is refused as the session would be.
    assert tenant.plan(fault, target.selector, parameters, **more).code == answer.code or answer.status == 429
    return answer.code


def test_a_tenant_does_what_its_grant_says_and_nothing_else(agent, target, policy):
    policy(shop=ALL | {"faults": ["cpu-*"], "duration": "20s", "intensity": {"cpu-stress": {"load": 10}}}, bank=None)
    assert code(agent, target) is None
    assert code(agent, target, "memory-stress", {"size": "1MiB"}) == "fault-denied"
    assert code(agent, target, duration="21s") == "duration-denied"
    assert code(agent, target, parameters={"load": 10.1, "workers": 1}) == "intensity-denied"
    # What the request leaves out counts as what the fault makes of it.
    assert code(agent, target, parameters={"workers": 1}) == "intensity-denied"
    assert code(agent, target, tenant=agent.other_tenant) == "tenant-unknown"
    assert agent.other_tenant.list().status == 200


def test_what_the_fault_says_itself_is_bounded_too(agent, target, policy):
    policy(
        shop=ALL
        | {
            "intensity": {
                "memory-stress": {"size": "64MiB", "percent": 10, "of": ["limit"]},
                "disk-fill": {"size": "64MiB", "percent": 10},
                "cpu-stress": {"workers": 2},
                "network-stress": {"sink": ["10.1.0.0/16"]},
            }
        }
    )
    assert code(agent, target, "memory-stress", {"size": "1MiB"}) is None
    assert code(agent, target, "memory-stress", {}) == "intensity-denied"
    assert code(agent, target, "memory-stress", {"percent": 1, "of": "node"}) == "intensity-denied"
    assert code(agent, target, "disk-fill", {}) == "intensity-denied"
    assert code(agent, target, "disk-fill", {"percent": 1, "of": "volume", "limit": "16TiB"}) == "intensity-denied"
    assert code(agent, target, parameters={"load": 1, "workers": 2}) is None
    assert code(agent, target, parameters={"load": 1}) == "intensity-denied"
    assert code(agent, target, "network-stress", {"sink": "10.2.0.1:80"}) == "intensity-denied"


def test_sessions_that_begin_at_once_are_counted(agent, target, policy):
    policy(shop=ALL | {"sessions": 2})
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: agent.tenant.inject("cpu-stress", target.selector, STRESS), range(10)))
    assert sorted(answer.status for answer in answers) == [201] * 2 + [429] * 8, answers


def test_sessions_are_counted(agent, target, policy):
    policy(shop=ALL | {"sessions": 2}, guardrails={"sessions": 3})
    first = agent.tenant.begin("cpu-stress", target.selector, STRESS)
    agent.tenant.begin("cpu-stress", target.selector, STRESS)
    answer = agent.tenant.inject("cpu-stress", target.selector, STRESS)
    assert (answer.status, answer.code) == (429, "limit-exceeded") and "tenant shop" in answer.body["detail"], answer
    # Another tenant's are its own, until the node has enough.
    other = agent.other_tenant
    other.begin("cpu-stress", target.selector, STRESS)
    answer = other.inject("cpu-stress", target.selector, STRESS)
    assert (answer.status, answer.code) == (429, "limit-exceeded") and "this node" in answer.body["detail"], answer
    agent.tenant.end(first)
    other.begin("cpu-stress", target.selector, STRESS)


def test_sessions_on_one_target_are_counted(agent, target, policy):
    policy(shop=ALL | {"sessionsPerTarget": 1})
    agent.tenant.begin("cpu-stress", target.selector, STRESS)
    answer = agent.tenant.inject("memory-stress", target.selector, {"size": "1MiB"})
    assert (answer.status, answer.code) == (429, "limit-exceeded") and "this target" in answer.body["detail"], answer


def test_requests_are_counted_by_the_second(agent, target, policy):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    policy(shop=ALL | {"requestsPerSecond": 1})
    answers = [agent.tenant.read(session) for _ in range(20)]
    refused = [answer for answer in answers if answer.status == 429]
    assert 5 <= len(refused) <= 10 and {answer.code for answer in refused} == {"rate-exceeded"}, answers
    assert agent.other_tenant.list().status == 200
    # What is in effect can be taken back at any time.
    assert agent.tenant.end(session).body["revertVerified"]


def test_so_many_follow_a_session(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    with contextlib.ExitStack() as followers:
        for _ in range(16):
            next(followers.enter_context(agent.tenant.stream(session)))
        answer = agent.tenant.call("GET", f"/v1/sessions/{session}/events", agent.tenant.token("read", session=session))
        assert (answer.status, answer.code) == (429, "limit-exceeded"), answer
        assert agent.tenant.read(session).status == 200


def test_a_bad_policy_is_refused_whole_and_the_old_one_kept(agent, target, policy):
    policy(shop=ALL | {"faults": ["cpu-stress"]})
    good = agent.policy_file.read_text()
    assert code(agent, target) is None
    for bad, reason in [
        ("version: 1\ntenants: {shop: {faults: ['*'], sesions: 1}}\n", "line 2: tenants.shop.sesions: unknown"),
        ("version: 1\ntenants: {shop: {faults: ['*']\n", "did not find expected ',' or '}'"),
        ("", "expected a document"),
        (None, "No such file or directory"),
    ]:
        if bad is None:
            agent.policy_file.unlink()
        else:
            agent.policy_file.write_text(bad)
        time.sleep(1.2)
        assert code(agent, target) is None
        assert code(agent, target, "memory-stress", {"size": "1MiB"}) == "fault-denied"
        problem = agent.tenant.call("GET", "/v1/node").body["policy"]["problem"]
        assert str(agent.policy_file) in problem and reason in problem
    agent.policy_file.write_text(good)
    time.sleep(1.2)
    assert agent.tenant.call("GET", "/v1/node").body["policy"] == {"problem": None}


def test_a_key_that_is_taken_away_takes_its_sessions_with_it(agent, target, policy):
    other = agent.other_tenant
    own = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    session = other.begin("cpu-stress", target.selector, STRESS, duration="60s")
    path = agent.tenants_directory / f"{other.name}.jwks.json"
    path.unlink()
    try:
        # Nobody asks for anything meanwhile: what an operator takes away goes by itself.
        time.sleep(3)
        assert not agent.workers(session) and agent.workers(own)
        assert other.read(session).code == "key-unknown"
    finally:
        other.publish(agent.tenants_directory)
    time.sleep(1.2)
    report = other.read(session).body
    assert (report["state"], report["ending"], report["revertVerified"]) == ("ended", "revoked", True)
    assert agent.tenant.read(own).body["state"] == "active"


def test_another_key_with_the_same_name_is_another_key(agent, target):
    from api import Tenant

    late = Tenant("late", agent.node_name, agent.api_socket)
    late.publish(agent.tenants_directory)
    time.sleep(1.2)
    session = late.begin("cpu-stress", target.selector, STRESS, duration="60s")
    successor = Tenant("late", agent.node_name, agent.api_socket)
    successor.key_id = successor.jwk["kid"] = late.key_id
    successor.publish(agent.tenants_directory)
    time.sleep(1.2)
    assert late.read(session).code == "signature-invalid"
    assert successor.wait_until_ended(session)["ending"] == "revoked"


def test_a_tenant_that_the_policy_drops_loses_its_sessions(agent, target, policy):
    session = agent.other_tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    policy(bank=None)
    assert agent.other_tenant.wait_until_ended(session)["ending"] == "revoked"
    assert code(agent, target, tenant=agent.other_tenant) == "tenant-unknown"


def test_the_node_itself_is_hit_by_whom_the_operator_lets(agent, host_target, policy):
    policy(shop=ALL | {"host": "refused"})
    for selector in (host_target.process_selector, host_target.cgroup_selector, {"cgroup": "/no/such/cgroup"}):
        # What there is, it does not learn.
        answer = agent.tenant.inject("cpu-stress", selector, STRESS)
        assert (answer.status, answer.code) == (403, "target-protected"), answer
    policy(guardrails={"host": "refused"})
    assert agent.tenant.inject("cpu-stress", host_target.process_selector, STRESS).code == "target-protected"
    policy()
    assert agent.tenant.inject("cpu-stress", host_target.process_selector, STRESS).status == 201


def test_what_the_node_suffers_is_taken_back(agent, target, policy):
    session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s")
    # No disk is free altogether.
    policy(guardrails={"abort": {"freeDisk": 100}})
    report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("node-unhealthy", True)
    answer = agent.tenant.inject("cpu-stress", target.selector, STRESS)
    assert (answer.status, answer.code) == (503, "node-unhealthy") and "% of the disk" in answer.body["detail"], answer
    assert "% of the disk" in agent.tenant.call("GET", "/v1/node").body["health"]["problem"]
    policy(guardrails={"abort": {"freeDisk": 0.001}})
    assert code(agent, target) is None


def test_pressure_is_looked_at_or_counts_as_too_high(agent, target, policy):
    policy(guardrails={"abort": {"memoryPressure": 99, "ioPressure": 100}})
    answer = agent.tenant.inject("cpu-stress", target.selector, STRESS)
    if os.path.exists("/proc/pressure/memory"):
        assert answer.status == 201, answer
    else:
        assert answer.code == "node-unhealthy" and "/proc/pressure/memory" in answer.body["detail"], answer


# MARK: Pods


@pytest.mark.node
def test_a_pod_is_hit_where_its_owner_has_opted_in(agent, world, policy):
    for annotations in ({}, {"squall.dev/chaos": "Allowed"}):
        target = world.make_target(annotations=annotations)
        try:
            policy()
            assert code(agent, target) == "opt-in-missing"
            policy(guardrails={"optIn": "none"})
            assert code(agent, target) is None
        finally:
            target.remove()


@pytest.mark.node
def test_namespaces_are_what_the_runtime_says(agent, world, target, policy):
    policy(shop=ALL | {"namespaces": ["sho*"]}, bank=ALL | {"namespaces": ["bank", "shopping"]})
    assert code(agent, target) is None
    assert code(agent, target, tenant=agent.other_tenant) == "namespace-denied"
    policy(guardrails={"protectedNamespaces": ["kube-system", "shop"]})
    assert code(agent, target) == "target-protected"


@pytest.mark.node
def test_the_systems_namespace_is_protected(agent, world, policy):
    policy(shop=ALL | {"namespaces": ["*"]})
    system = world.make_target(namespace="kube-system")
    try:
        assert code(agent, system) == "target-protected"
    finally:
        system.remove()


@pytest.mark.node
def test_the_agents_own_namespace_is_protected_whatever_the_policy_says(agent, world, policy):
    policy(guardrails={"protectedNamespaces": []}, shop=ALL | {"namespaces": ["*"]})
    for namespace, expected in (("squall-system", "target-protected"), ("kube-system", None)):
        target = world.make_target(namespace=namespace)
        try:
            assert code(agent, target) == expected
        finally:
            target.remove()


@pytest.mark.node
def test_a_session_that_follows_its_container_meets_the_policy_again(agent, world, policy):
    with world.mortal_target() as target:
        session = agent.tenant.begin("cpu-stress", target.selector, STRESS, duration="60s", onRestart="reinject")
        policy(shop=ALL | {"faults": ["memory-stress"]})
        target.kill()
        agent.tenant.wait_until(session, "waiting")
        target.start_again()
        time.sleep(4)
        assert agent.tenant.read(session).body["state"] == "waiting"
        policy()
        agent.tenant.wait_until(session, "active")


@pytest.mark.node
def test_a_pod_on_the_nodes_network_is_hit_where_that_is_allowed(agent, world, policy):
    pod = world.make_target(host_network=True)
    try:
        assert code(agent, pod) == "target-protected"
        policy(guardrails={"hostNetwork": "allowed"})
        assert code(agent, pod) is None
        # Of the node's network the pod's own traffic, and nobody else's.
        session = agent.tenant.begin("network-latency", pod.selector, {"latency": "200ms"}, duration="60s")
        peer = world.peer.ip
        assert min(pod.ping(peer, 3)) >= 200
        nodes = subprocess.run(["ping", "-c", "3", "-i", "0.2", peer], capture_output=True, text=True, check=True)
        assert float(nodes.stdout.split("= ")[-1].split("/")[0]) < 100
        assert agent.tenant.end(session).body["revertVerified"]
        answer = agent.tenant.inject("network-latency", pod.selector, {"latency": "10ms", "direction": "both"})
        assert (answer.code, answer.body["field"]) == ("field-invalid", "parameters.direction"), answer
    finally:
        pod.remove()


@pytest.mark.node
def test_a_pod_is_not_hit_by_its_number_or_path(agent, target):
    for selector in (target.process_selector, target.cgroup_selector):
        answer = agent.tenant.inject("cpu-stress", selector, STRESS)
        assert (answer.status, answer.code) == (403, "target-protected"), answer


@pytest.mark.node
def test_a_tenant_hits_its_share_of_the_nodes_containers(agent, world, target, policy):
    policy(shop=ALL | {"containers": 1})
    with world.mortal_target() as other:
        agent.tenant.begin("cpu-stress", target.selector, STRESS)
        agent.tenant.begin("cpu-stress", target.selector, STRESS)
        answer = agent.tenant.inject("cpu-stress", other.selector, STRESS)
        assert (answer.status, answer.code) == (429, "limit-exceeded"), answer
        assert "hits 1 containers, at most 1 of" in answer.body["detail"]
        policy(shop=ALL | {"containers": 100})
        agent.tenant.begin("cpu-stress", other.selector, STRESS)


# MARK: The command line


def squall(*words):
    return subprocess.run([PROGRAMS / "squall", *words], capture_output=True, text=True)


def test_a_policy_is_checked_as_the_agent_reads_it(agent, tmp_path):
    done = squall("policy", "check", agent.policy_file, "--output", "json")
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["tenants"]["shop"]["faults"] == ["*"]
    bad = tmp_path / "policy.yaml"
    bad.write_text("version: 1\ntenants:\n  shop:\n    faults: [cpu-stres]\n")
    done = squall("policy", "check", bad)
    assert done.returncode == 2 and f"{bad}, line 4: tenants.shop.faults: no fault is called" in done.stderr, done


def test_doctor_tells_of_a_bad_policy(agent, policy):
    def check():
        done = squall("doctor", "--socket", agent.api_socket, "--output", "json")
        checks = json.loads(done.stdout.splitlines()[-1])["checks"]
        return next(each for each in checks if each["check"] == "policy")

    assert check()["state"] == "ok"
    agent.policy_file.write_text("version: 2\n")
    time.sleep(1.2)
    assert check()["state"] == "missing" and "this agent reads version 1" in check()["why"]
    assert "mend the file" in check()["remedy"]
