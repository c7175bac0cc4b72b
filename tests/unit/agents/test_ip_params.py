"""What an administrator is told of an ``ip`` component, and where."""

from pathlib import Path

import pytest

from failoverd.agents.ip.params import IpParams
from tests.unit.agents.configured import faults, report, warnings


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("address: 10.0.0.100", "31: 'address': the prefix length is missing: 10.0.0.100/24, for instance"),
        ("address: 2001:db8::1", "31: 'address': the prefix length is missing: 2001:db8::1/64, for instance"),
        ("address: 10.0.0.300/24", "31: 'address': '10.0.0.300' is no IPv4 or IPv6 address (as in 10.0.0.100/24 or"),
        ("address: 10.0.0.1/33", "31: 'address': the prefix length must be a number from 1 to 32, not '33'"),
        ("address: 10.0.0.1/255.255.255.0", "31: 'address': the prefix length must be a number from 1 to 32"),
        ("address: 10.0.0.0/24", "31: 'address': 10.0.0.0/24 is the network's own address, which no host can have"),
        ("address: 10.0.0.255/24", "31: 'address': 10.0.0.255/24 is the network's broadcast address"),
        ("address: 224.0.0.1/24", "31: 'address': 224.0.0.1 is no address that a host can have"),
        ("address: [10.0.0.1/24]", "31: 'address': must be an address with its prefix length, as in"),
        ("address: fe80::1/64", "fe80::1 is a link-local address: say on which 'interface'"),
        ("address: fd00::1/64, label: x", "an IPv6 address has no label"),
        ("address: 10.0.0.1/24, interface: eth0, label: web", "label must begin with the interface's name"),
        (
            "address: 10.0.0.1/24, interface: a-very-long-name",
            "55: 'interface': must be an interface's name, at most 15",
        ),
        ("address: 10.0.0.1/24, nic: eth0", "44: unknown key 'nic'"),
        ("interface: eth0", "'address'"),
        ("address: 10.0.0.1/24, announce: {count: -1}", "62: 'count' must be at least 0"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path: Path, keys: str, said: str) -> None:
    found = faults(tmp_path, f"{{type: ip, {keys}}}")
    assert len(found) == 1
    assert said in found[0]


def test_an_address_is_kept_in_its_one_form(tmp_path: Path) -> None:
    config = report(tmp_path, "{type: ip, address: '2001:DB8:0::0100/064', interface: lo}").config
    assert config is not None
    params = config.groups["g"].components["it"].params
    assert params["address"] == "2001:db8::100/64"
    assert IpParams.model_validate(params) == IpParams(address="2001:db8::100/64", interface="lo")


def test_what_is_not_there_now_is_a_warning(tmp_path: Path) -> None:
    missing = "{type: ip, address: 10.99.0.1/24, interface: eth77}"
    assert warnings(tmp_path, missing) == ["56: component 'it': interface eth77 is not there on this machine"]
    assert warnings(tmp_path, "{type: ip, address: 127.9.9.9/8, interface: lo}") == []


def test_detection_is_the_default_of_ipv6_alone() -> None:
    assert IpParams(address="fd00::1/64").detects
    assert not IpParams(address="10.0.0.1/24").detects
    assert IpParams(address="10.0.0.1/24", duplicate_detection=True).detects
