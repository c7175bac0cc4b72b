"""An owner that is cut off has stopped its components before the other node begins to bring them online."""

from collections.abc import Iterator

import pytest

from tests.hosts.cases import CUT_OFF, TRIES, Breakage, cut_off, good
from tests.hosts.cluster import Cluster, needs_cluster, on_hosts

pytestmark = [needs_cluster, pytest.mark.processes]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with on_hosts(ttl="1500ms", links=2) as made:
        yield made


@pytest.mark.parametrize("how", CUT_OFF.values(), ids=CUT_OFF)
def test_all_is_down_here_before_it_comes_online_there(cluster: Cluster, how: Breakage) -> None:
    for _ in range(TRIES):
        good(cluster, cut_off(cluster, how))
