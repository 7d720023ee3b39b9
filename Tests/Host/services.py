"""The services on the host that are hit, as their users know them: whether they answer, with what, and how fast."""

import base64
import functools
import os
import re

from host_kit import *

PAYLOAD = 48 << 20


class Service:
    """`unit`, `folder` that it keeps its data in, and below: `ask`, which any user does; `work`, which takes CPU time; `read`,
    which reads PAYLOAD of its data; and `fetch`, which has it send `FETCHED` bytes. Where it has an `address`, its users
    are in the network `client`."""

    FETCHED = 500_000
    # Where others reach it; None where it is the host's.
    address = None
    FILES = ("cpu.max", "cpu.max.burst", "memory.high", "memory.max", "cgroup.freeze", "io.max", "io.weight", "cpu.weight")

    @property
    def target(self):
        return ["--unit", self.unit]

    def settings(self):
        return {name: cgroup_file(self.unit, name) for name in self.FILES}

    def processes(self):
        return sorted(map(int, cgroup_file(self.unit, "cgroup.procs").split()))

    def counted(self, file, name):
        """A number of a file with lines of `NAME NUMBER`."""
        return int(dict(line.split() for line in cgroup_file(self.unit, file).splitlines())[name])

    def disk_bytes(self):
        """Read from disks and written to them."""
        return sum(map(int, re.findall(r"[rw]bytes=(\d+)", cgroup_file(self.unit, "io.stat"))))

    def memory(self):
        return int(cgroup_file(self.unit, "memory.current"))

    def free_space(self):
        status = os.statvfs(self.folder)
        return status.f_bfree * status.f_frsize

    def answers(self):
        done = self.ask()
        return done.returncode == 0 and done.stdout == self.answer

    def seconds(self, what):
        begun = time.monotonic()
        done = what()
        assert done.returncode == 0, done
        return time.monotonic() - begun

    def read_from_disk(self):
        """In seconds: nothing of it is in memory."""
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return self.seconds(self.read)

    @staticmethod
    def user(address):
        """What begins a program of theirs."""
        return ["ip", "netns", "exec", "client"] if address else []


class Nginx(Service):
    unit, folder = "nginx.service", "/var/lib/nginx"
    answer = "ok\n"

    def prepare(self):
        root = Path("/var/www/html")
        (root / "answer").write_text(self.answer)
        # nginx compresses pages for whoever asks for it, and nothing else.
        (root / "page.html").write_bytes(base64.b64encode(os.urandom(12 << 20)))
        (root / "payload").write_bytes(os.urandom(PAYLOAD))
        (root / "fetched").write_bytes(os.urandom(self.FETCHED))
        systemctl("restart", self.unit)

    def get(self, path, *options, address=None, timeout=5):
        url = f"http://{address or '127.0.0.1'}/{path}"
        return sh(*self.user(address), "curl", "-sf", "--max-time", timeout, *options, url, check=False)

    def ask(self):
        return self.get("answer", address=self.address)

    def work(self):
        return self.get("page.html", "--output", "/dev/null", "--header", "Accept-Encoding: gzip", timeout=60)

    def read(self):
        return self.get("payload", "--output", "/dev/null", timeout=60)

    def fetch(self):
        return self.get("fetched", "--output", "/dev/null", address=self.address, timeout=60)

    def listen_to_others(self):
        """It does."""

    def is_hung_up(self):
        """Has done what SIGHUP tells it since this was called: made other workers."""
        before = self.processes()
        return lambda: len(set(before) & set(self.processes())) == 1 and len(self.processes()) == len(before)


class PostgreSQL(Service):
    """With a table that was written before anything was done to it."""

    folder = "/var/lib/postgresql"
    ROWS = PAYLOAD // 1966

    @property
    def unit(self):
        """One of several of a template, whose name has an @."""
        (line,) = Path("/etc/postgresql").glob("*/*")
        return f"postgresql@{line.parent.name}-{line.name}.service"

    def prepare(self):
        systemctl("restart", self.unit)
        wait_until(lambda: self.query("select 1").stdout == "1\n", what="the database answers")
        self.told(f"create table kept as select n, repeat(md5(n::text), 60) as word from generate_series(1, {self.ROWS}) n")
        self.told("create table written (n int)")
        self.told("checkpoint")
        # Nothing of it is in its own memory then.
        systemctl("restart", self.unit)
        self.answer = self.told("select count(*), sum(hashtext(word)) from kept")
        assert self.answer.startswith(f"{self.ROWS}|")

    def query(self, text, address=None, timeout=60):
        host = ["--host", address] if address else []
        psql = ["runuser", "-u", "postgres", "--", "psql", "-qAt", *host, "-c", text]
        return sh(*self.user(address), "timeout", timeout, *psql, check=False)

    def told(self, text):
        done = self.query(text)
        assert done.returncode == 0, done
        return done.stdout

    def ask(self):
        """Also that it writes, and keeps, what it is told meanwhile."""
        text = "insert into written values (1); select count(*) >= 1 from written; delete from written"
        return self.query(text, self.address, timeout=5)

    def answers(self):
        return self.ask().stdout == "t\n" and self.told("select count(*), sum(hashtext(word)) from kept") == self.answer

    def work(self):
        return self.query("select count(*) from generate_series(1, 1000000)")

    def read(self):
        return self.query("select count(*) from kept")

    def fetch(self):
        return self.query(f"select repeat('x', {self.FETCHED})", self.address)

    def listen_to_others(self):
        self.told("alter system set listen_addresses = '*'")
        rules = Path(self.told("show hba_file").strip())
        if "trust # tests" not in rules.read_text():
            rules.write_text(rules.read_text() + "host all all 10.88.0.0/24 trust # tests\n")

    def is_hung_up(self):
        before = self.told("select pg_conf_load_time()")
        return lambda: self.told("select pg_conf_load_time()") != before


@functools.cache
def prepared(kind):
    service = kind()
    service.prepare()
    return service
