"""The systemd unit: valid, and with the settings that safety rests on."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parent.parent / "systemd" / "failoverd.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    unit = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # documented way to keep case
    unit.read(UNIT)
    return unit["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_it(tmp_path: Path) -> None:
    """With an interpreter in the command's place, since failoverd need not be installed system-wide here."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("=failoverd ", f"={sys.executable} -m failoverd "))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_components_survive_the_daemon(service: configparser.SectionProxy) -> None:
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert service["RuntimeDirectoryPreserve"] == "yes"


def test_a_dead_or_stalled_daemon_comes_back(service: configparser.SectionProxy) -> None:
    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert service["Restart"] == "always"
    assert service["WatchdogSec"]


@pytest.mark.parametrize(
    "option", ["ProtectSystem", "PrivateTmp", "PrivateDevices", "ProtectHome", "ReadWritePaths", "ProtectControlGroups"]
)
def test_it_has_no_mount_namespace_of_its_own(service: configparser.SectionProxy, option: str) -> None:
    """A mount made by a component would be invisible to the rest of the machine."""
    assert option not in service
