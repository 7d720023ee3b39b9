"""An agent that runs, however it was started."""

import json
import os
import re
import signal
import time
from pathlib import Path

from api import Tenant


class RunningAgent:
    """Needs from its makers: node_name, api_socket, engine_socket, state_directory, tenants_directory, policy_file,
    programs, and keeper_id."""

    def prepare_tenants(self):
        self.write_policy()
        self.tenants_directory.mkdir(parents=True, exist_ok=True)
        self.tenant = Tenant("shop", self.node_name, self.api_socket)
        self.other_tenant = Tenant("bank", self.node_name, self.api_socket, algorithm="ES256")
        for tenant in (self.tenant, self.other_tenant):
            tenant.publish(self.tenants_directory)

    def write_policy(self, guardrails=None, **tenants):
        """As an operator would: what the tests' own tenants may do is what most tests need, unless it is told here."""
        everything = {"namespaces": ["shop"], "faults": ["*"], "host": "allowed", "requestsPerSecond": 10000}
        names = ("shop", "bank", "quickstart", "payments", "late", "new")
        grants = dict.fromkeys(names, everything) | tenants
        policy = {
            "version": 1,
            "guardrails": {"host": "allowed"} | (guardrails or {}),
            "tenants": {name: grant for name, grant in grants.items() if grant is not None},
        }
        self.policy_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.policy_file.with_suffix(".new")
        fresh.write_text(json.dumps(policy, indent=2))  # Which is YAML, too.
        fresh.rename(self.policy_file)

    def wait_until_ready(self, timeout=30, poll=0.05):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if self.tenant.call("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(poll)
        raise TimeoutError(f"the agent is not ready:\n{self.log()}")

    def end_all_sessions(self):
        for tenant in (self.tenant, self.other_tenant):
            for session in tenant.list().body["sessions"]:
                if session["state"] != "ended":
                    tenant.end(session["id"])

    # Processes, each as its number in this pid namespace

    def processes(self):
        """Keeper, engine, gateway and runtimes, each with its role."""
        keeper = self.keeper_id
        children = map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split())
        return [(keeper, "keeper")] + [(pid, role) for pid in children if (role := role_of(pid))]

    def role(self, name):
        deadline = time.monotonic() + 5
        while True:
            found = [pid for pid, role in self.processes() if role == name]
            if len(found) == 1 or time.monotonic() > deadline:
                (process,) = found
                return process
            time.sleep(0.02)

    def kill_engine(self):
        """Kills the engine, and returns once another one is there."""
        old = self.role("engine")
        os.kill(old, signal.SIGKILL)
        return self.wait_for_another("engine", old)

    def wait_for_another(self, role, old, timeout=10):
        begun = time.monotonic()
        while time.monotonic() - begun < timeout:
            found = [pid for pid, name in self.processes() if name == role]
            if found and found != [old]:
                return time.monotonic() - begun
            time.sleep(0.005)
        raise TimeoutError(f"no other {role}:\n{self.log()}")

    def workers(self, session):
        return [pid for pid in all_processes() if command_line(pid)[:2] == ["squall-worker", session]]

    def kill(self, process):
        os.kill(process, signal.SIGKILL)

    def process_status(self, process):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def wait_until(condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def deadmen():
    """The dead-man's processes: for a moment after an engine's end there may be two."""
    return [pid for pid in all_processes() if role_of(pid) == "deadman"]


def all_processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


ROLES = {
    "squall-gateway": "gateway",
    "squall-runtimes": "runtimes",
    "squall-worker": "worker",
    "squall-deadman": "deadman",
}


def role_of(process):
    """What a process of the agent does, by its arguments; None for any other process."""
    words = command_line(process)
    name = re.sub(r".*/", "", words[0]) if words else ""
    if name == "squalld":
        return "engine" if words[1:2] == ["engine"] else "keeper"
    return ROLES.get(name)


def start_time(process):
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19])
