"""The ``systemd`` type in a booted machine (the cases are in ``tests.booted.units``)."""

import json
import sys
from functools import cache

import pytest

from tests.booted.machine import ROOT, machine, missing
from tests.booted.units import CASES

pytestmark = [pytest.mark.processes, pytest.mark.skipif(bool(missing()), reason=missing() or "a machine can be booted")]


@cache
def found() -> dict[str, str]:
    """Every case, by its name, with what went wrong."""
    program = f"cd {ROOT} && PYTHONDONTWRITEBYTECODE=1 exec {sys.executable} -m tests.booted.units"
    with machine("units") as booted:
        done = booted.run("sh", "-c", program, within_s=180, check=False)
    assert done.stdout.startswith("{"), done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("case", CASES)
def test_unit(case: str) -> None:
    if failure := found()[case]:
        pytest.fail(failure, pytrace=False)
