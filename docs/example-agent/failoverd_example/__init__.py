"""The component type ``sysctl``: a kernel parameter that has one value while the component is online, and another
while it is offline (sysctl(8), proc(5)).

    forward: {type: sysctl, key: net.ipv4.ip_forward, online: "1", offline: "0"}
"""

import os
import re
from pathlib import Path
from typing import Annotated, ClassVar

import anyio
from anyio import to_thread
from pydantic import AfterValidator, BaseModel

from failoverd.config.types import Keys
from failoverd.ports import (
    Agent,
    AgentHost,
    Call,
    CommandWill,
    Outcome,
    Presence,
    Probe,
    Result,
    RunRequest,
    Will,
)

ROOT = Path(os.environ.get("SYSCTL_ROOT") or "/proc/sys")
_KEY = re.compile(r"[a-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError(f"must be the name of a kernel parameter such as net.ipv4.ip_forward, not {value[:60]!r}")
    return value


class SysctlParams(Keys):
    """Parameters of a component of type ``sysctl``: a kernel parameter that has one value while it is online."""

    key: Annotated[str, AfterValidator(_key)]
    """As sysctl(8) calls it."""

    online: str
    """Its value while the component is online."""

    offline: str
    """Its value while it is not."""

    @property
    def path(self) -> Path:
        return ROOT / self.key.replace(".", "/")


class SysctlAgent:
    """``failoverd.ports.Agent``, and its ``Testator``."""

    def __init__(self, params: SysctlParams) -> None:
        self._params = params

    async def probe(self, call: Call) -> Probe:
        with anyio.move_on_after(call.timeout_s):
            try:
                # A read may hang in the kernel, so it hangs in a thread that is left behind, not in the event loop.
                value = await to_thread.run_sync(self._params.path.read_text, abandon_on_cancel=True)
            except OSError as error:
                return Probe(presence=Presence.UNKNOWN, detail=f"{self._params.key}: {error.strerror}")
            return self._judge(value.strip())
        return Probe(presence=Presence.UNKNOWN, detail=f"{self._params.key}: no answer in time")

    def _judge(self, value: str) -> Probe:
        if value == self._params.online:
            return Probe(presence=Presence.ONLINE)
        if value == self._params.offline:
            return Probe(presence=Presence.OFFLINE)
        return Probe(presence=Presence.FAILED, detail=f"{self._params.key} is {value[:60]!r}")

    async def prepare(self, call: Call) -> Result:
        del call
        return Result(outcome=Outcome.DONE)

    async def online(self, call: Call) -> Result:
        return await self._write(self._params.online, call)

    async def offline(self, call: Call) -> Result:
        return await self._write(self._params.offline, call)

    async def clean(self, call: Call) -> Result:
        return await self.offline(call)  # there is no stronger way

    async def watch(self, call: Call) -> Probe | None:
        del call
        return None  # nothing tells of a change: it is polled

    def will(self, call: Call) -> Will | None:
        argv = ("/bin/sh", "-c", 'printf %s "$2" > "$1"', "sh", str(self._params.path), self._params.offline)
        return CommandWill(request=RunRequest(argv=argv, env={}, timeout_s=call.timeout_s))

    async def _write(self, value: str, call: Call) -> Result:
        with anyio.move_on_after(call.timeout_s):
            try:
                await to_thread.run_sync(self._params.path.write_text, value, abandon_on_cancel=True)
            except OSError as error:
                return Result(outcome=Outcome.FAILED, detail=f"{self._params.key}: {error.strerror}")
            return Result(outcome=Outcome.DONE)
        return Result(outcome=Outcome.TIMED_OUT, detail=f"{self._params.key}: not written in time")


class SysctlType:
    """``failoverd.ports.AgentType``: what the entry point names."""

    name = "sysctl"
    params: ClassVar[type[BaseModel]] = SysctlParams

    def prepares(self, params: BaseModel) -> bool:
        del params
        return False

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        own = _own(params)
        return () if own.path.exists() else ((("key",), f"this kernel has no parameter {own.key}"),)

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        del host
        return SysctlAgent(_own(params))


def _own(params: BaseModel) -> SysctlParams:
    if not isinstance(params, SysctlParams):
        raise TypeError(f"not the parameters of a sysctl component: {type(params).__name__}")
    return params
