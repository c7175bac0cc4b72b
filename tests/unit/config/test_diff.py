"""What a reload changes."""

from pathlib import Path

import pytest

from failoverd.config.diff import ConfigDiff, GroupDiff, diff
from failoverd.config.settings import Config
from tests.unit.config.support import HEAD, loaded


def lamp(socket: str, more: str = "") -> str:
    return f"{{type: lamp, socket: {socket}{more}}}"


BASE = f"""\
groups:
  shop: {{components: {{one: {lamp("hall")}, two: {lamp("attic")}}}}}
  mail: {{components: {{it: {lamp("cellar")}}}}}
"""


@pytest.fixture
def base(tmp_path: Path) -> Config:
    return loaded(tmp_path, HEAD + BASE)


def test_nothing(base: Config, tmp_path: Path) -> None:
    found = diff(base, loaded(tmp_path, "# a comment more\n" + HEAD + BASE))
    assert found == ConfigDiff()
    assert found.empty


def test_groups_and_components(base: Config, tmp_path: Path) -> None:
    text = f"""\
groups:
  shop: {{components: {{two: {lamp("attic", ", fade: 1s")}, three: {lamp("roof")}}}}}
  news: {{components: {{it: {lamp("cellar")}}}}}
"""
    found = diff(base, loaded(tmp_path, HEAD + text))
    assert found == ConfigDiff(
        added=("news",),
        removed=("mail",),
        changed={"shop": GroupDiff(added=("three",), removed=("one",), changed=("two",))},
    )
    assert not found.empty


def test_an_untouched_component_of_a_changed_group_is_not_named(base: Config, tmp_path: Path) -> None:
    text = BASE.replace(lamp("attic"), lamp("attic", ", monitor: {interval: 1s}"))
    assert diff(base, loaded(tmp_path, HEAD + text)).changed == {"shop": GroupDiff(changed=("two",))}


def test_keys_of_a_group(base: Config, tmp_path: Path) -> None:
    text = BASE.replace("shop: {", "shop: {nodes: [b, a], max_moves: 2 per 1h, placement: spread, ")
    found = diff(base, loaded(tmp_path, HEAD + text))
    assert found.changed == {"shop": GroupDiff(settings=("nodes", "max_moves", "placement"))}
    assert found.needs_restart == found.settings == ()


def test_defaults_written_out_are_no_change(base: Config, tmp_path: Path) -> None:
    text = BASE.replace("shop: {", "shop: {nodes: [a, b], max_moves: 5 per 60m, mode: failover, ")
    assert diff(base, loaded(tmp_path, HEAD + text + "lease: {ttl: 3000ms}\n")).empty


@pytest.mark.parametrize(
    ("old", "new", "needs_restart"),
    [
        ("cluster: shop", "cluster: other", ("cluster",)),
        ("node: a", "node: b", ("node",)),
        ("127.0.0.1:7801", "127.0.0.1:7802", ("nodes",)),
        ("  b: {address", "  c: {address", ("nodes",)),
        ("cluster.db", "other.db", ("coordinator",)),
        ("coordinator", "run_dir: /r\ncoordinator", ("run_dir",)),
        ("coordinator", "key_file: k\nstate_dir: /s\ncoordinator", ("key_file", "state_dir")),
        ("coordinator", "lease: {ttl: 4s}\nheartbeat: {dead_after: 2s}\ncoordinator", ("heartbeat", "lease")),
        ("node: a\n", "node: b\nrun_dir: /r\n", ("node", "run_dir")),
    ],
)
def test_what_needs_a_restart(base: Config, tmp_path: Path, old: str, new: str, needs_restart: tuple[str, ...]) -> None:
    found = diff(base, loaded(tmp_path, HEAD.replace(old, new) + BASE.replace("shop: {", "shop: {")))
    assert found.needs_restart == needs_restart


def test_what_can_be_applied_at_run_time(base: Config, tmp_path: Path) -> None:
    head = (
        HEAD.replace("a: {address", "a: {max_parallel: 3, capacity: 2.5, address")
        + "fencing: {b: [{agent: fence_x}]}\n"
    )
    found = diff(base, loaded(tmp_path, head + BASE))
    assert (found.settings, found.needs_restart, found.changed) == (("max_parallel", "capacity", "fencing"), (), {})


def test_every_setting_is_compared(base: Config) -> None:
    """A setting that is added to ``Config`` must get a place in the difference."""
    compared = {"cluster", "node", "nodes", "key_file", "state_dir", "run_dir", "coordinator", "heartbeat", "lease"}
    compared |= {"groups", "fencing"}
    assert set(base.__dataclass_fields__) - compared == {"warnings", "source_files"}
