"""The agent as its DaemonSet runs it: a container with nothing but what it names."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.node


def test_the_agents_container_is_not_privileged(agent, world):
    spec = world.agent_spec()
    assert sorted(spec["process"]["capabilities"]["bounding"]) == sorted(world.named_capabilities())
    assert spec["root"]["readonly"] is True
    assert {"type": "cgroup"} in spec["linux"]["namespaces"]
    assert "seccomp" in spec["linux"]


def test_the_engine_has_at_most_the_capabilities_named(agent, world):
    effective = int(agent.process_status(agent.role("engine"))["CapEff"], 16)
    assert effective & ~world.capability_mask() == 0


def test_it_enters_the_hosts_cgroup_namespace_itself(agent):
    engine = agent.role("engine")
    assert Path(f"/proc/{engine}/ns/cgroup").readlink() == Path("/proc/1/ns/cgroup").readlink()
    assert Path(f"/proc/{engine}/ns/mnt").readlink() != Path("/proc/1/ns/mnt").readlink()


def test_a_container_is_found_through_the_runtime(agent, target):
    report = agent.tenant.inject("cpu-stress", target.selector, {"load": 10, "workers": 1}, duration="1s").body
    assert report["target"]["container"]["pod"] == target.name
    assert report["target"]["container"]["namespace"] == "shop"


def test_an_unknown_container_is_not_found(agent):
    answer = agent.tenant.inject("cpu-stress", {"container": "0123456789abcdef" * 4})
    assert (answer.status, answer.code) == (404, "target-not-found")


def test_a_runtime_that_hangs_is_not_taken_for_a_missing_container(agent, target, host_target, world):
    with world.stopped_runtime():
        answer = agent.tenant.inject("cpu-stress", target.selector)
        assert (answer.status, answer.code) == (503, "runtime-unavailable")
        # Nothing else needs the runtime.
        by_process = agent.tenant.inject("cpu-stress", host_target.process_selector, {"load": 10, "workers": 1})
        assert by_process.status == 201
        assert agent.tenant.end(by_process.body["id"]).body["revertVerified"]


def test_recovery_asks_no_runtime(agent, target, world):
    session = agent.tenant.begin("network-latency", target.selector, {"latency": "50ms"}, duration="60s")
    with world.stopped_runtime():
        agent.kill_engine()
        report = agent.tenant.wait_until_ended(session)
    assert (report["ending"], report["revertVerified"]) == ("recovered", True), report
    assert target.network_is_plain()


def test_no_program_but_our_own_is_executed(agent, target, world):
    with world.executed_programs() as executed:
        for fault, parameters in (("cpu-stress", {"load": 10, "workers": 1}), ("network-latency", {"latency": "10ms"})):
            session = agent.tenant.begin(fault, target.selector, parameters, duration="60s")
            agent.kill_engine()
            agent.wait_until_ready()
            agent.tenant.wait_until_ended(session)
    assert len(executed) >= 3, "the trace saw too little: it would not have seen a tool either"
    assert all(name.startswith("/dev/fd/") for name in executed), executed


def test_what_holds_the_agent_is_no_target(agent):
    own = Path(f"/proc/{agent.role('engine')}/cgroup").read_text().strip().split("::")[1]
    for path in (own, str(Path(own).parent), "/squall-deadman"):
        answer = agent.tenant.inject("cpu-throttle", {"cgroup": path}, {"percent": 50})
        assert (answer.status, answer.code) == (403, "target-refused"), (path, answer)


def test_a_cgroup_that_only_holds_others_is_not_throttled(agent, tmp_path):
    outer = Path(f"/sys/fs/cgroup/squall-test-{tmp_path.name}")
    (outer / "inner").mkdir(parents=True)
    try:
        answer = agent.tenant.inject("cpu-throttle", {"cgroup": f"/{outer.name}"}, {"percent": 50})
    finally:
        (outer / "inner").rmdir()
        outer.rmdir()
    assert (answer.status, answer.code) == (403, "target-refused"), answer


def test_a_runtime_that_was_started_again_is_found(agent, target, world):
    """The agent has the folder of its socket: a mount of the socket would still be the old one's. A session that lives
    meanwhile does not notice."""
    before = agent.tenant.begin("network-latency", target.selector, {"latency": "50ms"}, duration="120s")
    world.restart_runtime()
    assert agent.tenant.read(before).body["state"] == "active" and not target.network_is_plain()
    assert agent.tenant.end(before).body["revertVerified"] and target.network_is_plain()
    session = agent.tenant.begin("cpu-stress", target.selector, {"load": 10, "workers": 1}, duration="60s")
    assert agent.tenant.end(session).body["revertVerified"]
