"""The experiment of daemonset/experiments/catalogue/redis-leader-loss/1.0.0, for real: Redis with a Sentinel in pods, a Prometheus that
measures how long it takes to answer."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from conftest import IN_NODE, PROGRAMS, ROOT

pytestmark = pytest.mark.node

FOLDER = ROOT / "daemonset/experiments/catalogue/redis-leader-loss/1.0.0"
REDIS = "node.local/redis:test"


@pytest.fixture(scope="module")
def image():
    """Debian's Redis, with what it is linked to."""
    from nodekit import images

    program = Path(shutil.which("redis-server")).resolve()
    linked = subprocess.check_output(["ldd", program], text=True)
    files = {path: path for path in re.findall(r"(/\S+) \(0x", linked)}
    yield images.import_image(REDIS, files | {"/bin/redis-server": str(program)})
    images.remove_image(REDIS)


class Redis:
    """A leader, two followers, and the Sentinel that watches them."""

    def __init__(self, runtime):
        from node_world import Pod

        def pod(number, *command):
            return Pod(runtime, f"redis-{number}", labels={"app": "redis"}, container={"image": REDIS, "command": ["/bin/redis-server", *command]})

        own = ["--port", "6379", "--save", "", "--protected-mode", "no", "--repl-diskless-sync-delay", "0"]
        self.pods = [pod(0, *own)]
        self.pods += [pod(number, *own, "--replicaof", self.pods[0].ip, "6379") for number in (1, 2)]
        self.folder = tempfile.mkdtemp(prefix="sentinel-")
        Path(self.folder, "sentinel.conf").write_text(
            f"port 26379\nprotected-mode no\nsentinel monitor mymaster {self.pods[0].ip} 6379 1\n"
            "sentinel down-after-milliseconds mymaster 3000\nsentinel failover-timeout mymaster 15000\n"
        )
        from nodekit.cri import mount

        watch = ["/bin/redis-server", "/conf/sentinel.conf", "--sentinel"]
        self.sentinel = Pod(runtime, "sentinel", container={"image": REDIS, "command": watch, "mounts": [mount(self.folder, "/conf")]})

    def ask(self, pod, *words, port=6379):
        sys.path.insert(0, str(FOLDER))
        from leader import ask

        return ask(pod.ip, port, *words)

    def leader(self):
        """As the Sentinel has it."""
        address, _ = self.ask(self.sentinel, "SENTINEL", "get-master-addr-by-name", "mymaster", port=26379)
        return next(pod for pod in self.pods if pod.ip == address)

    def is_whole(self):
        try:
            role = self.ask(self.pods[0], "ROLE")
            known = self.ask(self.sentinel, "SENTINEL", "replicas", "mymaster", port=26379)
            return role[0] == "master" and len(role[2]) == 2 and len(known) == 2
        except OSError:
            return False

    def remove(self):
        for pod in [self.sentinel, *self.pods]:
            pod.remove()
        shutil.rmtree(self.folder)


class Exporter:
    """How long the leader takes to answer, for Prometheus. While nobody leads there is nobody to ask."""

    def __init__(self, redis):
        from prometheus_client import Gauge, start_http_server

        self.port = free_port()
        answer = Gauge("redis_answer_seconds", "How long the leader took to answer.")
        clients = Gauge("redis_connected_clients", "As the leader counts them.")
        self.server, _ = start_http_server(self.port, addr="127.0.0.1")
        self.ends = threading.Event()

        def measure():
            while not self.ends.wait(0.5):
                try:
                    begun = time.monotonic()
                    leader = redis.leader()
                    redis.ask(leader, "PING")
                    answer.set(time.monotonic() - begun)
                    found = re.search(r"connected_clients:(\d+)", redis.ask(leader, "INFO", "clients"))
                    clients.set(int(found[1]))
                except OSError:
                    continue

        threading.Thread(target=measure, daemon=True).start()

    def stop(self):
        self.ends.set()
        self.server.shutdown()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def redis(world, image):
    redis = Redis(world.runtime)
    try:
        wait_for(redis.is_whole, 60)
        yield redis
    finally:
        redis.remove()


@pytest.fixture
def prometheus(redis, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("needs Debian's package prometheus")
    exporter, port = Exporter(redis), free_port()
    (tmp_path / "prometheus.yaml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: redis, static_configs: "
        f"[{{targets: ['127.0.0.1:{exporter.port}']}}]}}]\n"
    )
    process = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path / 'prometheus.yaml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stderr=(tmp_path / "log").open("wb"),
    )  # fmt: skip
    try:
        wait_for(lambda: answers(port), 90)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        exporter.stop()


def answers(port):
    import urllib.request

    try:
        query = f"http://127.0.0.1:{port}/api/v1/query?query=redis_answer_seconds"
        return json.load(urllib.request.urlopen(query, timeout=5))["data"]["result"]
    except OSError:
        return None


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.5)
    return found


@pytest.mark.skipif(not IN_NODE, reason="needs the test node: containers, pods and a full kernel")
def test_the_leader_is_lost_and_another_elected(agent, redis, prometheus, tmp_path):
    key = tmp_path / "shop.key.jwk"
    key.write_text(json.dumps(agent.tenant.private_jwk))
    before = redis.leader()
    results = Path("/mnt/host/results")
    report = (results if results.is_dir() else tmp_path) / "redis-leader-loss.html"
    settings = {
        "sentinel": f"{redis.sentinel.ip}:26379", "prometheus": prometheus,
        "pods": json.dumps({pod.ip: pod.name for pod in redis.pods}),
    }  # fmt: skip
    done = subprocess.run(
        [PROGRAMS / "squall", "experiment", "run", "experiment.yaml", "--key", key, "--tenant", agent.tenant.name,
         "--socket", agent.api_socket, "--output", "json", "--report", report, "--report", report.with_suffix(".json"),
         *(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))],
        cwd=FOLDER, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    result = json.loads(done.stdout)
    assert (result["verdict"], result["score"]) == ("Pass", 100)
    steps = {step["name"]: step for step in result["steps"]}
    assert steps["find-leader"]["output"]["pod"] == before.name
    after = redis.leader()
    assert after is not before and steps["elected"]["output"]["pod"] == after.name
    assert not before.is_running()
    hit = {session["step"]: session["target"]["container"]["id"] for session in result["sessions"]}
    followers = {redis.pods[1].id, redis.pods[2].id}
    assert hit["kill-leader"] == before.id
    assert {hit["busy-follower-1"], hit["busy-follower-2"]} == {hit["slow-follower-1"], hit["slow-follower-2"]} == followers
    latency = next(probe for probe in result["probes"] if probe["name"] == "answers-in-time")
    assert latency["failed"] == 0 and latency["passed"] > 5
    assert all(pod.network_is_plain() for pod in redis.pods[1:])
    assert report.read_text().startswith("<!doctype html>")
