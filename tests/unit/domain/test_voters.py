"""Which nodes vote in a managed etcd cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.model import NodeSpec, Role
from failoverd.domain.voters import VOTERS_MAX, majority, voters


def nodes(kinds: str) -> dict[str, NodeSpec]:
    """``mmw``: two members and a witness, named by their place and kind."""
    return {
        f"{kind}{place}": NodeSpec(
            name=f"{kind}{place}", addresses=(), role=Role.WITNESS if kind == "w" else Role.MEMBER
        )
        for place, kind in enumerate(kinds)
    }


@pytest.mark.parametrize(
    ("kinds", "voting"),
    [
        ("m", "m0"),
        ("mm", "m0"),
        ("mmw", "m0 m1 w2"),
        ("wmm", "w0 m1 m2"),
        ("mmm", "m0 m1 m2"),
        ("mmmm", "m0 m1 m2"),
        ("mmmw", "m0 m1 w3"),
        ("mmww", "m0 w2 w3"),
        ("mmmmm", "m0 m1 m2 m3 m4"),
        ("mmmmmmmmw", "m0 m1 m2 m3 m4 m5 w8"),
    ],
)
def test_two_nodes_and_a_witness_are_three_and_so_on(kinds: str, voting: str) -> None:
    assert voters(nodes(kinds)) == tuple(voting.split())


kinds = st.text("mw", min_size=1, max_size=12)


@given(kinds)
def test_an_odd_number_votes_and_witnesses_first(kinds: str) -> None:
    found = voters(nodes(kinds))
    assert len(found) % 2 == 1
    assert len(found) in {min(VOTERS_MAX, len(kinds)), len(kinds) - 1, VOTERS_MAX}
    if any(name.startswith("m") for name in found):
        assert all(name in found for name in nodes(kinds) if name.startswith("w"))


@given(kinds)
def test_a_node_that_is_added_at_the_end_takes_no_vote_away(kinds: str) -> None:
    assert set(voters(nodes(kinds))) <= set(voters(nodes(kinds + "m")))


@given(st.integers(min_value=1, max_value=9))
def test_two_majorities_share_a_voter(count: int) -> None:
    assert 2 * majority(count) > count
    assert majority(count) <= count
