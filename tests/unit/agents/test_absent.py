"""What stands for every component on a witness."""

import anyio

from failoverd.agents.absent import Absent
from failoverd.domain.model import Action
from failoverd.ports import Call, Outcome, Presence
from tests.virtual import VirtualClock, run_virtual

CALL = Call(cluster="c", node="w", group="g", component="x", action=Action.PROBE, generation=1, timeout_s=1)


async def test_nothing_is_there_and_nothing_can_be_brought() -> None:
    agent = Absent()
    assert (await agent.probe(CALL)).presence is Presence.OFFLINE
    assert (await agent.offline(CALL)).ok
    assert (await agent.clean(CALL)).ok
    for refused in (await agent.online(CALL), await agent.prepare(CALL)):
        assert refused.outcome is Outcome.UNAVAILABLE
        assert "witness" in refused.detail


def test_it_is_not_polled() -> None:
    async def waits(_: VirtualClock) -> bool:
        with anyio.move_on_after(86_400) as day:
            await Absent().watch(CALL)
        return day.cancelled_caught

    assert run_virtual(waits)
