"""The console script.

``status`` is what monitoring calls, and must answer within a quarter of a second as a whole process, of which
importing the command-line library and building its commands would take the most. So its plain forms go a short way
(``failoverd.cli.quick``); everything else, help and usage errors included, goes through ``failoverd.cli.app``.
"""

import sys

from failoverd.cli.quick import status


def main() -> int:
    """The exit status, where it does not end by ``SystemExit``."""
    done = status(sys.argv[1:])
    if done is not None:
        return done
    from failoverd.cli.app import app  # noqa: PLC0415 (200 ms, as said above)

    app(prog_name="failoverd")
    return 0
