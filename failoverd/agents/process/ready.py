"""Whether a process that has been started is ready for work yet."""

from typing import Self

import anyio
from pydantic import model_validator

from failoverd.agents.health import ATTEMPT_S, Run, answers
from failoverd.config.checks import WayKeys

_FIRST_PAUSE_S = 0.01
_PAUSE_MAX_S = 0.25
_PAUSE_SHARE = 0.1
"""Of the time that it has taken so far: asking late makes no component's online longer by more than this."""


class ReadyKeys(WayKeys):
    """When the component counts as online: exactly one of these, tried until it holds or ``timeout.online`` is over."""

    notify: bool = False
    """The command says itself when it is ready, by READY=1 to the socket that NOTIFY_SOCKET names (sd_notify(3))."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(way is not None for way in (self.tcp, self.http, self.command, self.notify or None)) != 1:
            raise ValueError("needs exactly one of 'tcp', 'http', 'command' and 'notify'")
        return self


class ReadyCheck:
    def __init__(self, keys: ReadyKeys, run: Run) -> None:
        self._keys = keys
        self._run = run
        self.why = "not asked yet"
        """The latest reason why it is not ready."""

    async def wait(self) -> None:
        """Return once it is ready. The caller sets the deadline."""
        began = anyio.current_time()
        while not await self._attempt():
            passed = anyio.current_time() - began
            await anyio.sleep(min(max(_FIRST_PAUSE_S, _PAUSE_SHARE * passed), _PAUSE_MAX_S))

    async def _attempt(self) -> bool:
        health = await answers(self._keys, self._run, ATTEMPT_S)
        self.why = health.detail
        return bool(health.healthy)
