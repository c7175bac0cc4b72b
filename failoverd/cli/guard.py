"""What a command's failure looks like from outside: one line on stderr and an exit status, no traceback.

0 done, 1 refused or failed, 2 usage or invalid configuration, 3 no daemon to talk to, 4 timed out waiting,
130 interrupted (128 + SIGINT), 141 the reader of our output has gone (128 + SIGPIPE).
"""

import os
import sys
from collections.abc import Callable

from failoverd.config.fault import ConfigError
from failoverd.control.client import NoDaemon, TimedOut
from failoverd.errors import FailoverdError, UsageError

DONE = 0
FAILED = 1
USAGE = 2
NO_DAEMON = 3
TIMED_OUT = 4
INTERRUPTED = 130
BROKEN_PIPE = 141


class Interrupted(FailoverdError):  # noqa: N818 (the vocabulary's own name)
    """Ctrl-C; the text says what goes on without us."""


def exit_status(error: FailoverdError) -> int:
    for kind, status in (
        (NoDaemon, NO_DAEMON),
        (TimedOut, TIMED_OUT),
        (UsageError, USAGE),
        (ConfigError, USAGE),
        (Interrupted, INTERRUPTED),
    ):
        if isinstance(error, kind):
            return status
    return FAILED


def say(text: str) -> None:
    """A line for the person, on stderr."""
    print(f"failoverd: {text}", file=sys.stderr)  # noqa: T201 (the command line's own voice)


def guard(command: Callable[[], int]) -> int:
    """Run ``command``; the exit status is what it returns or what its error stands for."""
    try:
        status = command()
        sys.stdout.flush()
    except ConfigError as error:
        # One fault on a line, each with its place: nothing in front of it, so that editors can jump there.
        print(error, file=sys.stderr)  # noqa: T201 (likewise)
        return USAGE
    except FailoverdError as error:
        say(str(error))
        return exit_status(error)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end, and must not fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status
