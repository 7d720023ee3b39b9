"""What the tests on a host with systemd look with: the agent as it was installed, a tenant, and snapshots of the host."""

import json
import os
import subprocess
import time
from pathlib import Path

SHARE = Path("/mnt/host")
ENVIRONMENT = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
POLICY = """
version: 1
guardrails: {host: whole, power: allowed}
tenants:
  shop: {units: [nginx.service, "postgresql@*", ssh.service], containerNames: ["shop-*"], faults: ["*"]}
  root: {host: whole, faults: ["*"]}
"""


def sh(*words, check=True, timeout=120):
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True, timeout=timeout, env=ENVIRONMENT)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_until(condition, timeout=30, what=""):
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}\n{log()}"
        time.sleep(0.2)
    return result


def wait_for_another_agent(than=0):
    wait_until(lambda: int(unit_property("squalld", "MainPID")) not in (0, than), what="another agent")
    wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")


def kill_agent():
    """All its processes, and waits for the next one."""
    main = int(unit_property("squalld", "MainPID"))
    systemctl("kill", "--signal=KILL", "--kill-whom=all", "squalld")
    wait_for_another_agent(main)


def log():
    return sh("journalctl", "-u", "squalld", "-n", "40", "--no-pager", check=False).stdout


def package():
    (found,) = SHARE.glob("packages/*.deb")
    return found


NGINX = ["--unit", "nginx.service"]


def systemctl(*words, check=True):
    return sh("systemctl", *words, check=check)


def is_active(unit):
    return systemctl("is-active", unit, check=False).stdout.strip() == "active"


def unit_property(unit, name):
    return systemctl("show", "--value", "--property", name, unit).stdout.strip()


def cgroup_of(unit):
    """Below the cgroup root."""
    return unit_property(unit, "ControlGroup")


def cgroup_file(unit, name):
    return Path(f"/sys/fs/cgroup{cgroup_of(unit)}/{name}").read_text().strip()


class Tenant:
    def __init__(self, folder, name="shop"):
        if not (folder / f"{name}.key.jwk").exists():
            sh(SHARE / "squall", "keygen", "--tenant", name, "--out", folder)
        self.name = name
        self.key = folder / f"{name}.key.jwk"
        self.public = folder / f"{name}.jwks.json"
        # Who may hit the whole host.
        self.operator = Tenant(folder, "root") if name != "root" else self

    def publish(self):
        Path(f"/etc/squall/tenants/{self.name}.jwks.json").write_text(self.public.read_text())

    def onboard(self):
        """The key at once, the policy too; faults whose capabilities the engine gave up need it to be started again."""
        Path("/etc/squall/policy.yaml").write_text(POLICY)
        self.publish()
        self.operator.publish()
        systemctl("restart", "squalld")
        wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")

    def inject(self, fault, *parameters, target, duration="60s", check=True):
        done = sh(
            "squall", "inject", fault, *parameters, *target, "--duration", duration, "--key", self.key, "--output", "json",
            check=check,
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else done

    def end(self, session, code=0):
        done = sh("squall", "session", "revert", session, "--key", self.key, "--output", "json", check=False)
        assert done.returncode == code, done
        return json.loads(done.stdout)


def install(tenant):
    """From the package, unless it is."""
    if not Path("/usr/lib/squall/squalld").exists():
        sh("apt-get", "install", "-y", "-qq", package())
    tenant.onboard()


def session(id):
    return json.loads(sh("squall", "session", "show", id, "--output", "json").stdout)


# What comes and goes by itself.
IGNORED = ("/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log", "/var/lib/systemd", "/var/lib/postgresql", "/var/lib/private",
           "/run", "/tmp", "/root")  # fmt: skip


def files():
    """Every file of the host's own disk, with what it is and has in it (as far as its times and length tell)."""
    found = {}
    for top in ("/etc", "/usr", "/var", "/opt", "/srv", "/home"):
        for folder, names, leaves in os.walk(top):
            names[:] = [name for name in names if not f"{folder}/{name}".startswith(IGNORED)]
            for name in names + leaves:
                path = f"{folder}/{name}"
                status = os.lstat(path)
                is_file = path not in ("/etc/machine-id",) and os.path.isfile(path) and not os.path.islink(path)
                found[path] = (status.st_mode, status.st_uid, status.st_gid, (status.st_size, status.st_mtime_ns) if is_file else None)
    return found


def cgroups():
    return {folder for folder, _, _ in os.walk("/sys/fs/cgroup") if "squall" in folder}


def processes():
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program = os.readlink(process / "exe")
        except OSError:
            continue
        if "squall" in program:
            found.add(program)
    return found
