"""What kubelet asks, of an agent that is not well."""

import os
import signal
import time

import pytest


def ask(agent, path):
    begun = time.monotonic()
    answer = agent.tenant.call("GET", path)
    return answer, time.monotonic() - begun


def wait_for(agent, path, status, timeout=20):
    deadline = time.monotonic() + timeout
    while (answer := ask(agent, path)[0]).status != status:
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def test_an_engine_that_hangs_is_not_alive(agent):
    assert ask(agent, "/livez")[0].body == {"alive": True}
    engine = agent.role("engine")
    os.kill(engine, signal.SIGSTOP)
    try:
        answer, seconds = ask(agent, "/livez")
        # Kubelet waits for five.
        assert (answer.status, answer.code) == (503, "engine-unavailable") and 3.5 < seconds < 4.9, (answer, seconds)
    finally:
        os.kill(engine, signal.SIGCONT)
    assert wait_for(agent, "/livez", 200).body == {"alive": True}
    assert agent.role("engine") == engine


def test_an_engine_that_dies_is_replaced_and_alive(agent):
    agent.kill_engine()
    assert ask(agent, "/livez")[0].status == 200


@pytest.mark.node
def test_a_runtime_that_hangs_makes_the_node_unready_and_holds_up_no_probe(agent, world):
    wait_for(agent, "/readyz", 200)
    with world.stopped_runtime():
        answer = wait_for(agent, "/readyz", 503)
        (reason,) = answer.body["reasons"]
        assert "/run/containerd/containerd.sock is not to be reached" in reason, reason
        for path in ("/readyz", "/livez"):
            assert ask(agent, path)[1] < 2
        assert ask(agent, "/livez")[0].status == 200
    wait_for(agent, "/readyz", 200)
