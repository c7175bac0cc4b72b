"""The ``systemd`` type, and units of the ``process`` type, in a booted machine (the cases are in ``tests.booted.units``
and ``tests.booted.processes``)."""

import json
import sys
from functools import cache

import pytest

from tests.booted import processes, units
from tests.booted.machine import ROOT, Machine, machine, missing

pytestmark = [pytest.mark.processes, pytest.mark.skipif(bool(missing()), reason=missing() or "a machine can be booted")]


@cache
def found() -> dict[str, str]:
    """Every case, by its name, with what went wrong."""
    with machine("units") as booted:
        return _carry_out(booted, "units") | _carry_out(booted, "processes")


def _carry_out(booted: Machine, module: str) -> dict[str, str]:
    program = f"cd {ROOT} && PYTHONDONTWRITEBYTECODE=1 exec {sys.executable} -m tests.booted.{module}"
    done = booted.run("sh", "-c", program, within_s=180, check=False)
    assert done.stdout.startswith("{"), done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("case", [*units.CASES, *processes.CASES])
def test_unit(case: str) -> None:
    if failure := found()[case]:
        pytest.fail(failure, pytrace=False)
