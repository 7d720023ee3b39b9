"""A service as systemd starts it. First of all here: others have systemd give all services CPU controllers."""

from host_kit import *


def test_what_a_service_lacks_is_told(tenant):
    sh("apt-get", "install", "-y", "-qq", package())
    tenant.onboard()
    assert not Path(f"/sys/fs/cgroup{cgroup_of('nginx')}/cpu.max").exists()
    done = tenant.inject("cpu-throttle", "percent=50", target=NGINX, check=False)
    assert done.returncode and "cpu" in done.stderr and "CPUWeight" in done.stderr, done.stderr
    report = tenant.end(tenant.inject("cpu-stress", "load=20", "workers=1", target=NGINX)["id"])
    assert report["revertVerified"], report
