"""The parameters of a ``process`` component."""

import re
import resource
import signal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from failoverd.agents.commands import CommandKeys
from failoverd.agents.process.ready import ReadyKeys
from failoverd.config.types import Command, Duration

_FORBIDDEN = frozenset({"KILL", "STOP", "CONT", "CHLD"})
_SIGNALS = {one.name.removeprefix("SIG") for one in signal.Signals} - _FORBIDDEN


def _signal_name(value: str) -> str:
    name = value.upper().removeprefix("SIG")
    if name not in _SIGNALS:
        raise ValueError(
            f"must be the name of a signal that ends a process, such as TERM, INT or QUIT, not {value[:20]!r}"
        )
    return name


JOURNAL = "journal"
_LIMITS = {name.removeprefix("RLIMIT_").lower() for name in dir(resource) if name.startswith("RLIMIT_")}
_LIMITS -= {"ofile"}
_NONE = "unlimited"
_WHOLE = re.compile(r"[0-9]{1,18}")


def _output(value: Any) -> Any:
    if isinstance(value, str) and value != JOURNAL and (not value.startswith("/") or "\0" in value):
        raise ValueError(f"must be an absolute path, or {JOURNAL}")
    return value


def _limits(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    for name, limit in value.items():
        if name not in _LIMITS:
            raise ValueError(f"{str(name)[:30]!r} is no limit of setrlimit(2); there are {', '.join(sorted(_LIMITS))}")
        limits_of(name, limit)
    return value


def limits_of(name: str, limit: Any) -> tuple[int, int]:
    """Soft and hard limit; -1 is none. Raises ValueError."""
    words = str(limit).split(":")
    both = [-1 if word == _NONE else int(word) for word in words if word == _NONE or _WHOLE.fullmatch(word)]
    if isinstance(limit, bool) or not 1 <= len(words) == len(both) <= 2:
        raise ValueError(
            f"limit {name} must be a number, {_NONE}, or two of them as soft:hard, not {str(limit)[:40]!r}"
        )
    soft, hard = both[0], both[-1]
    if hard != -1 and not 0 <= soft <= hard:
        raise ValueError(f"limit {name}: the soft limit must not be above the hard one ({limit})")
    return soft, hard


class ProcessParams(CommandKeys):
    """Parameters of a component of type ``process``: a command that runs for as long as the component is online."""

    command: Command
    """The command; it must stay in the foreground."""

    contain: Literal["auto", "unit", "cgroup", "session"] = "auto"
    """What keeps its processes together: a transient unit of systemd, a control group, or nothing but its session and
    its environment (default: the first of these that there can be on this machine)."""

    output: Annotated[str | None, BeforeValidator(_output)] = None
    """A file that its output is appended to, or ``journal`` (default: the journal if it is a unit, else discarded)."""

    limits: Annotated[dict[str, int | str], BeforeValidator(_limits)] = Field(default_factory=dict)
    """Resource limits (setrlimit(2)): name to number, ``unlimited``, or ``soft:hard``, as ``nofile: 65536``."""

    ready: ReadyKeys | None = None
    """When it counts as online (default: when it has run for ``settle``)."""

    settle: Duration = 0.05
    """Without ``ready``: how long it must have run to count as online."""

    stop_signal: Annotated[str, AfterValidator(_signal_name)] = "TERM"
    """What asks it to end."""

    stop_timeout: Duration = 10.0
    """How long it may take to end before it is killed; within ``timeout.offline``."""

    @model_validator(mode="after")
    def _journal_needs_a_unit(self) -> Self:
        if self.output == JOURNAL and self.contain in ("cgroup", "session"):
            raise ValueError("'output: journal' needs 'contain: unit': give a file")
        return self

    @property
    def output_file(self) -> str | None:
        return None if self.output == JOURNAL else self.output

    @property
    def rlimits(self) -> dict[str, tuple[int, int]]:
        """Soft and hard limit (-1: none) by name."""
        return {name: limits_of(name, limit) for name, limit in self.limits.items()}

    @property
    def signal_number(self) -> signal.Signals:
        return signal.Signals[f"SIG{self.stop_signal}"]
