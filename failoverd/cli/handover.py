"""``switch``, ``online`` and ``offline``: ask, show what happens, say how it ended."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from failoverd.cli.guard import DONE, FAILED, Interrupted, say
from failoverd.cli.output import console, print_json
from failoverd.cli.progress import PlainProgress
from failoverd.cli.words import outcome
from failoverd.control.client import TimedOut, call

ANSWER_S = 2.0
"""How much later than the daemon this end gives up: the daemon's own words are better."""
ACCEPT_S = 10.0
"""Without waiting for the end: by when the daemon must have accepted or refused."""

OnUpdate = Callable[[dict[str, Any]], None]


def carry_out(
    run_dir: Path, command: str, params: Mapping[str, Any], *, wait: bool, timeout_s: float, as_json: bool
) -> int:
    """``params`` hold the group and where to; returns the exit status."""
    group = str(params["group"])
    asked = {key: value for key, value in params.items() if value is not None}
    asked |= {"wait": wait, "timeout_s": timeout_s, "updates": wait and not as_json}
    limit = timeout_s + ANSWER_S if wait else ACCEPT_S

    drawn = wait and not as_json and sys.stdout.isatty()

    def ask(on_update: OnUpdate | None) -> dict[str, Any]:
        return call(run_dir, command, asked, timeout_s=limit, on_update=on_update)

    try:
        if as_json or not wait:
            document = ask(None)
        elif drawn:
            document = _live(ask)
        else:
            progress = PlainProgress()
            document = ask(progress.update)
            progress.update(document)
    except TimedOut as error:
        raise TimedOut(f"{error}; {_goes_on(command, group)}") from error
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_goes_on(command, group)}") from None
    if as_json:
        print_json(document)
    return _ended(command, group, document, wait=wait, quiet=as_json or drawn)


def _live(ask: Callable[[OnUpdate], dict[str, Any]]) -> dict[str, Any]:
    from failoverd.cli.live import LiveTimeline  # noqa: PLC0415 (rich: 70 ms before the request would go out)

    with LiveTimeline(console()) as timeline:
        document = ask(timeline.update)
        timeline.update(document)
    return document


def _goes_on(command: str, group: str) -> str:
    return f"{command} of {group} goes on in the daemon, see: failoverd status {group}"


def _ended(command: str, group: str, document: Mapping[str, Any], *, wait: bool, quiet: bool) -> int:
    state = document.get("state")
    if state in ("failed", "redirected"):
        say(f"{command} of {group} {state}: {document.get('reason') or 'no reason given'}")
        return FAILED
    if not quiet:
        text = f"{group}: {outcome(document)}" if wait else f"{group}: {command} accepted"
        print(text)  # noqa: T201 (the command's own output)
    return _ended_along(document.get("dependents") or {}, quiet=quiet)


def _ended_along(dependents: Mapping[str, Mapping[str, Any]], *, quiet: bool) -> int:
    """Of the groups that went with it."""
    status = DONE
    for name, each in dependents.items():
        if each.get("state") in {"blocked", "failed"}:
            say(f"{name}, which went with it, is {each['state']}: {each.get('reason') or 'no reason given'}")
            status = FAILED
        elif not quiet:
            print(f"{name}: went with it")  # noqa: T201 (likewise)
    return status
