"""The detector: who is silent, which links work, and when we may believe it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.detector import (
    Change,
    Detector,
    LinkChange,
    LinkState,
    Liveness,
    PeerChange,
    Stall,
    StallGuard,
)

DEAD_AFTER_S = 1.0
STEP_S = 0.125
"""Between ticks; a power of two, so that sums of it are exact."""


@dataclass
class Bench:
    """A detector and the time it is there."""

    peers: Mapping[str, int] = field(default_factory=lambda: {"b": 2})
    now: float = 100.0

    def __post_init__(self) -> None:
        self.detector = Detector(dead_after_s=DEAD_AFTER_S, now=self.now)
        self.detector.watch(self.peers, self.now)
        self.changes: list[Change] = []

    def hear(self, peer: str = "b", *links: int, told: Iterable[float | None] = (), old: bool = False) -> None:
        """``old``: it may have lain in the socket's buffer for long."""
        arrived_after = self.now - 100 if old else self.now
        for link in links or (0,):
            self.changes += self.detector.heard(peer, link, self.now, arrived_after=arrived_after, told=tuple(told))

    def run(self, duration: float, *links: int, told: Iterable[float | None] = ()) -> None:
        """Let time pass in ticks, the peer being heard on these links at each."""
        for _ in range(round(duration / STEP_S)):
            self.now += STEP_S
            if links:
                self.hear("b", *links, told=told)
            self.changes += self.detector.tick(self.now)

    def pause(self, duration: float) -> None:
        self.now += duration
        self.changes += self.detector.tick(self.now)

    def state(self, peer: str = "b") -> Liveness:
        return self.detector.view()[peer].state

    def links(self, peer: str = "b") -> list[LinkState]:
        return [link.state for link in self.detector.view()[peer].links]

    def news(self) -> list[str]:
        """What changed since the last call, in short."""
        found = []
        for change in self.changes:
            match change:
                case PeerChange():
                    found.append(f"{change.peer} {change.was}>{change.state}")
                case LinkChange():
                    found.append(f"{change.peer}{change.link} {change.was}>{change.state}")
                case Stall():
                    found.append("stall")
        self.changes.clear()
        return found


# --- silence --------------------------------------------------------------------------------------------------


def test_a_peer_is_unknown_until_heard_or_silent_for_dead_after() -> None:
    bench = Bench(peers={"b": 1, "c": 1})
    assert bench.state("b") is Liveness.UNKNOWN
    bench.hear("b")
    assert bench.news() == ["b0 unknown>up", "b unknown>up"]
    bench.run(DEAD_AFTER_S - STEP_S, 0)
    assert bench.news() == []
    bench.run(STEP_S, 0)
    assert bench.news() == ["c0 unknown>down", "c unknown>suspected"]


def test_silence_for_dead_after_and_no_less_makes_suspected_and_one_datagram_lifts_it() -> None:
    bench = Bench()
    bench.run(1.0, 0, 1)
    bench.news()
    bench.run(DEAD_AFTER_S - STEP_S)
    assert bench.news() == []
    bench.run(STEP_S)
    assert bench.news() == ["b0 up>down", "b1 up>down", "b up>suspected"]
    bench.hear("b", 1)
    assert bench.news() == ["b1 down>up", "b suspected>up"]


def test_a_change_says_how_long_it_was_silent() -> None:
    bench = Bench(peers={"b": 1})
    bench.hear()
    bench.run(DEAD_AFTER_S)
    assert [change.silent_s for change in bench.changes if not isinstance(change, Stall)][-1] == DEAD_AFTER_S


def test_one_dead_link_of_two_is_that_link_alone() -> None:
    bench = Bench()
    bench.run(1.0, 0, 1)
    bench.news()
    bench.run(5.0, 1)
    assert bench.news() == ["b0 up>down"]
    assert bench.state() is Liveness.UP
    bench.run(STEP_S, 0, 1)
    assert bench.news() == ["b0 down>up"]


def test_datagrams_of_strangers_and_of_links_that_are_gone_change_nothing() -> None:
    bench = Bench()
    bench.hear("x")
    bench.hear("b", 5)
    assert bench.news() == []


# --- one way --------------------------------------------------------------------------------------------------


def test_a_link_on_which_only_the_peer_hears_us_is_one_way() -> None:
    bench = Bench()
    bench.run(1.0, 0, 1, told=(0.1, 0.1))
    bench.news()
    bench.run(2.0, 1, told=(0.1, 0.1))
    assert bench.news() == ["b0 up>one_way"]


