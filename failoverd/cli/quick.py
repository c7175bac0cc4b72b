"""The short way of ``failoverd status``: the same as ``failoverd.cli.app`` does with the same arguments, sooner."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from failoverd.cli.guard import guard
from failoverd.cli.rundir import DEFAULT_CONFIG, find
from failoverd.cli.status import show, watch

FLAGS = {"--json": "json", "--watch": "watch", "-w": "watch"}
VALUES = {"--config": "config", "--run-dir": "run_dir"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    group: str | None
    config: Path
    run_dir: Path | None
    watch: bool
    json: bool


def status(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int | None:
    """The exit status; None where these arguments are for somebody else."""
    asked = parse(arguments, environ)
    if asked is None:
        return None
    command = watch if asked.watch else show
    return guard(lambda: command(find(asked.run_dir, asked.config), asked.group, as_json=asked.json))


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Asked | None:
    """What was asked for, if that is a status command that can be understood without doubt."""
    if not arguments or arguments[0] != "status":
        return None
    flags: set[str] = set()
    values: dict[str, str] = {}
    groups: list[str] = []
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in FLAGS:
            flags.add(FLAGS[argument])
        elif argument in VALUES:
            value = next(rest, "")
            if not value or value.startswith("-"):
                return None
            values[VALUES[argument]] = value
        elif not argument or argument.startswith("-"):
            return None
        else:
            groups.append(argument)
    if len(groups) > 1:
        return None
    config = values.get("config") or environ.get("FAILOVERD_CONFIG")
    run_dir = values.get("run_dir") or environ.get("FAILOVERD_RUN_DIR")
    return Asked(
        group=groups[0] if groups else None,
        config=Path(config) if config else DEFAULT_CONFIG,
        run_dir=Path(run_dir) if run_dir else None,
        watch="watch" in flags,
        json="json" in flags,
    )
