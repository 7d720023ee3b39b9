"""The agent and its targets: in the test node as a real container beside real pods, or on this machine as processes
of its own, with throw-away targets. The same tests run on both; what one cannot do is skipped, and says why."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "NodeKit")]

IN_NODE = Path("/usr/lib/squall-node").exists()
ROOT = HERE.parent.parent
PROGRAMS = Path(os.environ.get("SQUALL_PROGRAMS", HERE.parent.parent / ".build" / "programs"))


def pytest_configure(config):
    config.addinivalue_line("markers", "node: needs the test node: containers, pods and a full kernel")


def pytest_collection_modifyitems(items):
    if IN_NODE:
        return
    for item in items:
        if item.get_closest_marker("node"):
            item.add_marker(pytest.mark.skip(reason="needs the test node: containers, pods and a full kernel"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """What the agent said last, beside each failure."""
    report = (yield).get_result()
    world = item.funcargs.get("world")
    if report.failed and world:
        try:
            said = world.agent.log().splitlines()[-25:]
        except Exception as error:
            said = [f"not to be read: {error}"]
        report.sections.append(("the agent's log", "\n".join(said)))


@pytest.fixture(scope="session")
def world():
    if IN_NODE:
        from node_world import NodeWorld

        world = NodeWorld(PROGRAMS)
    else:
        from local_world import LocalWorld

        world = LocalWorld(PROGRAMS)
    with world:
        yield world


@pytest.fixture
def agent(world):
    """The agent, with no session live before the test and none after it."""
    yield world.agent
    world.agent.end_all_sessions()


@contextlib.contextmanager
def agents():
    if IN_NODE:
        pytest.skip("needs an agent that the test may stop and start")
    from local_world import LocalAgent

    made = []

    def make(*options, size=None):
        root = tempfile.mkdtemp(prefix="squall-test.")
        os.chmod(root, 0o755)
        agent = LocalAgent(PROGRAMS, root, options)
        made.append((agent, size))
        if size:
            # Below `unshare --mount`, so nobody else sees it.
            agent.state_directory.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", agent.state_directory], check=True)
        agent.start()
        return agent

    yield make
    for agent, size in made:
        if agent.keeper.poll() is None:
            agent.stop()
        if size:
            subprocess.run(["umount", "--lazy", agent.state_directory], check=True)
        shutil.rmtree(agent.root)


@pytest.fixture
def make_agent():
    """Makes an agent with a state directory of its own, or of `size` on a file system of its own."""
    with agents() as make:
        yield make


@pytest.fixture(scope="module")
def make_module_agent():
    """The same, for all tests of a file."""
    with agents() as make:
        yield make


@pytest.fixture
def hung_engine(agent):
    """Stops the engine when called."""
    engine = agent.role("engine")
    try:
        yield lambda: os.kill(engine, signal.SIGSTOP)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(engine, signal.SIGCONT)


@pytest.fixture
def target(world):
    return world.target


numbers = itertools.count()


@pytest.fixture
def host_target(agent, world):
    """A process in a cgroup of its own that is no container's."""
    if not IN_NODE:
        yield world.target
        return
    from local_world import LocalTarget

    target = LocalTarget(f"squall-test-{os.getpid()}-{next(numbers)}")
    yield target
    # A cgroup with a worker in it cannot be removed.
    agent.end_all_sessions()
    target.remove()


@pytest.fixture
def policy(agent):
    """Writes the policy, and returns when it is in force; afterwards it is as it was."""

    def write(**options):
        agent.write_policy(**options)
        # The engine looks at it once a second.
        time.sleep(1.2)

    yield write
    write()


@pytest.fixture
def mortal_target(world):
    """A target that the test may kill."""
    with world.mortal_target() as target:
        yield target


class Node:
    """The whole node as it is now: links, addresses, qdiscs, filters, cgroup files, processes, files, mounts."""

    def __init__(self, agent):
        from nodekit import snapshot
        from running_agent import deadmen

        self.agent, self.snapshot, self.deadmen = agent, snapshot, deadmen
        self.processes, self.before = self.restarted(), snapshot.take()
        # What a test before has removed, containerd forgets when it gets to it.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(3)
            before, self.before = self.before, snapshot.take()
            if not snapshot.compare(before, self.before):
                break

    def differences(self):
        successors = self.restarted()
        differences = self.snapshot.compare(self.before, self.snapshot.take())
        if successors != self.processes:
            # A test that kills the engine gets another one, with its dead-man's process. Only these two may differ.
            either = re.compile(rf"\b({'|'.join(map(str, {*self.processes, *successors}))})\b")
            differences = [difference for difference in differences if not either.search(difference)]
        return differences

    def restarted(self):
        deadline = time.monotonic() + 5
        while len(found := self.deadmen()) != 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        return [self.agent.role("engine"), *found]


@pytest.fixture(scope="module")
def node(world):
    """The node, remembered as it was before the module's tests, with no session live: each of them leaves it so."""
    world.agent.end_all_sessions()
    return Node(world.agent)


@pytest.fixture
def unchanged_node(agent, node):
    """The whole node is as it was when the test ends."""
    yield
    agent.end_all_sessions()
    differences = node.differences()
    assert not differences, "\n".join(differences)