def test_a_link_on_which_only_we_hear_the_peer_is_one_way_once_it_keeps_saying_so() -> None:
    bench = Bench()
    bench.run(1.0, 0, 1, told=(0.1, 0.1))
    bench.news()
    bench.run(DEAD_AFTER_S / 2, 0, 1, told=(0.1, DEAD_AFTER_S))
    assert bench.news() == []
    bench.run(STEP_S, 0, 1, told=(0.1, DEAD_AFTER_S))
    assert bench.news() == ["b1 up>one_way"]
    bench.run(STEP_S, 0, 1, told=(0.1, 0.0))
    assert bench.news() == ["b1 one_way>up"]


def test_a_peer_that_just_began_and_has_not_heard_us_yet_is_no_alarm() -> None:
    bench = Bench()
    bench.run(2 * STEP_S, 0, 1, told=(None, None))
    bench.run(1.0, 0, 1, told=(0.1, 0.1))
    assert bench.news() == ["b0 unknown>up", "b unknown>up", "b1 unknown>up"]


def test_a_peer_that_never_hears_us_is_one_way() -> None:
    bench = Bench(peers={"b": 1})
    bench.run(1.0, 0, told=(None,))
    assert bench.news() == ["b0 unknown>up", "b unknown>up", "b0 up>one_way"]
    assert bench.state() is Liveness.UP


def test_the_word_of_a_peer_that_fell_silent_itself_counts_no_more() -> None:
    bench = Bench()
    bench.run(1.0, 0, 1, told=(0.1, 0.1))
    bench.run(DEAD_AFTER_S + 0.5, 1, told=(0.1, 0.1))
    assert bench.links() == [LinkState.ONE_WAY, LinkState.UP]
    bench.run(2 * DEAD_AFTER_S)
    assert bench.links() == [LinkState.DOWN, LinkState.DOWN]


# --- our own stalls -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "stalled"), [(DEAD_AFTER_S / 2, False), (DEAD_AFTER_S / 2 + 1 / 64, True), (60.0, True)]
)
def test_a_gap_longer_than_half_of_dead_after_is_a_stall(gap: float, stalled: bool) -> None:
    guard = StallGuard(dead_after_s=DEAD_AFTER_S, now=10.0)
    stall = guard.tick(10.0 + gap, ["b"])
    assert stall == (Stall(gap_s=gap, until=10.0 + gap + DEAD_AFTER_S) if stalled else None)
    assert guard.trusts(10.0 + gap) is not stalled


def test_a_stall_under_way_is_distrusted_before_any_tick_noticed_it() -> None:
    assert not Bench().detector.trusts(100.0 + DEAD_AFTER_S)


def test_nobody_is_declared_dead_on_account_of_our_own_stall() -> None:
    bench = Bench(peers={"b": 2})
    bench.run(1.0, 0, 1, told=(0.1, 0.1))
    bench.news()
    bench.pause(30.0)
    assert bench.news() == ["stall"]
    bench.run(DEAD_AFTER_S - STEP_S)
    assert bench.news() == []
    bench.run(STEP_S)
    assert bench.news() == ["b0 up>down", "b1 up>down", "b up>suspected"]


def test_a_datagram_read_before_the_stall_is_noticed_condemns_nothing() -> None:
    """The loop wakes up: the reader runs before the tick. Link 1 has been silent because we were."""
    bench = Bench()
    bench.run(1.0, 0, 1, told=(0.1, 0.1))
    bench.news()
    bench.now += 30
    bench.hear("b", 0, told=(29.0, 29.0), old=True)
    bench.changes += bench.detector.tick(bench.now)
    assert bench.news() == ["stall"]


def test_who_was_suspected_before_the_stall_stays_suspected() -> None:
    bench = Bench(peers={"b": 1, "c": 1})
    bench.run(DEAD_AFTER_S, 0)
    bench.pause(30.0)
    assert (bench.state("b"), bench.state("c")) == (Liveness.UP, Liveness.SUSPECTED)


def test_the_view_is_trusted_again_when_all_unsuspected_peers_were_heard() -> None:
    bench = Bench(peers={"b": 1, "c": 1, "gone": 1})
    for _ in range(8):
        bench.hear("c")
        bench.run(STEP_S, 0)
    assert bench.state("gone") is Liveness.SUSPECTED
    bench.pause(5.0)
    assert not bench.detector.trusts(bench.now)
    bench.now += STEP_S
    bench.changes += bench.detector.tick(bench.now)
    bench.hear("b")
    assert not bench.detector.trusts(bench.now)
    bench.hear("c")
    assert bench.detector.trusts(bench.now)


def test_what_lay_in_the_buffer_during_the_stall_confirms_nothing() -> None:
    bench = Bench(peers={"b": 1})
    bench.run(1.0, 0)
    bench.pause(5.0)
    bench.hear("b", old=True)
    assert not bench.detector.trusts(bench.now)
    bench.hear("b")
    assert bench.detector.trusts(bench.now)


