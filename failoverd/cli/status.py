"""``failoverd status``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from failoverd.cli import output
from failoverd.cli.output import console, print_json, print_json_line
from failoverd.control.client import ProtocolError, call

if TYPE_CHECKING:
    from rich.console import RenderableType

TIMEOUT_S = 5.0


def show(run_dir: Path, group: str | None, *, as_json: bool) -> int:
    document = call(run_dir, "status", _params(group), timeout_s=TIMEOUT_S)
    if as_json:
        print_json(document)
    else:
        output.show(_view(document, group))
    return 0


def watch(run_dir: Path, group: str | None, *, as_json: bool) -> int:
    """Until interrupted or until the daemon ends."""
    params = {**_params(group), "watch": True}
    if as_json:
        call(run_dir, "status", params, timeout_s=None, on_update=print_json_line)
    elif sys.stdout.isatty():
        _watch_live(run_dir, group, params)
    else:
        call(run_dir, "status", params, timeout_s=None, on_update=lambda each: output.show(_view(each, group)))
    return 0


def _watch_live(run_dir: Path, group: str | None, params: dict[str, Any]) -> None:
    from rich.live import Live  # noqa: PLC0415 (only here; 20 ms)

    with Live(console=console(), screen=True, auto_refresh=False) as live:
        call(
            run_dir,
            "status",
            params,
            timeout_s=None,
            on_update=lambda document: live.update(_view(document, group), refresh=True),
        )


def _params(group: str | None) -> dict[str, Any]:
    return {} if group is None else {"group": group}


def _view(document: dict[str, Any], group: str | None) -> "RenderableType":
    if group is None:
        from failoverd.cli.status_view import overview  # noqa: PLC0415 (rich: 50 ms that --json need not spend)

        return overview(document)
    from failoverd.cli.group_view import detail  # noqa: PLC0415 (likewise)

    found = document.get("groups", {}).get(group)
    if found is None:
        raise ProtocolError(f"the daemon's answer does not hold the group {group!r}")
    return detail(group, found)
