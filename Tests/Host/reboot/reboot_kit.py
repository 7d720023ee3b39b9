"""What the parts of these tests know of each other: each runs in a boot of its own, on the same disk."""

import json
from pathlib import Path

from host_kit import *

KEPT = Path("/root/kept.json")
KEYS = Path("/root/keys")
FILES = Path("/var/lib/filled")


def tenant():
    KEYS.mkdir(exist_ok=True)
    return Tenant(KEYS)


APART = ["--unit", "apart.service"]
# One that systemd starts with the host.
OUTAGE = ["--unit", "outage.service"]
HOST = ["--host"]
WENT_DOWN = {"host-reboot": "rebooted", "host-power-off": "poweredOff"}


def begin_some(tenant, **more):
    """One that leaves a file on the disk, and others of which nothing can stay; `more` is what takes the host down, and when."""
    FILES.mkdir(exist_ok=True)
    # A service with a network of its own.
    sh("ip", "netns", "add", "apart")
    sh("ip", "-n", "apart", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for name in ("eth0", "eth1"):
        sh("ip", "-n", "apart", "link", "set", name, "up")
    sh("systemd-run", "--unit", "apart", "--property", "NetworkNamespacePath=/run/netns/apart", "sleep", "infinity")
    Path("/etc/systemd/system/outage.service").write_text(
        "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n")
    systemctl("daemon-reload")
    systemctl("enable", "--now", "outage")
    sh("sync")
    asked = {
        "service-stop": (tenant.operator, [], OUTAGE),
        "disk-fill": (tenant.operator, [f"path={FILES}", "size=8MiB", "visible=true"], NGINX),
        "memory-squeeze": (tenant, ["size=256MiB"], NGINX),
        "network-latency": (tenant.operator, ["latency=50ms"], APART),
        "container-pause": (tenant, [], NGINX),
        **{fault.replace("_", "-"): (tenant.operator, [f"delay={delay}"], HOST) for fault, delay in more.items()},
        # The last, since who signs by that clock begins nothing any more.
        "clock-skew": (tenant.operator, ["offset=-1h"], HOST),
    }
    kept = {}
    for fault, (whose, parameters, target) in asked.items():
        kept[fault] = whose.inject(fault, *parameters, target=target, duration="1h")["id"]
        wait_until(lambda id=kept[fault]: session(id)["state"] == "active", what=f"{fault} is in effect")
    assert list(FILES.iterdir()), "the disk is not filled"
    with KEPT.open("w") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())


def verify(endings, **ended_by):
    """Right after the boot everything is told: as soon as the agent is ready. `ended_by`: of what has taken the host down, how it ended."""
    wait_until(lambda: sh("squall", "doctor", check=False).returncode == 0, what="doctor is content")
    for fault, id in json.loads(KEPT.read_text()).items():
        report = session(id)
        assert (report["state"], report["revertVerified"]) == ("ended", True), (fault, report)
        assert report["ending"] in ended_by.get(fault.replace("-", "_"), endings), (fault, report)
        if fault in WENT_DOWN:
            (step,) = report["steps"]
            assert (step["undo"]["outcome"], step["effect"][WENT_DOWN[fault]]) == ("irreversible", True), report
    assert list(FILES.iterdir()) == []
    sh("squall", "journal", "verify", "--settled")
    assert is_active("nginx") and is_active("outage") and cgroup_file("nginx", "memory.high") == "max"
