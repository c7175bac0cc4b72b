"""The parameters of a ``process`` component."""

import signal
from typing import Annotated

from pydantic import AfterValidator

from failoverd.agents.commands import AbsolutePath, CommandKeys
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


class ProcessParams(CommandKeys):
    """Parameters of a component of type ``process``: a command that runs for as long as the component is online."""

    command: Command
    """The command; it must stay in the foreground."""

    output: AbsolutePath | None = None
    """A file that its output is appended to (default: discarded)."""

    ready: ReadyKeys | None = None
    """When it counts as online (default: when it has run for ``settle``)."""

    settle: Duration = 0.05
    """Without ``ready``: how long it must have run to count as online."""

    stop_signal: Annotated[str, AfterValidator(_signal_name)] = "TERM"
    """What asks it to end."""

    stop_timeout: Duration = 10.0
    """How long it may take to end before it is killed; within ``timeout.offline``."""

    @property
    def signal_number(self) -> signal.Signals:
        return signal.Signals[f"SIG{self.stop_signal}"]
