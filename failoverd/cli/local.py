"""Commands that need the whole configuration and no daemon."""

import sys
from pathlib import Path
from typing import Any

from failoverd.agents.registry import agent_types
from failoverd.cli.fence_check import fencing_document, print_fencing, works
from failoverd.cli.guard import DONE, FAILED, USAGE
from failoverd.cli.output import print_json, print_line
from failoverd.config.fault import Fault
from failoverd.config.reader import check as check_config
from failoverd.config.reader import load
from failoverd.config.schema import schema as config_schema
from failoverd.fencing.metadata import inspect


def check(config: Path, *, as_json: bool, fencing: bool = False) -> int:
    report = check_config(config, agent_types(), closely=True, inspect=inspect)
    tried = fencing_document(report.config) if fencing and report.config is not None else None
    if as_json:
        more = {} if tried is None else {"fencing": tried}
        print_json({"version": 1, "faults": _places(report.faults), "warnings": _places(report.warnings), **more})
    else:
        for fault in report.faults:
            print(fault, file=sys.stderr)  # noqa: T201 (the command line's own voice)
        for warning in report.warnings:
            print(f"{warning} (warning)", file=sys.stderr)  # noqa: T201 (likewise)
        if not report.faults:
            print_line(f"{config}: valid")
        if tried is not None:
            print_fencing(tried)
    if report.faults:
        return USAGE
    return DONE if tried is None or works(tried) else FAILED


def schema() -> int:
    print_json(config_schema(agent_types()))
    return DONE


def offline_plan(config: Path, group: str, source: str | None, target: str | None, down: str | None) -> dict[str, Any]:
    """Raises ``ConfigError``, ``UsageError`` or ``Refused``."""
    # Above the adapters that this module is used with, and only here.
    from failoverd.runtime.offline_plan import plan_document_from_config  # noqa: PLC0415

    return plan_document_from_config(load(config, agent_types()), group, source, target, down)


def _places(faults: tuple[Fault, ...]) -> list[dict[str, Any]]:
    return [{"file": each.file, "line": each.line, "column": each.column, "message": each.message} for each in faults]
