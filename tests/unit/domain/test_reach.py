"""What each way of not quite reaching a member is called."""

import pytest

from failoverd.domain.detector import LinkState
from failoverd.domain.reach import Evidence, Reach, reach

UP, DOWN = LinkState.UP, LinkState.DOWN


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (Evidence(silent=False, links=(UP, UP), hears_us=True), Reach.FULL, ""),
        (Evidence(silent=False, links=(UP, DOWN), hears_us=True), Reach.REDUCED, "1 of 2 links do not work"),
        (Evidence(silent=False, links=(LinkState.ONE_WAY,), hears_us=False), Reach.ONE_WAY, "it does not hear us"),
        (Evidence(silent=False, coordinator_ok=False), Reach.LOST_COORDINATOR, "cannot reach the coordinator"),
        (Evidence(silent=False, unheard_by=("c", "d")), Reach.PARTIAL, "c, d do not hear it"),
        (Evidence(silent=True, renewed=True), Reach.CUT, "the network between us is cut"),
        (Evidence(silent=True, heard_by=("c",)), Reach.PARTIAL, "nothing is heard of it here, but c hears it"),
        (Evidence(silent=True), Reach.SILENT, ""),
        (Evidence(silent=True, coordinator_ok=False, unheard_by=("c",)), Reach.SILENT, ""),
    ],
)
def test_each_has_a_name_and_a_reason(found: Evidence, state: Reach, says: str) -> None:
    assert reach(found)[0] is state
    assert says in reach(found)[1]


def test_the_worst_names_it_and_all_are_told() -> None:
    found = Evidence(silent=False, links=(UP, DOWN), hears_us=True, coordinator_ok=False, unheard_by=("c",))
    state, reason = reach(found)
    assert state is Reach.PARTIAL
    assert reason == "c does not hear it; it answers, but cannot reach the coordinator; 1 of 2 links do not work"
