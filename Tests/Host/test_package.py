"""The package on a host whose process 1 is systemd: installed, upgraded with live sessions, removed and purged."""

import tarfile

import pytest
from host_kit import *


def remains():
    return processes(), cgroups(), [path for path in ("/etc/squall", "/var/lib/squall", "/run/squall", "/run/squalld") if Path(path).exists()]


@pytest.fixture
def purged():
    sh("apt-get", "purge", "-y", "-qq", "squall", check=False)
    assert remains() == (set(), set(), [])


def install():
    return sh("apt-get", "install", "-y", "-qq", package())


def test_it_runs_when_installed_and_nobody_may_do_anything(purged, tenant):
    install()
    assert is_active("squalld") and systemctl("is-enabled", "squalld").stdout.strip() == "enabled"
    tenant.publish()
    done = tenant.inject("cpu-throttle", "percent=50", target=NGINX, check=False)
    assert done.returncode and "policy" in done.stderr, done
    assert (os.stat("/etc/squall").st_mode & 0o777, os.stat("/var/lib/squall").st_mode & 0o777) == (0o750, 0o700)


def test_it_has_exactly_the_capabilities_that_it_says(agent):
    listed = Path("/mnt/host/daemonset/capabilities").read_text().splitlines()
    # A container is not given the clock.
    expected = {"cap_sys_time"} | {f"cap_{line.split()[0].lower()}" for line in listed if line.strip() and not line.startswith("#")}
    assert set(unit_property("squalld", "CapabilityBoundingSet").split()) == expected
    assert not sh("squall", "doctor", "--output", "json", check=False).returncode


def test_it_is_hardened(agent):
    """By systemd's own measure, where 10 is a service with all rights."""
    done = sh("systemd-analyze", "security", "--no-pager", "squalld", check=False).stdout
    (line,) = [line for line in done.splitlines() if "Overall exposure level" in line]
    assert float(line.split(":")[1].split()[0]) < 5.5, done


def test_an_upgrade_takes_sessions_back_first_and_says_so(agent):
    Path("/etc/default/squalld").write_text('SQUALLD_OPTIONS="--log-format json"\n')
    before = cgroup_file("nginx", "cpu.max")
    opened = agent.inject("cpu-throttle", "percent=50", target=NGINX, duration="10m")
    assert cgroup_file("nginx", "cpu.max") != before
    done = sh("dpkg", "-i", package())
    assert "1 live session is taken back first" in done.stdout, done
    assert cgroup_file("nginx", "cpu.max") == before
    wait_until(lambda: is_active("squalld"))
    ended = session(opened["id"])
    assert (ended["ending"], ended["revertVerified"]) == ("drained", True)
    assert Path("/etc/default/squalld").read_text() == 'SQUALLD_OPTIONS="--log-format json"\n'
    assert '"level":' in log()
    agent.inject("cpu-throttle", "percent=50", target=NGINX, duration="1s")


def test_a_killed_agent_is_started_again_and_takes_back(agent):
    before = cgroup_file("nginx", "cpu.max")
    opened = agent.inject("cpu-throttle", "percent=50", target=NGINX, duration="5s")
    first = unit_property("squalld", "MainPID")
    systemctl("kill", "--signal=SIGKILL", "squalld")
    wait_until(lambda: unit_property("squalld", "MainPID") not in ("0", first))
    wait_until(lambda: cgroup_file("nginx", "cpu.max") == before)
    assert wait_until(lambda: session(opened["id"]).get("revertVerified"))


def test_removed_it_leaves_what_it_remembers_and_purged_nothing(purged, tenant, controllers):
    before = files()
    install()
    tenant.onboard()
    value = cgroup_file("nginx", "cpu.max")
    tenant.inject("cpu-throttle", "percent=50", target=NGINX, duration="10m")
    sh("apt-get", "remove", "-y", "-qq", "squall")
    assert cgroup_file("nginx", "cpu.max") == value and processes() == set() and cgroups() == set()
    assert Path("/var/lib/squall/journal").exists() and Path("/etc/squall/policy.yaml").exists()
    done = sh("apt-get", "purge", "-y", "-qq", "squall")
    assert "no process, cgroup or file of it is left" in done.stdout, done
    assert remains() == (set(), set(), [])
    after = files()
    # Folders of shells that had none of their own before.
    difference = {path for path in before.keys() ^ after.keys() | {path for path in before if before[path] != after.get(path)}}
    assert not {path for path in difference if "mandb" not in path}, difference


def test_what_an_agent_left_keeps_the_package(purged, tenant, controllers):
    """Until it is taken back, which the package's own program does without an agent."""
    install()
    tenant.onboard()
    value = cgroup_file("nginx", "cpu.max")
    tenant.inject("cpu-throttle", "percent=50", target=NGINX, duration="10m")
    options = Path("/etc/default/squalld")
    options.write_text('SQUALLD_OPTIONS="--nonsense"\n')
    # As after a power cut: nothing of the agent runs any more, and it cannot be started.
    systemctl("kill", "--signal=SIGKILL", "squalld")
    sh("pkill", "-KILL", "squall-deadman", check=False)
    wait_until(lambda: not processes(), what="nothing of the agent runs")
    assert not is_active("squalld") and cgroup_file("nginx", "cpu.max") != value
    done = sh("apt-get", "purge", "-y", "-qq", "squall", check=False)
    assert done.returncode and "not everything could be taken back" in done.stdout + done.stderr, done
    assert Path("/var/lib/squall/journal").exists()
    sh("squall", "recover", "--offline")
    assert cgroup_file("nginx", "cpu.max") == value
    sh("apt-get", "purge", "-y", "-qq", "squall")


def test_the_tarball_does_the_same(purged, tenant, controllers, tmp_path):
    (archive,) = SHARE.glob("packages/*.tar.gz")
    before = files()
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="tar")
    (folder,) = tmp_path.iterdir()
    assert "squalld runs" in sh(folder / "install.sh").stdout
    tenant.onboard()
    value = cgroup_file("nginx", "cpu.max")
    opened = tenant.inject("cpu-throttle", "percent=50", target=NGINX, duration="10m")
    policy = Path("/etc/squall/policy.yaml").read_text()
    sh(folder / "install.sh")
    assert cgroup_file("nginx", "cpu.max") == value and Path("/etc/squall/policy.yaml").read_text() == policy
    assert session(opened["id"])["ending"] == "drained"
    assert "/var/lib/squall stay" in sh(folder / "install.sh", "--remove").stdout
    assert Path("/var/lib/squall/journal").exists() and not Path("/usr/bin/squall").exists()
    sh(folder / "install.sh", "--purge")
    assert remains() == (set(), set(), [])
    assert files().keys() == before.keys()


def test_the_tarball_can_go_into_another_root(tmp_path):
    (archive,) = SHARE.glob("packages/*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "from", filter="tar")
    (folder,) = (tmp_path / "from").iterdir()
    (tmp_path / "root").mkdir()
    sh(folder / "install.sh", "--root", tmp_path / "root")
    root = tmp_path / "root"
    assert (root / "usr/bin/squall").stat().st_uid == 0 and (root / "etc/squall/policy.yaml").exists()
    # Its libraries are in it, and nothing else is there.
    script = f"mkdir {root}/proc; mount -t proc proc {root}/proc; chroot {root} /usr/bin/squall --version"
    assert sh("unshare", "--mount", "sh", "-c", script).stdout.startswith("squall ")
    sh(folder / "install.sh", "--root", root, "--purge")
    assert not [path for path in root.rglob("*") if path.is_file()]
