"""The command line finds the control socket without reading the whole configuration."""

import subprocess
import sys
from pathlib import Path

import pytest

from failoverd.config.fault import ConfigError
from failoverd.config.peek import run_dir
from tests.unit.config.support import write


def test_default(tmp_path: Path) -> None:
    assert run_dir(write(tmp_path / "f.yaml", "cluster: shop\n")) == Path("/run/failoverd")


def test_given_here_or_in_an_included_file(tmp_path: Path) -> None:
    assert run_dir(write(tmp_path / "f.yaml", "run_dir: /r\n")) == Path("/r")
    write(tmp_path / "local/x.yaml", "run_dir: here\n")
    assert run_dir(write(tmp_path / "g.yaml", "include: local/*.yaml\n")) == tmp_path / "local/here"


def test_faults_elsewhere_do_not_matter(tmp_path: Path) -> None:
    assert run_dir(write(tmp_path / "f.yaml", "lease: 7\nx: 1\nrun_dir: /r\nrun_dir: /s\n")) == Path("/r")


@pytest.mark.parametrize("text", ["run_dir: 7\n", "run_dir: [\n", ""])
def test_what_cannot_be_told_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        run_dir(write(tmp_path / "f.yaml", text))


@pytest.mark.processes
def test_it_needs_no_pydantic() -> None:
    """Importing it would cost most of the time that a ``status`` may take."""
    code = "import sys, failoverd.config.peek; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
