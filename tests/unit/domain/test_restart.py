"""What follows a fault: attempts within the window, then giving up."""

from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.model import OnFault, RestartPolicy
from failoverd.domain.restart import Recovery, RestartBudget

TWICE = RestartPolicy(attempts=2, window_s=600.0)


def test_attempts_are_used_up_within_the_window() -> None:
    budget = RestartBudget()
    said = [budget.after_fault(OnFault.RESTART, TWICE, now) for now in (0.0, 10.0, 20.0, 599.9)]
    assert said == [Recovery.RESTART, Recovery.RESTART, Recovery.GIVE_UP, Recovery.GIVE_UP]


def test_an_attempt_counts_no_more_once_the_window_has_passed() -> None:
    budget = RestartBudget()
    assert budget.after_fault(OnFault.RESTART, TWICE, 0.0) is Recovery.RESTART
    assert budget.after_fault(OnFault.RESTART, TWICE, 10.0) is Recovery.RESTART
    assert budget.after_fault(OnFault.RESTART, TWICE, 600.0) is Recovery.RESTART
    assert budget.after_fault(OnFault.RESTART, TWICE, 601.0) is Recovery.GIVE_UP


def test_failover_gives_up_at_once() -> None:
    assert RestartBudget().after_fault(OnFault.FAILOVER, TWICE, 0.0) is Recovery.GIVE_UP


def test_ignore_neither_restarts_nor_gives_up_however_often() -> None:
    budget = RestartBudget()
    assert {budget.after_fault(OnFault.IGNORE, TWICE, float(now)) for now in range(9)} == {Recovery.IGNORE}
    assert not budget.attempts


def test_no_attempts_means_none() -> None:
    assert RestartBudget().after_fault(OnFault.RESTART, RestartPolicy(attempts=0), 0.0) is Recovery.GIVE_UP


def test_forgotten_attempts_are_granted_anew() -> None:
    budget = RestartBudget()
    policy = RestartPolicy(attempts=1)
    assert budget.after_fault(OnFault.RESTART, policy, 0.0) is Recovery.RESTART
    budget.forget()
    assert budget.after_fault(OnFault.RESTART, policy, 1.0) is Recovery.RESTART


@given(
    st.lists(st.integers(0, 800).map(lambda n: n / 8), max_size=40).map(sorted),
    st.integers(0, 5),
    st.integers(1, 400).map(lambda n: n / 8),
)
def test_never_more_attempts_in_any_window_than_the_policy_grants(
    faults: list[float], attempts: int, window_s: float
) -> None:
    budget = RestartBudget()
    policy = RestartPolicy(attempts=attempts, window_s=window_s)
    granted = [at for at in faults if budget.after_fault(OnFault.RESTART, policy, at) is Recovery.RESTART]
    for at in granted:
        assert sum(at - window_s < other <= at for other in granted) <= attempts
    assert len(budget.attempts) <= attempts
