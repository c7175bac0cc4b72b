"""The table of component types: those that are listed, and families of which the members are looked up by name."""

from collections.abc import Iterator, Mapping, Sequence

from failoverd.ports import AgentFamily, AgentType


class AgentTable(Mapping[str, AgentType]):
    """Iterating gives the listed types alone; looking up knows the families' members too."""

    def __init__(self, listed: Mapping[str, AgentType], families: Sequence[AgentFamily] = ()) -> None:
        self._listed = dict(listed)
        self.families = tuple(families)

    def __getitem__(self, name: str) -> AgentType:
        found = self._listed.get(name)
        for family in self.families:
            if found is None and name.startswith(family.prefix):
                found = family.member(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


def families_of(types: Mapping[str, AgentType]) -> tuple[AgentFamily, ...]:
    return types.families if isinstance(types, AgentTable) else ()


def names_of(types: Mapping[str, AgentType]) -> list[str]:
    """Of every type that there is, the members of families after those that are listed."""
    return [*sorted(types), *(name for family in families_of(types) for name in family.names())]
