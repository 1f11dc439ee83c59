"""A service in this process with its officers, and one served to the bare wire."""

from collections.abc import Iterator

import pytest

from registry.service import Registry
from tests.api.bureau import Bureau, Reader
from tests.attacks.house import unlimited
from tests.people import CHIEF, CLERK
from tests.served import Site, found_registry, free_port, serving


@pytest.fixture
def bureau(registry: Registry) -> Iterator[Bureau]:
    """The service over a fresh registry."""
    made = Bureau(registry)
    unlimited(made.app)
    yield made
    made.close()


@pytest.fixture
def clerk(bureau: Bureau) -> Reader:
    """The clerk, signed in."""
    return bureau.signed_in(CLERK)


@pytest.fixture
def chief(bureau: Bureau) -> Reader:
    """The approver, signed in."""
    return bureau.signed_in(CHIEF)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A registry served by a process of its own."""
    data, port = tmp_path_factory.mktemp("attacked") / "data", free_port()
    found_registry(data, port).close()
    with serving(data, port) as served:
        yield served
