"""``failoverd plan``: from the daemon, which has learned durations, or from the configuration alone."""

import sys
from pathlib import Path
from typing import Any

from failoverd.cli.guard import say
from failoverd.cli.output import print_json, print_line
from failoverd.cli.output import show as show_view
from failoverd.control.client import NoDaemon, call

TIMEOUT_S = 5.0


def show(
    run_dir: Path, config: Path, group: str, *, source: str | None, target: str | None, down: str | None, as_json: bool
) -> int:
    document = _document(run_dir, config, group, source=source, target=target, down=down)
    if as_json:
        print_json(document)
    else:
        from failoverd.cli.plan_view import plain_plan, render_plan  # noqa: PLC0415 (rich: --json need not wait for it)

        if sys.stdout.isatty():
            show_view(render_plan(document))
        else:
            print_line("\n".join(plain_plan(document)))
    if document.get("refused"):
        say(f"as things are now it would not be done: {document['refused']}")
    return 0


def _document(
    run_dir: Path, config: Path, group: str, *, source: str | None, target: str | None, down: str | None
) -> dict[str, Any]:
    named = {"group": group, "from": source, "to": target, "down": down}
    params = {key: value for key, value in named.items() if value is not None}
    try:
        return call(run_dir, "plan", params, timeout_s=TIMEOUT_S)
    except NoDaemon as error:
        # The configuration is read with everything that checks it, which only this way needs.
        from failoverd.cli.local import offline_plan  # noqa: PLC0415

        document = offline_plan(config, group, source, target, down)
        say(f"planned from {config} alone, with declared durations only: {error}")
        return document
