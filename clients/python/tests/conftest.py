"""What tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from local_cluster import LocalCluster, programs, started

# Machines that build something else at the same time are slow; examples are the same in each run.
settings.register_profile(
    "cloudai", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cloudai")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Kill a master when all other tests are done: with two left, no further one may be missing."""
    items.sort(key=lambda item: item.get_closest_marker("kills") is not None)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster for all tests of the session. One of them kills a master."""
    bin_dir = programs()
    if bin_dir is None:
        pytest.skip("SKIPPED: there are no programs: make build, or set CLOUDAI_BIN")
    with started(bin_dir, tmp_path_factory.mktemp("cluster") / "log") as running:
        yield running
