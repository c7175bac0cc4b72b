"""A node whose power is cut is made sure of by a fence agent, and taken over without waiting for its lease."""

import pytest

from tests.hosts.cases import good, power_cut
from tests.hosts.cluster import needs_cluster, on_hosts

pytestmark = [needs_cluster, pytest.mark.processes]

TTL_S = 15.0


def test_a_dead_owner_is_shot_once_and_taken_over_long_before_its_lease_ends() -> None:
    with on_hosts(
        ttl=f"{TTL_S:g}s", fencing=True, settings={"lease": {"ttl": f"{TTL_S:g}s", "renew": "200ms"}}
    ) as made:
        done = power_cut(made, leader_too=False)
        good(made, done)
        assert done.took_s < TTL_S / 2
