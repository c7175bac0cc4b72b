"""The dependency graph of a group's components: who needs whom, and in which order that can be walked.

Everything is linear in components plus dependencies and free of recursion, so that a chain of thousands is as good as
a star. Orders are those of the configuration file wherever it leaves a choice, so that two nodes with the same
configuration compute the same.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from failoverd.domain.model import Group


class GraphError(ValueError):
    """The dependencies do not make a graph that a handover can follow. Nothing was changed."""


class UnknownDependency(GraphError):  # noqa: N818 (says what it is, as the other errors of the project)
    def __init__(self, component: str, dependency: str) -> None:
        super().__init__(f"{component} depends on {dependency}, which is not a component of the group")
        self.component = component
        self.dependency = dependency


class DependencyCycle(GraphError):  # noqa: N818 (likewise)
    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__("dependencies form a cycle: " + " -> ".join(path))
        self.path = path
        """First and last are the same component; each depends on the next."""


def find_cycle(depends_on: Mapping[str, Collection[str]]) -> tuple[str, ...] | None:
    """A cycle as a path whose first and last element are equal, each depending on the next; None where there is none.

    The same mapping, in whatever order and with whatever kind of collection, always gives the same path. Names that
    are not keys are ignored: a dangling reference is another fault.
    """
    finished: set[str] = set()
    for root in sorted(depends_on):
        if root not in finished:
            cycle = _cycle_from(root, depends_on, finished)
            if cycle:
                return cycle
    return None


def _cycle_from(root: str, depends_on: Mapping[str, Collection[str]], finished: set[str]) -> tuple[str, ...] | None:
    """Depth-first from ``root`` with a stack of our own; adds to ``finished`` what leads into no cycle."""
    path = {root: _known(root, depends_on)}  # a dict keeps the path's order and answers "is it on the path" at once
    while path:
        name, dependencies = next(reversed(path.items()))
        following = next(dependencies, None)
        if following is None:
            finished.add(name)
            path.popitem()
        elif following in path:
            names = list(path)
            return (*names[names.index(following) :], following)
        elif following not in finished:
            path[following] = _known(following, depends_on)
    return None


def _known(name: str, depends_on: Mapping[str, Collection[str]]) -> Iterator[str]:
    return iter(sorted(dependency for dependency in depends_on[name] if dependency in depends_on))


@dataclass(frozen=True, slots=True)
class ComponentGraph:
    """The components of a group and their dependencies, without cycles. Build with ``of`` or ``of_group``."""

    depends_on: Mapping[str, tuple[str, ...]]
    """D(x): what x needs directly."""
    dependents: Mapping[str, tuple[str, ...]]
    """U(x): what needs x directly."""
    order: tuple[str, ...]
    """Every component after everything that it depends on: the order of coming online, one at a time."""

    @classmethod
    def of(cls, depends_on: Mapping[str, Iterable[str]]) -> "ComponentGraph":
        """Raises ``UnknownDependency`` and ``DependencyCycle``."""
        needs = {name: tuple(dict.fromkeys(dependencies)) for name, dependencies in depends_on.items()}
        for name, dependencies in needs.items():
            for dependency in dependencies:
                if dependency not in needs:
                    raise UnknownDependency(name, dependency)
        dependents = _reversed(needs)
        return cls(needs, dependents, _topological(needs, dependents))

    @classmethod
    def of_group(cls, group: Group) -> "ComponentGraph":
        """Raises as ``of`` does; never for a group that the configuration accepted."""
        return cls.of({name: component.depends_on for name, component in group.components.items()})

    def requirements(self, name: str) -> frozenset[str]:
        """Everything that must be online for ``name`` to be, directly or not."""
        return _closure(name, self.depends_on)

    def all_dependents(self, name: str) -> frozenset[str]:
        """Everything that must be offline before ``name`` goes offline, directly or not."""
        return _closure(name, self.dependents)


def _reversed(needs: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, dependencies in needs.items():
        for dependency in dependencies:
            dependents[dependency].append(name)
    return {name: tuple(names) for name, names in dependents.items()}


def _topological(needs: Mapping[str, tuple[str, ...]], dependents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Kahn, "Topological sorting of large networks", CACM 5(11), 1962."""
    missing = {name: len(dependencies) for name, dependencies in needs.items()}
    ready = deque(name for name, count in missing.items() if count == 0)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for dependent in dependents[name]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                ready.append(dependent)
    if len(order) < len(needs):
        path = find_cycle(needs)
        assert path is not None, "Kahn's algorithm leaves out only what is on or behind a cycle"  # noqa: S101 (invariant)
        raise DependencyCycle(path)
    return tuple(order)


def _closure(name: str, edges: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(edges[name])
    while waiting:
        following = waiting.pop()
        if following not in seen:
            seen.add(following)
            waiting.extend(edges[following])
    return frozenset(seen)
