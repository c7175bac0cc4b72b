"""What the exit statuses of a resource agent mean (OCF Resource Agent API 1.1, section 3; 190 and 191: Pacemaker)."""

from enum import IntEnum

from failoverd.agents.commands import describe
from failoverd.ports import Outcome, Presence, RunResult, last_line

REASON = "ocf-exit-reason:"
"""What a line of output begins with that tells why (``ocf_exit_reason`` of ocf-shellfuncs)."""


class Code(IntEnum):
    SUCCESS = 0
    GENERIC = 1
    ARGS = 2
    UNIMPLEMENTED = 3
    PERM = 4
    INSTALLED = 5
    CONFIGURED = 6
    NOT_RUNNING = 7
    RUNNING_PROMOTED = 8
    FAILED_PROMOTED = 9
    DEGRADED = 190
    DEGRADED_PROMOTED = 191


_MEANINGS = {
    Code.SUCCESS: "success",
    Code.GENERIC: "generic error",
    Code.ARGS: "a parameter is wrong on this node",
    Code.UNIMPLEMENTED: "the agent does not know this action",
    Code.PERM: "not permitted",
    Code.INSTALLED: "what it needs is not installed on this node",
    Code.CONFIGURED: "a parameter is wrong",
    Code.NOT_RUNNING: "not running",
    Code.RUNNING_PROMOTED: "runs promoted",
    Code.FAILED_PROMOTED: "promoted, but failed",
    Code.DEGRADED: "runs, but may fail soon",
    Code.DEGRADED_PROMOTED: "runs promoted, but may fail soon",
}

_UNASKED = frozenset({Code.ARGS, Code.UNIMPLEMENTED, Code.PERM, Code.CONFIGURED, 126, 127})
"""A monitor that ends so has not looked."""


def ended(result: RunResult) -> Code | int | None:
    """The exit status; None where it has none that means anything (killed, timed out)."""
    status = None if result.timed_out else result.exit_status
    return Code(status) if status in _MEANINGS else status


def told(result: RunResult) -> str:
    """How it ended, in one line: the status, its meaning, and the reason that the agent gave."""
    code = ended(result)
    if not isinstance(code, Code):
        return describe(result)
    reason = reason_of(result.output)
    how = f"exit status {code.value} ({_MEANINGS[code]})"
    return f"{how}: {reason}" if reason else how


def reason_of(output: str) -> str:
    """The last reason that the agent gave, else the last line that it printed."""
    for line in reversed(output.splitlines()):
        if line.startswith(REASON):
            return last_line(line.removeprefix(REASON))
    return last_line(output)


def started_presence(code: Code | int | None, *, probing: bool) -> Presence:
    """Of a component that is online when it is started. ``probing``: nothing says that it is there."""
    match code:
        case Code.SUCCESS | Code.DEGRADED:
            return Presence.ONLINE
        case Code.NOT_RUNNING:
            return Presence.OFFLINE
        case _:
            return _otherwise(code, probing=probing)


def promoted_presence(code: Code | int | None, *, probing: bool, unpromoted: Presence) -> Presence:
    """Of a component that is online when it is promoted. ``unpromoted``: what it is where it runs and is not."""
    match code:
        case Code.RUNNING_PROMOTED | Code.DEGRADED_PROMOTED:
            return Presence.ONLINE
        case Code.SUCCESS | Code.DEGRADED:
            return unpromoted
        case Code.NOT_RUNNING:
            return Presence.OFFLINE
        case _:
            return _otherwise(code, probing=probing)


def _otherwise(code: Code | int | None, *, probing: bool) -> Presence:
    if code is None or code in _UNASKED:
        return Presence.UNKNOWN
    if code is Code.INSTALLED and probing:
        return Presence.OFFLINE  # what is not installed does not run
    return Presence.FAILED


def outcome(result: RunResult, good: frozenset[Code]) -> Outcome:
    """Of any action but a monitor; ``good``: the statuses of success."""
    if result.timed_out:
        return Outcome.TIMED_OUT
    code = ended(result)
    if code in good:
        return Outcome.DONE
    return Outcome.UNAVAILABLE if code is Code.INSTALLED else Outcome.FAILED
