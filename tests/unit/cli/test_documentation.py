"""docs/commands.md names every command and every option, and none that does not exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from failoverd.cli.app import app

DOCUMENT = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
COMMON = {"--config", "--run-dir", "--json", "--no-wait", "--timeout"}


def help_of(*command: str) -> str:
    return CliRunner().invoke(app, [*command, "--help"]).output


COMMANDS = re.findall(r"^  ([a-z-]+)  ", help_of().split("Commands:")[1], re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_its_options(command: str) -> None:
    found = re.search(rf"`failoverd {command}\b([^`]*)`", DOCUMENT)
    assert found is not None
    real = set(re.findall(r"--[a-z][a-z-]+", help_of(command).split("Options:")[1])) - {"--help"}
    written = set(re.findall(r"--[a-z][a-z-]+", found.group(1)))
    assert written <= real
    assert real - written <= COMMON


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"`failoverd ([a-z][a-z-]*)", DOCUMENT)) == set(COMMANDS)


def test_common_options_are_explained() -> None:
    for option in COMMON:
        assert f"| `{option}" in DOCUMENT
