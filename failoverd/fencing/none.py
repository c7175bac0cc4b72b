"""No fence devices: dead nodes are waited for until their leases have run out."""

from failoverd.domain.fence_record import FenceLevel
from failoverd.ports import Shot


class NoFencer:
    """``ports.Fencer`` that can switch nobody off."""

    def levels(self, node: str) -> tuple[FenceLevel, ...]:
        del node
        return ()

    async def prepare(self, node: str) -> None:
        pass

    async def off(self, node: str, level: int) -> Shot:
        del level
        return Shot(off=False, agent="", detail=f"{node} has no fence device")
