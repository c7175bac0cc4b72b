"""The deliberately naive twin of the handover graph, its numbers and its schedule.

Nothing here knows of gates as data: the rule is asked about sets of components, by recursion without memory and by a
simulation that walks through time tick by tick.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from failoverd.domain.handover import Move, Step
from failoverd.domain.model import Action, Component, HandoverMode
from tests.strategies import TICK_S


@dataclass
class World:
    components: Mapping[str, Component]
    move: Move
    off: set[tuple[str, str]] = field(default_factory=set)
    """(component, node) that went offline."""
    on: set[str] = field(default_factory=set)
    """Online on the target."""
    prepared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.on = set(self.move.here)
        self.prepared = set(self.move.prepared)

    def all_steps(self) -> list[Step]:
        target = self.move.target
        steps = [
            Step(name, node, Action.OFFLINE)
            for node, names in self.move.online.items()
            if node != target
            for name in names
        ]
        if target is not None:
            missing = [name for name in self.components if name not in self.move.here]
            steps += [Step(name, target, Action.ONLINE) for name in missing]
            steps += [
                Step(name, target, Action.PREPARE)
                for name in missing
                if self.components[name].has_prepare and name not in self.move.prepared
            ]
        return steps

    def duration(self, step: Step) -> float:
        expect = self.components[step.component].expect
        seconds = {
            Action.PREPARE: expect.prepare_s,
            Action.ONLINE: expect.online_s,
            Action.OFFLINE: expect.offline_s,
        }[step.action]
        assert seconds is not None
        return seconds

    def is_online_on(self, name: str, node: str) -> bool:
        return name in self.move.online.get(node, ()) and (name, node) not in self.off

    def may_begin(self, step: Step) -> bool:
        component = self.components[step.component]
        make_first = component.handover is HandoverMode.MAKE_FIRST
        if step.action is Action.PREPARE:
            return True
        if step.action is Action.OFFLINE:
            dependents = [name for name, other in self.components.items() if step.component in other.depends_on]
            free = not any(self.is_online_on(name, step.node) for name in dependents)
            return free and (not make_first or self.move.target is None or step.component in self.on)
        held = any(self.is_online_on(step.component, node) for node in self.move.online if node != step.node)
        ready = step.component in self.prepared or not component.has_prepare
        return ready and all(name in self.on for name in component.depends_on) and (make_first or not held)

    def finish(self, step: Step) -> None:
        if step.action is Action.OFFLINE:
            self.off.add((step.component, step.node))
        elif step.action is Action.ONLINE:
            self.on.add(step.component)
        else:
            self.prepared.add(step.component)


def simulate(
    world: World, max_parallel: Mapping[str, int], urgency: Mapping[Step, tuple[float, int]]
) -> dict[Step, tuple[float, float]]:
    """Begin and end of each step. ``urgency``: the smallest goes first."""
    left = sorted(world.all_steps(), key=urgency.__getitem__)
    running: dict[Step, float] = {}
    times: dict[Step, tuple[float, float]] = {}
    tick = 0
    while left or running:
        now = tick * TICK_S
        moving = True
        while moving:  # steps of no length end within the tick in which they begin
            ended = [step for step, end in running.items() if end == now]
            for step in ended:
                del running[step]
                world.finish(step)
            begun = []
            for step in left:
                busy = sum(1 for other in running if other.node == step.node)
                if busy < max_parallel.get(step.node, 10**9) and world.may_begin(step):
                    running[step] = now + world.duration(step)
                    times[step] = now, running[step]
                    begun.append(step)
            left = [step for step in left if step not in begun]
            moving = any(end == now for end in running.values())
        tick += 1
        assert tick < 100_000, f"nothing moves: {left}"
    return times


def remaining_path(world: World, step: Step) -> float:
    """The longest chain of steps that begins with ``step``: which step waits for which is found by asking the rule with
    everything else done."""
    return world.duration(step) + max((remaining_path(world, other) for other in waiting_for(world, step)), default=0.0)


def waiting_for(world: World, step: Step) -> list[Step]:
    steps = world.all_steps()
    rest = World(world.components, world.move)
    for other in steps:
        if other != step:
            rest.finish(other)
    return [other for other in steps if other != step and not rest.may_begin(other)]


def chains(world: World) -> list[list[Step]]:
    """Every chain of steps that wait for each other, from a step that waits for nothing to one that none waits for."""
    steps = world.all_steps()
    after = {step: waiting_for(world, step) for step in steps}
    firsts = [step for step in steps if not any(step in following for following in after.values())]

    def walk(step: Step) -> list[list[Step]]:
        return [[step, *rest] for following in after[step] for rest in walk(following)] or [[step]]

    return [chain for step in firsts for chain in walk(step)]


def longest(world: World, wanted: set[Action]) -> float:
    """Of all chains, counting only steps of the ``wanted`` actions."""
    return max(
        (sum(world.duration(step) for step in chain if step.action in wanted) for chain in chains(world)), default=0.0
    )
