"""The power switch and its fence agent."""

from collections.abc import Iterator

import pytest

from tests.hosts.host import Host
from tests.hosts.lab import Lab, needs_hosts
from tests.hosts.power import AGENT, PowerSwitch

pytestmark = [needs_hosts, pytest.mark.processes]

ON, FAILED, OFF = 0, 1, 2
"""Exit status of ``action=status`` (FenceAgentAPI)."""


@pytest.fixture
def switch() -> Iterator[PowerSwitch]:
    with Lab("a", "b") as lab, PowerSwitch(lab=lab) as made:
        yield made


def asked(host: Host, switch: PowerSwitch, action: str, of: str) -> int:
    text = f"action={action}\nnodename={of}\ndirectory={switch.directory}\n"
    return host.run(str(AGENT), text=text).returncode


def test_a_host_cuts_anothers_power(switch: PowerSwitch) -> None:
    a, b = switch.lab["a"], switch.lab["b"]
    told: list[tuple[str, bool]] = []
    switch.on_off = lambda name: told.append((name, switch.lab[name].on))
    assert asked(b, switch, "monitor", "a") == 0
    assert asked(b, switch, "status", "a") == ON
    assert asked(b, switch, "off", "a") == 0
    assert not a.on
    assert told == [("a", False)]
    assert asked(b, switch, "status", "a") == OFF
    assert asked(b, switch, "off", "a") == 0
    assert [(one.host, one.by) for one in switch.off()] == [("a", "b"), ("a", "b")]
    assert all(one.answered_at - one.at >= switch.answers_after_s for one in switch.requests)
    a.power_on()
    assert asked(a, switch, "status", "b") == ON


def test_an_unknown_host_and_a_switch_out_of_reach(switch: PowerSwitch) -> None:
    b = switch.lab["b"]
    assert asked(b, switch, "off", "x") == FAILED
    assert asked(b, switch, "status", "a") == ON
    switch.out_of_reach = True
    assert asked(b, switch, "off", "a") == FAILED
    assert switch.lab["a"].on
