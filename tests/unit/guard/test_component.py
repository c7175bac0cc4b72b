"""A component and its guard: armed before anything of it is online, disarmed once it is known to be absent."""

# ruff: noqa: ARG002 (the ports name their arguments)

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import anyio
import pytest

from failoverd.domain.model import Action, Component, ComponentState, Group
from failoverd.domain.placement import Placement, Wanted
from failoverd.errors import GuardUnavailable
from failoverd.pace import Pace
from failoverd.ports import Call, MarkWill, Outcome, Presence, Probe, Result, Will
from failoverd.runtime.board import Authority, Board
from failoverd.runtime.component import ComponentRunner, Surroundings
from failoverd.runtime.slots import Slots
from tests.unit.guard.support import EventList
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual


class Stage:
    """What happened, in order; a guard and an agent that write it down."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.without_guard = False
        self.arming_takes_s = 0.0
        self.presence = Presence.OFFLINE
        self.online_result = Outcome.DONE

    # ports.Guard

    async def arm(self, group: str, component: str, will: Will | None) -> None:
        await anyio.sleep(self.arming_takes_s)
        self.said.append(f"arm {describe(will)}")
        if self.without_guard:
            raise GuardUnavailable("there is none")

    async def hold(self, group: str, component: str, will: Will | None) -> None:
        self.said.append(f"hold {describe(will)}")

    def disarm(self, group: str, component: str) -> None:
        self.said.append("disarm")

    def extend(self, fires_at: float, ends: float) -> None:
        raise AssertionError("a component renews nothing")

    def retain(self, known: Collection[tuple[str, str]]) -> None:
        raise AssertionError("a component knows of itself alone")

    async def dismiss(self) -> None:
        raise AssertionError("not for a component to say")

    # ports.Agent

    async def probe(self, call: Call) -> Probe:
        return Probe(presence=self.presence)

    async def prepare(self, call: Call) -> Result:
        return Result(outcome=Outcome.DONE)

    async def online(self, call: Call) -> Result:
        self.said.append("online")
        self.presence = Presence.ONLINE
        return Result(outcome=self.online_result)

    async def offline(self, call: Call) -> Result:
        self.said.append("offline")
        self.presence = Presence.OFFLINE
        return Result(outcome=Outcome.DONE)

    async def clean(self, call: Call) -> Result:
        self.said.append("clean")
        self.presence = Presence.OFFLINE
        return Result(outcome=Outcome.DONE)

    async def watch(self, call: Call) -> Probe | None:
        return None

    # Recorder

    def begun(self, component: str, action: Action, at: float) -> None:
        pass

    def ended(self, component: str, action: Action, at: float, ok: bool) -> None:
        pass

    def priority(self, component: str, action: Action) -> float:
        return 0.0


class WithWill(Stage):
    def will(self, call: Call) -> Will | None:
        assert call.action is Action.CLEAN
        return MarkWill(mark=self.presence.value)


def describe(will: Will | None) -> str:
    return will.mark if isinstance(will, MarkWill) else str(will)


@asynccontextmanager
async def component(stage: Stage, clock: VirtualClock) -> AsyncIterator[Board]:
    part = Component(name="c", type="staged")
    authority = Authority(me="a", usable_until=clock.now() + 1e6, ready=True, informed=True)
    board = Board(Group(name="g", nodes=("a", "b"), components={"c": part}), authority, clock.now)
    around = Surroundings(
        cluster="t", node="a", clock=clock, log=EventList(), slots=Slots(None), pace=Pace(), recorder=stage, guard=stage
    )
    runner = ComponentRunner(board, part, stage, around)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        await anyio.sleep(0.01)
        yield board
        tasks.cancel_scope.cancel()


def place(board: Board, wanted: Wanted = Wanted.ONLINE, generation: int = 1) -> None:
    board.place(Placement(owner="a", generation=generation, holders=("a",), wanted=wanted))


def state_in(board: Board) -> ComponentState:
    return board.locals["c"].state


async def test_armed_before_online_and_disarmed_after_offline(virtual_clock: VirtualClock) -> None:
    stage = WithWill()
    async with component(stage, virtual_clock) as board:
        place(board)
        await anyio.sleep(0.01)
        assert stage.said == ["disarm", "arm offline", "online", "hold online"]
        place(board, Wanted.OFFLINE)
        await anyio.sleep(0.01)
        assert stage.said[4:] == ["offline", "disarm"]


async def test_without_a_guard_no_online_begins_and_with_one_it_does(virtual_clock: VirtualClock) -> None:
    stage = WithWill()
    stage.without_guard = True
    async with component(stage, virtual_clock) as board:
        place(board)
        await anyio.sleep(5)
        assert "online" not in stage.said
        assert 2 <= stage.said.count("arm offline") <= 100
        assert state_in(board) is ComponentState.OFFLINE
        assert board.locals["c"].reason == "there is none"
        stage.without_guard = False
        await anyio.sleep(1)
        assert state_in(board) is ComponentState.ONLINE


async def test_what_is_found_online_is_guarded_from_then_on(virtual_clock: VirtualClock) -> None:
    stage = WithWill()
    stage.presence = Presence.ONLINE
    async with component(stage, virtual_clock):
        assert stage.said == ["hold online"]


@pytest.mark.parametrize("presence", [Presence.FAILED, Presence.UNKNOWN])
async def test_what_may_be_online_is_guarded_too(virtual_clock: VirtualClock, presence: Presence) -> None:
    stage = WithWill()
    stage.presence = presence
    async with component(stage, virtual_clock):
        assert stage.said[0] == f"hold {presence}"
        assert "disarm" not in stage.said[: stage.said.index(f"hold {presence}")]


async def test_an_online_that_failed_stays_armed_until_it_is_absent(virtual_clock: VirtualClock) -> None:
    stage = WithWill()
    stage.online_result = Outcome.FAILED
    async with component(stage, virtual_clock) as board:
        place(board)
        await anyio.sleep(0.01)
        first = stage.said[1:]
        assert first[:5] == ["arm offline", "online", "hold online", "offline", "disarm"]


async def test_the_gates_are_asked_again_after_arming(virtual_clock: VirtualClock) -> None:
    stage = WithWill()
    stage.arming_takes_s = 1.0
    async with component(stage, virtual_clock) as board:
        place(board)
        await anyio.sleep(0.5)
        board.authority.usable_until = 0.0  # the lease ends meanwhile
        await anyio.sleep(5)
        assert stage.said == ["disarm", "arm offline", "disarm"]


async def test_each_online_is_armed_anew(virtual_clock: VirtualClock) -> None:
    stage = WithWill()
    async with component(stage, virtual_clock) as board:
        place(board)
        await anyio.sleep(0.01)
        place(board, Wanted.OFFLINE)
        await anyio.sleep(0.01)
        place(board, generation=2)
        await anyio.sleep(0.01)
        assert stage.said[6:] == ["arm offline", "online", "hold online"]


async def test_an_agent_without_a_will_is_told_of_as_one(virtual_clock: VirtualClock) -> None:
    stage = Stage()
    async with component(stage, virtual_clock) as board:
        place(board)
        await anyio.sleep(0.01)
        assert stage.said == ["disarm", "arm None", "online", "hold None"]
