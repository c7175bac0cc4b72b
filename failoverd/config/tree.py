"""A YAML document as a tree in which every key and value knows its place."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from failoverd.config.fault import Mark

Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    mark: Mark
    value: Plain
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class Seq:
    mark: Mark
    items: list["Tree"] = field(default_factory=list)
    size: int = 1
    """How many nodes it is with all aliases written out."""
    height: int = 1
    """How many levels it is with all aliases written out."""


@dataclass(frozen=True, slots=True)
class Entry:
    key: Mark
    value: "Tree"


@dataclass(slots=True)
class Map:
    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def get(self, key: str) -> "Tree | None":
        entry = self.entries.get(key)
        return entry.value if entry else None

    def key_mark(self, key: str) -> Mark:
        """Where the key stands; where the mapping begins if it lacks it."""
        entry = self.entries.get(key)
        return entry.key if entry else self.mark

    def value_mark(self, key: str) -> Mark:
        entry = self.entries.get(key)
        return entry.value.mark if entry else self.mark

    def without(self, keys: Collection[str]) -> "Map":
        return Map(self.mark, {key: entry for key, entry in self.entries.items() if key not in keys})

    def only(self, keys: Collection[str]) -> "Map":
        return Map(self.mark, {key: entry for key, entry in self.entries.items() if key in keys})


Tree = Scalar | Seq | Map


def is_null(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.value is None


def plain(tree: Tree) -> Any:
    """The tree as dict, list and scalars."""
    if isinstance(tree, Map):
        return {key: plain(entry.value) for key, entry in tree.entries.items()}
    if isinstance(tree, Seq):
        return [plain(item) for item in tree.items]
    return tree.value


@dataclass(frozen=True, slots=True)
class Place:
    """How far a path could be followed."""

    mark: Mark
    """Of the value that was reached."""
    key: Mark
    """Of its key; of itself where it is an item of a list."""
    value: Tree
    path: tuple[str | int, ...]
    """The steps that were followed; steps that name no key or item are skipped."""
    skipped: int | None
    """How many steps had been followed when the first one was skipped."""


def locate(tree: Tree, path: tuple[str | int, ...]) -> Place:
    """Follow a path (as pydantic gives it) as far as it goes."""
    key = tree.mark
    followed: list[str | int] = []
    skipped: int | None = None
    for step in path:
        if isinstance(tree, Map) and step in tree.entries:
            entry = tree.entries[str(step)]
            key, tree = entry.key, entry.value
        elif isinstance(tree, Seq) and isinstance(step, int) and step < len(tree.items):
            tree = tree.items[step]
            key = tree.mark
        else:
            skipped = len(followed) if skipped is None else skipped
            continue
        followed.append(step)
    return Place(tree.mark, key, tree, tuple(followed), skipped)


def mappings(tree: Tree | None) -> Iterator[tuple[str, Entry]]:
    """The entries of a mapping; nothing where it is none."""
    if isinstance(tree, Map):
        yield from tree.entries.items()


def strings(tree: Tree | None) -> Mapping[str, Mark]:
    """The places of the strings in a list (the first of each); empty where it is none."""
    found: dict[str, Mark] = {}
    for item in tree.items if isinstance(tree, Seq) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str):
            found.setdefault(item.value, item.mark)
    return found