def test_the_view_is_trusted_again_dead_after_the_stall_at_the_latest() -> None:
    bench = Bench(peers={"b": 1})
    bench.hear()
    bench.pause(5.0)
    assert bench.detector.next_deadline() == bench.now + DEAD_AFTER_S
    bench.run(DEAD_AFTER_S - STEP_S)
    assert not bench.detector.trusts(bench.now)
    bench.run(STEP_S)
    assert bench.detector.trusts(bench.now)
    assert bench.state() is Liveness.SUSPECTED


def test_where_nobody_can_confirm_the_view_time_does() -> None:
    bench = Bench(peers={})
    bench.pause(5.0)
    assert not bench.detector.trusts(bench.now)
    bench.run(DEAD_AFTER_S)
    assert bench.detector.trusts(bench.now)


# --- the rest -------------------------------------------------------------------------------------------------


def test_peers_come_and_go_and_those_that_stay_are_not_forgotten() -> None:
    bench = Bench(peers={"b": 1, "c": 1})
    bench.run(DEAD_AFTER_S, 0)
    bench.detector.watch({"b": 2, "d": 1}, bench.now)
    assert {name: view.state for name, view in bench.detector.view().items()} == {
        "b": Liveness.UP,
        "d": Liveness.UNKNOWN,
    }
    assert bench.links() == [LinkState.UP, LinkState.UNKNOWN]


def test_a_peer_without_links_is_refused() -> None:
    with pytest.raises(ValueError, match="links"):
        Bench(peers={"b": 0})


def test_ages_for_our_own_heartbeats() -> None:
    bench = Bench()
    bench.hear("b", 1)
    assert bench.detector.ages(bench.now + 0.12345) == {"b": (None, 0.123)}


# --- against a naive twin -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    at: float
    link: int
    told: tuple[float | None, float | None] | None


@dataclass
class Twin:
    """Judges each time from the whole history, as the rules say it; without stalls."""

    began: float
    history: list[Heard] = field(default_factory=list)

    def link(self, link: int, now: float) -> LinkState:
        times = [heard.at for heard in self.history if heard.link == link]
        silent = now - max(times, default=self.began) >= DEAD_AFTER_S
        word = [(heard.at, heard.told[link]) for heard in self.history if heard.told is not None]
        fresh = bool(word) and now - word[-1][0] < DEAD_AFTER_S
        deaf_since = None
        for at, age in word:
            if age is not None and age < DEAD_AFTER_S:
                deaf_since = None
            elif deaf_since is None:
                deaf_since = at
        if silent:
            return LinkState.ONE_WAY if fresh and deaf_since is None else LinkState.DOWN
        if not times:
            return LinkState.UNKNOWN
        deaf = fresh and deaf_since is not None and now - deaf_since >= DEAD_AFTER_S / 2
        return LinkState.ONE_WAY if deaf else LinkState.UP

    def peer(self, now: float) -> Liveness:
        times = [heard.at for heard in self.history]
        if now - max(times, default=self.began) >= DEAD_AFTER_S:
            return Liveness.SUSPECTED
        return Liveness.UP if times else Liveness.UNKNOWN


moves = st.tuples(
    st.sets(st.integers(0, 1)),
    st.none() | st.tuples(*[st.none() | st.sampled_from([0.0, 0.5, 1.0, 3.0])] * 2),
    st.integers(1, 6),
)


@given(st.lists(moves, max_size=30))
def test_detector_agrees_with_the_twin(
    script: list[tuple[set[int], tuple[float | None, float | None] | None, int]],
) -> None:
    bench = Bench()
    twin = Twin(bench.now)
    for links, told, steps in script:
        for link in sorted(links):
            twin.history.append(Heard(bench.now, link, told))
            bench.hear("b", link, told=told or ())
        for _ in range(steps):
            bench.run(STEP_S)
            assert bench.links() == [twin.link(0, bench.now), twin.link(1, bench.now)]
            assert bench.state() is twin.peer(bench.now)


@given(st.lists(moves, max_size=30))
def test_nothing_changes_by_time_alone_before_the_deadline(
    script: list[tuple[set[int], tuple[float | None, float | None] | None, int]],
) -> None:
    bench = Bench()
    for links, told, steps in script:
        for link in sorted(links):
            bench.hear("b", link, told=told or ())
        for _ in range(steps):
            bench.changes.clear()
            deadline = bench.detector.next_deadline()
            bench.run(STEP_S)
            assert not bench.changes or (deadline is not None and deadline <= bench.now)
