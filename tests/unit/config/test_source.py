"""Files: included ones, large ones, ones that are no files."""

import os
from pathlib import Path

import pytest

from failoverd.config.fault import ConfigError
from failoverd.config.reader import load
from failoverd.config.source import FILE_BYTES_MAX, FILES_MAX, read
from tests.unit.config.support import EXEC, HEAD, TYPES, FakeMachine, checked, loaded, write


def test_included_files_add_up_and_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "groups.d/b.yaml", f"groups: {{mail: {{components: {{smtp: {EXEC}}}}}}}\ninclude: deeper/*.yaml\n")
    write(tmp_path / "groups.d/a.yaml", f"groups: {{shop: {{components: {{db: {EXEC}}}}}}}\n")
    write(tmp_path / "groups.d/deeper/c.yaml", 'nodes: {c: {address: "127.0.0.1:7802"}}\n')
    config = loaded(tmp_path, HEAD + "include: [groups.d/*.yaml, nothing.d/*.yaml]\n")
    assert list(config.groups) == ["shop", "mail"]
    assert list(config.nodes) == ["a", "b", "c"]
    names = ["failoverd.yaml", "groups.d/a.yaml", "groups.d/b.yaml", "groups.d/deeper/c.yaml"]
    assert [os.path.relpath(file, tmp_path) for file in config.source_files] == names


def test_relative_paths_are_relative_to_their_own_file(tmp_path: Path) -> None:
    write(tmp_path / "local/here.yaml", "run_dir: run\nstate_dir: /state\n")
    config = loaded(tmp_path, HEAD + "include: local/here.yaml\nkey_file: ../secret/cluster.key\n")
    assert config.run_dir == tmp_path / "local/run"
    assert config.state_dir == Path("/state")
    assert config.key_file == tmp_path.parent / "secret/cluster.key"


def test_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml", TYPES, machine=FakeMachine())
    assert (
        str(caught.value)
        == f"{tmp_path}/none.yaml:1:1: '{tmp_path}/none.yaml' cannot be read: No such file or directory"
    )


def test_directory_and_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in read(tmp_path / "pipe").faults[0].message
    assert "is no regular file" in read(tmp_path).faults[0].message


def test_huge_file_is_refused(tmp_path: Path) -> None:
    source = read(write(tmp_path / "f.yaml", "# " + "x" * FILE_BYTES_MAX))
    assert [fault.message.rpartition("' ")[2] for fault in source.faults] == [
        "is too large: at most 4 MiB a file, 16 MiB together"
    ]


def test_many_large_files_are_refused(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / f"d/{number}.yaml", f"x-{number}: 1\n# " + "x" * (FILE_BYTES_MAX - 20))
    faults = checked(tmp_path, HEAD + "include: d/*.yaml\n").faults
    assert [fault.line for fault in faults] == [7, 7]
    assert all(f"d/{3 + at}.yaml' is too large" in fault.message for at, fault in enumerate(faults))


def test_countless_files_are_refused(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 2):
        write(tmp_path / f"d/{number}.yaml", "x-nothing: 1\n")
    faults = checked(tmp_path, HEAD + "include: d/*.yaml\n").faults
    assert {fault.message for fault in faults} == {f"more than {FILES_MAX} files"}


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeff" + HEAD).cluster == "shop"


def test_file_that_includes_itself(tmp_path: Path) -> None:
    faults = checked(tmp_path, HEAD + 'include: "*.yaml"\n').faults
    assert len(faults) == 1
    assert "files that include each other" in faults[0].message


def test_a_broken_file_hides_no_fault_of_the_others_and_invents_none(tmp_path: Path) -> None:
    """What seems to be missing may be in the part that cannot be read; what is there is checked all the same."""
    write(tmp_path / "broken.yaml", "nodes: {c: [\n")
    text = f"include: broken.yaml\nlease: {{ttl: 3}}\ngroups: {{shop: {{nodes: [c], components: {{db: {EXEC}}}}}}}\n"
    messages = [fault.message for fault in checked(tmp_path, text).faults]
    assert len(messages) == 2
    assert any("not YAML" in message for message in messages)
    assert any("a duration needs a unit" in message for message in messages)
