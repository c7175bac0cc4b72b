"""Addresses of heartbeat links, and which of them are this machine's."""

from pathlib import Path

import pytest

from failoverd.config.machine import ThisMachine, read_hosts
from failoverd.config.nodes import parse_address
from failoverd.config.reader import check
from failoverd.domain.model import NodeSpec, Role
from tests.unit.config.support import TYPES, FakeMachine, checked, loaded, write


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 7800),
        ("10.0.0.1:7900", "10.0.0.1", 7900),
        ("node-a.example.org", "node-a.example.org", 7800),
        ("node_a:1", "node_a", 1),
        ("::1", "::1", 7800),
        ("[::1]", "::1", 7800),
        ("[fe80::1]:65535", "fe80::1", 65535),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7800",
        "a:",
        "a:0",
        "a:65536",
        "a:-1",
        "a:٣",
        "[::1]x",
        "[::1]:",
        "[a]:1",
        "1.2.3",
        "a..b",
        "a b:1",
        "::",
        "x" * 300,
    ],
)
def test_address_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (IPv6 )?address|no host name|the port must be"):
        parse_address(text)


def test_a_witness_may_be_on_fewer_links(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """\
cluster: shop
node: a
nodes:
  a: {address: [10.0.0.1, 10.1.0.1], max_parallel: 4}
  b: {address: [10.0.0.2, 10.1.0.2]}
  w: {address: 10.0.0.3, role: witness}
coordinator: {type: etcd, managed: true}
""",
    )
    assert config.nodes["a"] == NodeSpec(name="a", addresses=(("10.0.0.1", 7800), ("10.1.0.1", 7800)), max_parallel=4)
    assert config.nodes["w"] == NodeSpec(name="w", addresses=(("10.0.0.3", 7800),), role=Role.WITNESS)


@pytest.mark.parametrize(("host", "node"), [("one", "one"), ("one.example.org", "one"), ("two.x", "two.x")])
def test_this_node_is_the_host_name_or_its_first_label(tmp_path: Path, host: str, node: str) -> None:
    text = """\
cluster: shop
nodes:
  one: {address: "127.0.0.1:7801"}
  two.x: {address: "127.0.0.1:7802"}
coordinator: {type: sqlite, path: x}
"""
    config = check(write(tmp_path / "f.yaml", text), TYPES, machine=FakeMachine(hostname=host)).config
    assert config is not None
    assert config.node == node


def test_node_can_be_said_by_the_caller(tmp_path: Path) -> None:
    text = "cluster: shop\nnode: one\nnodes: {one: {address: 127.0.0.1}, two: {address: 127.0.1.1}}\n"
    text += "coordinator: {type: sqlite, path: x}\n"
    assert loaded(tmp_path, text, node="two").node == "two"
    faults = checked(tmp_path, text, node="twoo").faults
    assert [fault.message for fault in faults] == ["this node 'twoo' is not among 'nodes' (did you mean 'two'?)"]


def test_loopback_is_here_and_a_documentation_address_is_not() -> None:
    machine = ThisMachine(hostname="box.example", hosts={"me": "127.0.1.1", "you": "192.0.2.1"})
    assert all(
        machine.is_here(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "me", "box")
    )
    assert all(machine.is_here(host) for host in ("box.example", "BOX.example"))
    # 192.0.2.0/24 and 2001:db8::/32 are nobody's (RFC 5737, RFC 3849); names that only DNS could tell are not asked
    assert not any(machine.is_here(host) for host in ("192.0.2.1", "2001:db8::1", "you", "nobody.invalid", "other"))


def test_hosts_file(tmp_path: Path) -> None:
    text = "127.0.0.1 localhost\n# 10.0.0.9 x\n10.0.0.1\tA.example  a # us\n::1 localhost\nrubbish b\n\n10.0.0.2 a\n"
    assert read_hosts(write(tmp_path / "hosts", text)) == {
        "localhost": "127.0.0.1",
        "a.example": "10.0.0.1",
        "a": "10.0.0.1",
    }
    assert read_hosts(tmp_path / "none") == {}
