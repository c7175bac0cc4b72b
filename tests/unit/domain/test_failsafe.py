"""The arithmetic of promises, against a naive twin that sees true time and every datagram."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.failsafe import (
    ASKS_MAX,
    Asked,
    Asker,
    Promiser,
    Unwilling,
    asks_from,
    failsafe_faults,
    fences_from,
    needed_s,
)
from failoverd.domain.lease import LeaseSettings
from failoverd.domain.placement import LeaseState
from failoverd.domain.report import Promise

ME = "i1"


def asked(**changes: object) -> Asked:
    plain: dict[str, object] = {
        "incarnation": ME,
        "number": 1,
        "member": LeaseState.LIVE,
        "known_incarnation": ME,
        "lease_revision": 7,
    }
    return Asked(**(plain | changes))  # type: ignore[arg-type]


# --- the asker ----------------------------------------------------------------------------------------------------


def promise(number: int, for_s: float = 3.0, incarnation: str = ME) -> Promise:
    return Promise(incarnation=incarnation, asked=number, for_s=for_s)


def test_it_counts_from_when_it_asked_however_late_the_answer() -> None:
    asker = Asker(ME, ["b"])
    number = asker.ask(100.0)
    for later in range(1, 20):
        asker.ask(100.0 + later)
    asker.promised("b", promise(number))
    assert asker.until == 103.0


def test_everybody_must_have_promised_and_the_first_end_counts() -> None:
    asker = Asker(ME, ["b", "c"])
    asker.promised("b", promise(asker.ask(100.0)))
    assert asker.until is None
    assert asker.lacking(101.0) == ("c",)
    asker.promised("c", promise(asker.ask(101.0)))
    assert asker.until == 103.0
    assert asker.lacking(103.5) == ("b",)


def test_nobody_to_ask_is_nobody_to_rely_on() -> None:
    asker = Asker(ME, [])
    asker.ask(1.0)
    assert asker.until is None


@pytest.mark.parametrize(
    ("by", "made"),
    [
        ("stranger", promise(1)),
        ("b", promise(1, incarnation="i0")),
        ("b", promise(2)),
        ("b", promise(0)),
    ],
)
def test_what_is_not_an_answer_to_our_question_prolongs_nothing(by: str, made: Promise) -> None:
    asker = Asker(ME, ["b"])
    asker.ask(100.0)
    asker.promised(by, made)
    assert asker.until is None


def test_an_older_answer_shortens_nothing_and_a_forgotten_question_counts_for_nothing() -> None:
    asker = Asker(ME, ["b"])
    first, second = asker.ask(100.0), asker.ask(101.0)
    asker.promised("b", promise(second))
    asker.promised("b", promise(first))
    assert asker.until == 104.0
    for _ in range(ASKS_MAX):
        asker.ask(200.0)
    asker.promised("b", promise(second, for_s=1000.0))
    assert asker.until == 104.0


# --- the promiser -------------------------------------------------------------------------------------------------


def test_a_promise_is_held_for_longer_than_it_says_by_the_drift() -> None:
    promiser = Promiser(3.0)
    assert promiser.ask("a", asked(number=5), 10.0, informed=True) is None
    assert promiser.given == {"a": promise(5)}
    assert promiser.until("a") == pytest.approx(13.15)
    assert not promiser.begin_fencing("a", 7, 13.1)
    promiser.asks_no_more("a")
    assert promiser.given == {}
    assert not promiser.begin_fencing("a", 7, 13.1), "said no more, and held all the same"
    assert promiser.begin_fencing("a", 7, 13.2)


@pytest.mark.parametrize(
    ("question", "informed", "why"),
    [
        (asked(), False, Unwilling.NOT_INFORMED),
        (asked(member=LeaseState.FENCED), True, Unwilling.NOT_LIVE),
        (asked(member=None, known_incarnation=""), True, Unwilling.NOT_LIVE),
        (asked(known_incarnation="i0"), True, Unwilling.OTHER_INCARNATION),
    ],
)
def test_nothing_is_promised_to_whom_we_may_have_fenced(question: Asked, informed: bool, why: Unwilling) -> None:
    promiser = Promiser(3.0)
    assert promiser.ask("a", question, 10.0, informed=informed) is why
    assert promiser.given == {}
    assert promiser.until("a") == 0.0


def test_whoever_has_begun_a_fencing_promises_nothing_until_the_record_has_changed() -> None:
    promiser = Promiser(3.0)
    assert promiser.begin_fencing("a", 7, 10.0)
    assert promiser.ask("a", asked(lease_revision=7), 11.0, informed=True) is Unwilling.FENCING
    assert promiser.ask("a", asked(lease_revision=8), 11.0, informed=True) is None


def test_switched_off_it_promises_nothing() -> None:
    assert Promiser(0.0).ask("a", asked(), 10.0, informed=True) is Unwilling.OFF


def test_who_was_restarted_waits_what_was_promised_and_the_drift() -> None:
    assert fences_from(100.0, 3.0) == pytest.approx(103.15)
    assert fences_from(100.0, 0.0) == 100.0


# --- both, in true time -------------------------------------------------------------------------------------------


@dataclass
class Twin:
    """True time and all datagrams: for each promise that has arrived, when the question was asked."""

    others: int
    for_s: float
    rate: float
    """Of the asker's clock: how many of its seconds a true one has."""
    last: dict[int, float] = field(default_factory=dict)

    def arrived(self, by: int, asked_at: float) -> None:
        self.last[by] = max(self.last.get(by, -1.0), asked_at)

    def end(self) -> float | None:
        if len(self.last) < self.others:
            return None
        return min(self.last.values()) + self.for_s / self.rate


