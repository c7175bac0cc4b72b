"""``failoverd confirm-off``."""

import sys
from pathlib import Path

from failoverd.cli.guard import FAILED, say
from failoverd.cli.output import print_json, print_line
from failoverd.control.client import call

TIMEOUT_S = 20.0
WARNING = """\
You are about to give your word that {node} is off. Whatever it had online is then brought online elsewhere, at once.
If {node} is still running, the same components run twice, and their data may be destroyed.
Look at the machine itself, or at its power: that it does not answer is no proof."""


def carry_out(run_dir: Path, node: str, *, yes: bool, as_json: bool) -> int:
    if not yes and not _asked(node):
        return FAILED
    document = call(run_dir, "confirm_off", {"node": node}, timeout_s=TIMEOUT_S)
    if as_json:
        print_json(document)
    else:
        print_line(f"{node} counts as off, by your word")
    return 0


def _asked(node: str) -> bool:
    if not sys.stdin.isatty():
        say("confirm-off asks a person: where there is none, write --yes")
        return False
    print(WARNING.format(node=node), file=sys.stderr)  # noqa: T201 (the command line's own voice)
    print(f"Type the node's name to confirm that {node} is off: ", end="", file=sys.stderr, flush=True)  # noqa: T201 (likewise)
    if sys.stdin.readline().strip() != node:
        say("not confirmed; nothing was changed")
        return False
    return True
