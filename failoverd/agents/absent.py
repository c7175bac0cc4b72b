"""What stands for every component on a witness: nothing of it is there, and nothing is asked of the machine."""

import anyio

from failoverd.ports import Call, Outcome, Presence, Probe, Result

_WHY = "a witness runs no group"


class Absent:
    """``ports.Agent`` of a component that cannot be on this node."""

    async def probe(self, call: Call) -> Probe:
        del call
        return Probe(presence=Presence.OFFLINE)

    async def prepare(self, call: Call) -> Result:
        return await self.online(call)

    async def online(self, call: Call) -> Result:
        del call
        return Result(outcome=Outcome.UNAVAILABLE, detail=_WHY)

    async def offline(self, call: Call) -> Result:
        del call
        return Result(outcome=Outcome.DONE)

    async def clean(self, call: Call) -> Result:
        return await self.offline(call)

    async def watch(self, call: Call) -> Probe | None:
        del call
        await anyio.sleep_forever()
        return None
