"""Replay protection: what an attacker who recorded everything can and cannot do."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd import wire
from failoverd.domain.report import PeerState
from failoverd.links.receiver import STREAMS_MAX, WINDOW, Receiver, Window
from failoverd.ports import Received
from failoverd.wire import Drop, Sealer

KEY = b"k" * 32
SWITCH_AFTER_S = 3.0
OLD, NEW, OTHER = "1" * 32, "2" * 32, "3" * 32


def speaker(incarnation: str = OLD, *, sender: str = "b", cluster: str = "shop", key: bytes = KEY) -> Sealer:
    return Sealer(key, cluster=cluster, sender=sender, incarnation=incarnation)


def say(sealer: Sealer, load: float = 0.0, *, links: int = 1) -> list[bytes]:
    body, _ = wire.encode(PeerState(ready=True, coordinator_ok=True, load=load))
    return sealer.seal(body, links)


@dataclass
class Ear:
    """A receiver of node "a" that knows "b" and "c", and the time it is there."""

    receiver: Receiver = field(
        default_factory=lambda: Receiver(cluster="shop", node="a", key=KEY, switch_after_s=SWITCH_AFTER_S)
    )
    now: float = 100.0

    def __post_init__(self) -> None:
        self.receiver.configure(["a", "b", "c"])

    def hear(self, data: bytes, link: int = 0) -> Received | Drop:
        return self.receiver.receive(data, link=link, at=self.now, arrived_after=self.now - 0.1)

    def load(self, data: bytes, link: int = 0) -> float:
        """What an accepted datagram says."""
        got = self.hear(data, link)
        assert isinstance(got, Received), got
        return got.state.load

    def expect(self, incarnation: str) -> None:
        self.receiver.expect("b", incarnation, self.now)


def test_a_good_datagram_is_delivered_with_all_that_is_known_of_it() -> None:
    got = Ear().hear(say(speaker(), 0.5, links=2)[1], link=1)
    state = PeerState(ready=True, coordinator_ok=True, load=0.5)
    assert got == Received(peer="b", incarnation=OLD, link=1, at=100.0, state=state, arrived_after=99.9)


@pytest.mark.parametrize(
    ("sealer", "reason"),
    [
        (speaker(sender="a"), Drop.OWN),
        (speaker(sender="x"), Drop.UNKNOWN_PEER),
        (speaker(key=bytes(32)), Drop.FORGED),
        (speaker(cluster="other"), Drop.OTHER_CLUSTER),
    ],
)
def test_strangers_are_dropped(sealer: Sealer, reason: Drop) -> None:
    assert Ear().hear(say(sealer)[0]) is reason


def test_a_datagram_of_one_link_does_not_make_another_look_alive() -> None:
    assert Ear().hear(say(speaker(), links=2)[1], link=0) is Drop.WRONG_LINK


# --- within one incarnation -----------------------------------------------------------------------------------


def test_a_replayed_datagram_is_dropped() -> None:
    ear, b = Ear(), speaker()
    first, second = say(b)[0], say(b)[0]
    assert isinstance(ear.hear(first), Received)
    assert ear.hear(first) is Drop.REPLAYED
    assert isinstance(ear.hear(second), Received)
    assert [ear.hear(data) for data in (first, second)] == [Drop.REPLAYED] * 2


def test_a_datagram_overtaken_on_its_link_is_late_and_after_that_a_replay() -> None:
    ear, b = Ear(), speaker()
    first, second = say(b, 1)[0], say(b, 2)[0]
    assert ear.load(second) == 2
    assert ear.hear(first) is Drop.LATE
    assert ear.hear(first) is Drop.REPLAYED


def test_a_forged_late_datagram_leaves_the_real_one_its_chance() -> None:
    ear, b = Ear(), speaker()
    first, second = say(b)[0], say(b)[0]
    ear.hear(second)
    assert ear.hear(first[:-1] + b"x") is Drop.FORGED
    assert ear.hear(first) is Drop.LATE


def test_the_copy_on_the_second_link_proves_the_link_but_is_no_news() -> None:
    ear, b = Ear(), speaker()
    one, two = say(b, 7, links=2)
    first, copy = ear.hear(one, 0), ear.hear(two, 1)
    assert isinstance(first, Received)
    assert isinstance(copy, Received)
    assert (first.fresh, copy.fresh) == (True, False)
    assert (copy.link, copy.state) == (1, first.state)


def test_an_older_message_on_a_slower_link_does_not_take_back_a_newer_one() -> None:
    ear, b = Ear(), speaker()
    _, slow = say(b, 1, links=2)
    fast, _ = say(b, 2, links=2)
    assert ear.load(fast, 0) == 2
    got = ear.hear(slow, 1)
    assert isinstance(got, Received)
    assert not got.fresh
    assert got.state.load == 2


def test_an_authentic_datagram_that_says_nothing_is_malformed() -> None:
    ear = Ear()
    one, two = speaker().seal(b"J[]", 2)
    assert ear.hear(one) is Drop.MALFORMED
    assert ear.hear(two, 1) is Drop.MALFORMED


# --- between incarnations -------------------------------------------------------------------------------------


def test_before_the_coordinator_speaks_the_first_heard_counts() -> None:
    ear = Ear()
    assert isinstance(ear.hear(say(speaker(OLD))[0]), Received)
    assert ear.hear(say(speaker(NEW))[0]) is Drop.STALE


def test_the_coordinator_names_the_incarnation_and_the_old_one_is_stale_at_once() -> None:
    ear, old, new = Ear(), speaker(OLD), speaker(NEW)
    ear.hear(say(old)[0])
    ear.expect(NEW)
    assert ear.hear(say(old)[0]) is Drop.STALE
    assert isinstance(ear.hear(say(new)[0]), Received)
    ear.now += 1000
    assert ear.hear(say(old)[0]) is Drop.STALE


def test_a_restarted_receiver_that_knows_the_record_is_not_fooled_by_recordings() -> None:
    ear = Ear()
    recorded = [say(sealer)[0] for sealer in (speaker(OLD), speaker(OTHER))]
    ear.expect(NEW)
    assert [ear.hear(data) for data in recorded] == [Drop.STALE] * 2
    assert isinstance(ear.hear(say(speaker(NEW))[0]), Received)


def test_confirming_the_incarnation_that_is_heard_keeps_its_windows() -> None:
    ear, data = Ear(), say(speaker())[0]
    ear.hear(data)
    ear.expect(OLD)
    assert ear.hear(data) is Drop.REPLAYED


def test_a_new_incarnation_is_accepted_without_a_coordinator_once_the_old_one_is_silent() -> None:
    ear, old, new = Ear(), speaker(OLD), speaker(NEW)
    recorded = say(old)[0]
    ear.hear(say(old)[0])
    ear.now += SWITCH_AFTER_S - 0.1
    assert ear.hear(say(new)[0]) is Drop.STALE
    ear.now += 0.2
    assert isinstance(ear.hear(say(new)[0]), Received)
    ear.now += 1000
    assert ear.hear(recorded) is Drop.STALE, "superseded for good"


def test_the_incarnation_that_the_coordinator_named_takes_over_again_when_it_speaks() -> None:
    ear, named, guest = Ear(), speaker(OLD), speaker(NEW)
    ear.expect(OLD)
    recorded = say(named)[0]
    ear.hear(recorded)
    ear.now += SWITCH_AFTER_S + 1
    assert isinstance(ear.hear(say(guest)[0]), Received)
    assert ear.hear(recorded) is Drop.REPLAYED, "its windows were kept"
    assert isinstance(ear.hear(say(named)[0]), Received)
    assert ear.hear(say(guest)[0]) is Drop.STALE


def test_the_coordinator_may_name_what_was_held_for_superseded() -> None:
    ear, one, two = Ear(), speaker(OLD), speaker(NEW)
    ear.hear(say(one)[0])
    ear.expect(NEW)
    ear.hear(say(two)[0])
    ear.expect(OLD)
    assert isinstance(ear.hear(say(one)[0]), Received)
    assert ear.hear(say(two)[0]) is Drop.STALE


def test_a_forged_datagram_of_a_new_incarnation_does_not_displace_the_present_one() -> None:
    ear, b = Ear(), speaker(OLD)
    ear.hear(say(b)[0])
    ear.now += SWITCH_AFTER_S + 1
    assert ear.hear(say(speaker(NEW, key=bytes(32)))[0]) is Drop.FORGED
    assert isinstance(ear.hear(say(b)[0]), Received)


def test_one_peers_incarnations_are_nothing_to_another() -> None:
    ear = Ear()
    ear.hear(say(speaker(OLD))[0])
    assert isinstance(ear.hear(say(speaker(NEW, sender="c"))[0]), Received)


def test_a_peer_that_leaves_the_configuration_and_returns_cannot_be_replayed() -> None:
    ear, data = Ear(), say(speaker())[0]
    ear.hear(data)
    ear.receiver.configure(["a", "c"])
    assert ear.hear(data) is Drop.UNKNOWN_PEER
    ear.receiver.configure(["a", "b", "c"])
    assert ear.hear(data) is Drop.REPLAYED


def test_countless_incarnations_take_bounded_memory_and_the_latest_stay_stale() -> None:
    ear = Ear()
    recorded = []
    for count in range(3 * STREAMS_MAX):
        sealer = speaker(f"{count:032x}")
        recorded.append(say(sealer)[0])
        ear.expect(f"{count:032x}")
        assert isinstance(ear.hear(say(sealer)[0]), Received)
    ear.now += 1000
    assert {ear.hear(data) for data in recorded[-STREAMS_MAX:-1]} == {Drop.STALE}
    assert len(ear.receiver._peers["b"].streams) == STREAMS_MAX


# --- the window -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3 * WINDOW) | st.integers(1, 2**64 - 1), max_size=200))
def test_window_agrees_with_a_naive_one(numbers: list[int]) -> None:
    window, seen = Window(), set[int]()
    for number in numbers:
        newest = max(seen, default=-math.inf)
        if number > newest:
            expected = None
        elif number in seen or newest - number >= WINDOW:
            expected = Drop.REPLAYED
        else:
            expected = Drop.LATE
        assert window.fault(number) is expected
        if expected is not Drop.REPLAYED:
            window.mark(number)
            seen.add(number)
