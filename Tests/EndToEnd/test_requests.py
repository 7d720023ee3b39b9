"""Who is let in: every refusal is precise, and changes nothing."""

import base64
import json
import time

import jwt
import pytest


@pytest.fixture
def unchanged(agent, target):
    """The target's processes are the same after the test, and no session was begun."""

    def state():
        sessions = [tenant.list().body["sessions"] for tenant in (agent.tenant, agent.other_tenant)]
        return target.processes(), [[session["id"] for session in list] for list in sessions]

    before = state()
    yield
    assert state() == before


def stress(target):
    return {"fault": "cpu-stress", "parameters": {"load": 10, "workers": 1}, "target": target.selector, "duration": "5s"}


def post(tenant, token):
    return tenant.call("POST", "/v1/sessions", token)


def test_a_request_without_a_token_is_refused(agent, unchanged):
    answer = agent.tenant.call("POST", "/v1/sessions")
    assert (answer.status, answer.code) == (401, "token-missing")


def test_an_unsigned_token_is_refused(agent, target, unchanged):
    claims = agent.tenant.claims("inject", **stress(target))
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": agent.tenant.key_id})
    answer = post(agent.tenant, unsigned)
    assert answer.status == 401
    assert answer.code in ("algorithm-refused", "token-malformed")


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(agent, target, unchanged):
    claims = agent.tenant.claims("inject", **stress(target))
    secret = base64.urlsafe_b64decode(agent.tenant.jwk["x"] + "==")
    forged = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": agent.tenant.key_id})
    answer = post(agent.tenant, forged)
    assert (answer.status, answer.code) == (401, "algorithm-refused")


def test_an_altered_token_is_refused(agent, target, unchanged):
    header, payload, signature = agent.tenant.token("inject", **stress(target)).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["duration"] = "2h"
    altered = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    answer = post(agent.tenant, f"{header}.{altered}.{signature}")
    assert (answer.status, answer.code) == (401, "signature-invalid")


def test_an_unknown_key_is_refused(agent, target, unchanged):
    token = agent.tenant.sign(agent.tenant.claims("inject", **stress(target)), kid="nobody")
    assert post(agent.tenant, token).code == "key-unknown"


def test_a_tenant_may_not_speak_for_another(agent, target, unchanged):
    token = agent.other_tenant.sign(agent.tenant.claims("inject", **stress(target)))
    answer = post(agent.other_tenant, token)
    assert (answer.status, answer.code) == (401, "issuer-mismatch")


def test_a_request_to_another_node_is_refused(agent, target, unchanged):
    token = agent.tenant.token("inject", **stress(target), aud="another-node")
    answer = post(agent.tenant, token)
    assert (answer.status, answer.code) == (401, "audience-mismatch")


@pytest.mark.parametrize(
    "change, code",
    [
        ({"iat": -120, "exp": -60}, "token-expired"),
        ({"nbf": 30}, "token-not-yet-valid"),
        ({"iat": 30, "exp": 55}, "token-not-yet-valid"),
        ({"exp": 3600}, "token-lifetime-too-long"),
    ],
)
def test_a_token_out_of_its_time_is_refused(agent, target, unchanged, change, code):
    now = int(time.time())
    claims = agent.tenant.claims("inject", **stress(target)) | {name: now + offset for name, offset in change.items()}
    answer = post(agent.tenant, agent.tenant.sign(claims))
    assert (answer.status, answer.code) == (401, code)


def test_a_token_for_another_operation_is_refused(agent, target, unchanged):
    answer = post(agent.tenant, agent.tenant.token("plan", **stress(target)))
    assert (answer.status, answer.code) == (403, "operation-mismatch")


def test_a_replayed_token_starts_nothing_and_names_the_session(agent, target):
    token = agent.tenant.token("inject", **stress(target))
    first = post(agent.tenant, token)
    assert first.status == 201
    second = post(agent.tenant, token)
    assert (second.status, second.code) == (409, "replayed")
    assert second.body["session"] == first.body["id"]
    agent.kill_engine()
    third = post(agent.tenant, token)
    assert (third.status, third.code) == (409, "replayed")
    assert third.body["session"] == first.body["id"]
    listed = [session["id"] for session in agent.tenant.list().body["sessions"]]
    assert listed.count(first.body["id"]) == 1


