import pytest
from host_kit import *
from services import Nginx, PostgreSQL, prepared


@pytest.fixture(scope="session")
def tenant(tmp_path_factory):
    return Tenant(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def controllers():
    """Systemd gives a service its own CPU and I/O controllers where one of its settings needs them."""
    folder = Path("/etc/systemd/system/service.d")
    folder.mkdir()
    (folder / "50-controllers.conf").write_text("[Service]\nCPUWeight=100\nIOWeight=100\n")
    systemctl("daemon-reload")
    systemctl("restart", "nginx")


@pytest.fixture
def agent(tenant, controllers):
    """Installed from the package, with a tenant that may do everything on this host."""
    install(tenant)
    yield tenant
    print(log())


@pytest.fixture(scope="module", params=[Nginx, PostgreSQL], ids=["nginx", "postgresql"])
def service(request, controllers):
    service = prepared(request.param)
    assert service.answers()
    return service
