"""Finding the run_dir without reading the whole configuration gives what reading it would."""

from pathlib import Path

import pytest

from failoverd.cli.rundir import DEFAULT_CONFIG, DEFAULT_RUN_DIR, find
from failoverd.config import peek
from failoverd.config.fault import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cluster: x\nrun_dir: /var/x\n", "/var/x"),
        ("run_dir: /var/x   # said so\n", "/var/x"),
        ('run_dir: "/var/with space"\r\n', "/var/with space"),
        ("run_dir: '/var/x'\n", "/var/x"),
        ("run_dir: sub/dir\n", "BESIDE/sub/dir"),
        ("run_dir: ./here\n", "BESIDE/here"),
        ("cluster: x\nnodes:\n  run_dir: {address: 1.2.3.4}\n", str(DEFAULT_RUN_DIR)),
        ("# run_dir: /not/this\ncluster: x\n", str(DEFAULT_RUN_DIR)),
        ("{cluster: x, run_dir: /flow}\n", "/flow"),
        ('"run_dir": /quoted/key\n', "/quoted/key"),
        ("run_dir: &anchor /anchored\n", "/anchored"),
        ('run_dir: "/esc\\u0061ped"\n', "/escaped"),
        ("include: [more.yaml]\n", "/from/more"),
        ("cluster: x\n", str(DEFAULT_RUN_DIR)),
    ],
)
def test_as_the_whole_reading_finds_it(tmp_path: Path, text: str, expected: str) -> None:
    config = tmp_path / "failoverd.yaml"
    config.write_text(text)
    (tmp_path / "more.yaml").write_text("run_dir: /from/more\n")
    found = find(None, config)
    assert str(found) == expected.replace("BESIDE", str(tmp_path))
    assert found == peek.run_dir(config)


def test_a_given_one_wins_and_nothing_is_read(tmp_path: Path) -> None:
    assert find(tmp_path, Path("/absent/config")) == tmp_path


def test_the_default_configuration_need_not_exist() -> None:
    if not DEFAULT_CONFIG.exists():
        assert find(None, DEFAULT_CONFIG) == DEFAULT_RUN_DIR


def test_a_named_one_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        find(None, tmp_path / "absent.yaml")


def test_a_run_dir_in_a_configuration_that_is_broken_otherwise_still_counts(tmp_path: Path) -> None:
    config = tmp_path / "failoverd.yaml"
    config.write_text("run_dir: /var/x\ngroups: {{{\n")
    assert find(None, config) == Path("/var/x")
