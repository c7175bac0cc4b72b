"""The short way of ``status`` must mean the same as the long one, or step aside."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from failoverd.cli.app import app
from failoverd.cli.quick import FLAGS, VALUES, Asked, parse, status
from failoverd.cli.rundir import DEFAULT_CONFIG


def test_the_short_way_knows_every_option_of_the_command() -> None:
    shown = CliRunner().invoke(app, ["status", "--help"]).output
    options = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", shown.split("Options:")[1])) - {"--help", "-h"}
    assert options == set(FLAGS) | set(VALUES)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ("status", {}),
        ("status shop --json", {"group": "shop", "json": True}),
        ("status -w --config /x/y --run-dir /r shop", {"watch": True, "config": Path("/x/y"), "run_dir": Path("/r"),
                                                        "group": "shop"}),
        ("status --run-dir /one --run-dir /two", {"run_dir": Path("/two")}),
    ],
)  # fmt: skip
def test_plain_forms(arguments: str, asked: dict[str, object]) -> None:
    default = {"group": None, "config": DEFAULT_CONFIG, "run_dir": None, "watch": False, "json": False}
    assert parse(arguments.split(), {}) == Asked(**(default | asked))  # type: ignore[arg-type]  # of the table above


def test_the_environment_counts_where_no_option_is_given() -> None:
    environ = {"FAILOVERD_RUN_DIR": "/env", "FAILOVERD_CONFIG": "/env.yaml"}
    asked = parse(["status"], environ)
    assert asked is not None
    assert (asked.run_dir, asked.config) == (Path("/env"), Path("/env.yaml"))
    given_too = parse(["status", "--run-dir", "/given"], environ)
    assert given_too is not None
    assert given_too.run_dir == Path("/given")


@pytest.mark.parametrize(
    "arguments",
    ["", "switch shop", "--help", "status --help", "status -h", "status --jso", "status --config", "status --config -w",
     "status a b", "status -- shop", "status --run-dir=/x", "status -wx"],
)  # fmt: skip
def test_everything_else_is_left_to_the_long_way(arguments: str) -> None:
    assert status(arguments.split()) is None


@given(st.lists(st.sampled_from(["--json", "-w", "--watch", "--config", "--run-dir", "a", "b", "-x", "--", "-h", ""])))
def test_what_the_short_way_takes_names_one_group_at_most(arguments: list[str]) -> None:
    asked = parse(["status", *arguments], {})
    if asked is not None:
        assert not {"-x", "--", "-h", ""} & set(arguments)
        assert asked.json == ("--json" in arguments)
        assert asked.group in {None, "a", "b"}