@pytest.mark.parametrize(
    "change, code, field",
    [
        ({"fault": "earthquake"}, "fault-unknown", "fault"),
        ({"parameters": {"load": 0}}, "field-invalid", "parameters.load"),
        ({"parameters": {"load": "80"}}, "field-invalid", "parameters.load"),
        ({"parameters": {"lod": 80}}, "field-unknown", "parameters.lod"),
        ({"parameters": {"workers": 1.5}}, "field-invalid", "parameters.workers"),
        ({"duration": "3h"}, "field-invalid", "duration"),
        ({"duration": "10"}, "field-invalid", "duration"),
        ({"target": {}}, "field-invalid", "target"),
        ({"target": {"pod": "web"}}, "field-invalid", "target.pod"),
        ({"target": {"pot": {}}}, "field-unknown", "target.pot"),
        ({"target": {"cgroup": "/../x"}}, "field-invalid", "target.cgroup"),
        ({"target": {"cgroup": "/no/such/cgroup"}}, "target-not-found", "target"),
        ({"target": {"process": {"pid": 99999999, "startTime": 1}}}, "target-not-found", "target"),
        ({"surprise": 1}, "field-unknown", "surprise"),
    ],
)
def test_a_bad_request_names_its_field(agent, target, unchanged, change, code, field):
    answer = post(agent.tenant, agent.tenant.token("inject", **(stress(target) | change)))
    assert (answer.code, answer.body.get("field")) == (code, field)
    assert 400 <= answer.status < 500


def test_a_process_whose_number_was_reused_is_refused(agent, target, unchanged):
    process = dict(target.process_selector["process"])
    process["startTime"] += 1
    answer = agent.tenant.inject("cpu-stress", {"process": process})
    assert (answer.status, answer.code) == (410, "target-gone")


def test_another_tenants_session_is_as_if_it_did_not_exist(agent, target):
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 10, "workers": 1})
    other = agent.other_tenant
    for answer in (other.read(session), other.end(session), other.renew(session)):
        assert (answer.status, answer.code) == (404, "session-not-found")
    assert session not in [listed["id"] for listed in other.list().body["sessions"]]
    assert agent.tenant.end(session).body["ending"] == "cancelled"


def test_es256_is_as_good_as_eddsa(agent, target):
    assert agent.other_tenant.algorithm == "ES256"
    session = agent.other_tenant.begin("cpu-stress", target.selector, {"load": 10, "workers": 1}, duration="1s")
    assert agent.other_tenant.wait_until_ended(session)["ending"] == "expired"


def test_a_plan_changes_nothing(agent, target, unchanged):
    answer = agent.tenant.plan("cpu-stress", target.selector, {"load": 10, "workers": 2})
    assert answer.status == 200
    assert "burns 10 % of a CPU with each of 2 threads" in answer.body["steps"][0]


def test_new_keys_are_used_without_a_restart(agent, target):
    from api import Tenant

    late = Tenant("new", agent.node_name, agent.api_socket)
    assert late.list().code == "key-unknown"
    late.publish(agent.tenants_directory)
    time.sleep(1.2)
    assert late.list().body == {"sessions": []}


def test_what_needs_no_token_is_told_to_anybody(agent):
    faults = agent.tenant.call("GET", "/v1/faults").body["faults"]
    assert {fault["kind"] for fault in faults} >= {"cpu-stress", "memory-stress", "disk-fill", "network-latency"}
    assert agent.tenant.call("GET", "/v1/node").body["name"] == agent.node_name
    assert agent.tenant.call("GET", "/v1/node").body["journal"]["problem"] is None
    assert agent.tenant.call("GET", "/v1/node/name").body == {"name": agent.node_name}
    assert agent.tenant.call("GET", "/readyz").status == 200
    assert agent.tenant.call("GET", "/livez").status == 200
