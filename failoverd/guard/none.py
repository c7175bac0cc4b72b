"""No guard: for a node whose end is the end of everything on it (a simulation, a test)."""

from collections.abc import Collection

from failoverd.ports import Will


class NoGuard:
    """``ports.Guard`` that agrees to everything and does nothing."""

    async def arm(self, group: str, component: str, will: Will | None) -> None:
        pass

    async def hold(self, group: str, component: str, will: Will | None) -> None:
        pass

    def disarm(self, group: str, component: str) -> None:
        pass

    def extend(self, fires_at: float, ends: float) -> None:
        pass

    def retain(self, known: Collection[tuple[str, str]]) -> None:
        pass

    async def dismiss(self) -> None:
        pass