rates = st.floats(1 / 1.05**0.5, 1.05**0.5)
exchanges = st.lists(
    st.tuples(st.integers(0, 3), st.floats(0.01, 2.0), st.floats(0.0, 4.0), st.floats(0.0, 4.0), st.booleans()),
    max_size=30,
)


@given(others=st.integers(1, 4), for_s=st.floats(0.5, 30), rate=rates, theirs=st.lists(rates, min_size=4, max_size=4),
       sent=exchanges)  # fmt: skip
def test_nobody_may_fence_while_the_asker_counts_on_it(
    others: int, for_s: float, rate: float, theirs: list[float], sent: list[tuple[int, float, float, float, bool]]
) -> None:
    """Questions and answers take any time, are lost and overtake each other; clocks drift by five percent."""
    names = [f"p{number}" for number in range(others)]
    asker, twin = Asker(ME, names), Twin(others, for_s, rate)
    promisers = [Promiser(for_s) for _ in names]
    answers: list[tuple[float, int, int, float]] = []
    heard: list[tuple[float, int, int, float, float]] = []
    now = 0.0
    for number, pause, there, back, lost in sent:
        now += pause
        to = number % others
        question = asker.ask(now * rate)
        heard.append((now + there, to, question, now, back if not lost else -1.0))
    for at, to, question, asked_at, back in sorted(heard):
        why = promisers[to].ask(names[to], asked(number=question), at * theirs[to], informed=True)
        assert why is None
        if back >= 0:
            answers.append((at + back, to, question, asked_at))
    for _, by, question, asked_at in sorted(answers):
        asker.promised(names[by], promise(question, for_s))
        twin.arrived(by, asked_at)
    end = twin.end()
    assert (asker.until is None) == (end is None)
    if end is None or asker.until is None:
        return
    assert asker.until / rate == pytest.approx(end)
    for each, name, clock in zip(promisers, names, theirs, strict=False):
        held_until = each.until(name) / clock
        assert held_until >= end - 1e-6
        assert not each.begin_fencing(name, 9, (end - 1e-6) * clock) or end <= 1e-6


# --- what must hold of the configuration --------------------------------------------------------------------------


@given(ttl_s=st.floats(1.0, 60), interval=st.floats(0.02, 0.08))
def test_what_follows_from_ttl_holds_the_inequalities_at_the_usual_pace(ttl_s: float, interval: float) -> None:
    lease = LeaseSettings.of(ttl_s=ttl_s)
    assert failsafe_faults(lease, interval_s=interval, dead_after_s=3 * interval) == ()


def test_a_violated_inequality_is_told_with_its_numbers() -> None:
    lease = LeaseSettings.of(ttl_s=3.0, failsafe_s=2.0)
    (fault,) = failsafe_faults(lease, interval_s=0.1, dead_after_s=1.0)
    assert "dead_after + 2*interval + self_stop <= failsafe does not hold: 1s + 2*0.1s + 1s = 2.2s" in fault
    assert "failsafe is 2s" in fault
    assert needed_s(lease, interval_s=0.1, dead_after_s=1.0) == pytest.approx(2.2)
    (late,) = failsafe_faults(LeaseSettings.of(ttl_s=3.0, failsafe_s=9.0), interval_s=0.6, dead_after_s=1.8)
    assert "1s + 2*0.6s + 1s = 3.2s, ttl is 3s" in late
    assert failsafe_faults(LeaseSettings.of(failsafe_s=0.0), interval_s=9.0, dead_after_s=30.0) == ()


def test_it_is_asked_when_the_next_renewal_should_have_been_answered() -> None:
    assert asks_from(LeaseSettings.of(ttl_s=3.0), 100.0) == 101.0


def test_who_renews_often_does_not_ask_for_the_first_renewal_that_is_late() -> None:
    assert asks_from(LeaseSettings.of(ttl_s=3.0, renew_s=0.05), 100.0) == 101.0
    assert asks_from(LeaseSettings.of(ttl_s=3.0, renew_s=0.7, self_stop_s=0.7), 100.0) == pytest.approx(101.4)
