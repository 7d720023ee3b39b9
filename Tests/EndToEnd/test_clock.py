"""A wall clock that is set while a session lives."""

import time

import pytest

pytestmark = pytest.mark.node


@pytest.fixture
def set_back():
    """Sets the clock back when called, and right afterwards: the node is the test's own."""
    offset = time.time() - time.monotonic()
    yield lambda seconds: time.clock_settime(time.CLOCK_REALTIME, time.time() - seconds)
    time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + offset)


def test_a_session_ends_by_its_deadline_whatever_the_clock_says(agent, target, set_back):
    begun = time.monotonic()
    agent.tenant.begin("network-latency", target.selector, {"latency": "50ms"}, duration="5s")
    set_back(3600)
    while not target.network_is_plain():
        assert time.monotonic() - begun < 15
        time.sleep(0.1)
    assert time.monotonic() - begun > 4
    # Tokens of an hour ago have no second life.
    refused = agent.tenant.list()
    assert (refused.status, refused.code) == (401, "token-expired"), refused
