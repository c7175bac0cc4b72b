"""Reading files: the one that was named and those it includes, merged at the top level.

An included file may hold any top-level key. ``groups``, ``nodes`` and ``fencing`` are merged over the files; everything
else may be given once. Keys that begin with ``x-`` are for the administrator (anchors to be used by alias).
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from failoverd.config.compose import compose, given_twice
from failoverd.config.fault import Fault, Mark
from failoverd.config.tree import Entry, Map, Scalar, Seq, Tree

FILE_BYTES_MAX = 4 << 20
TOTAL_BYTES_MAX = 16 << 20
FILES_MAX = 500
_MERGED = frozenset({"groups", "nodes", "fencing"})
_GLOB = frozenset("*?[")


@dataclass(slots=True)
class Source:
    """What was read. ``root`` holds what could be read, also where there are faults."""

    root: Map
    files: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    incomplete: bool = False
    """A file could not be read: what seems to be missing may be in there."""


def read(path: str | os.PathLike[str]) -> Source:
    """Read ``path`` and everything it includes. Raises nothing: what is wrong is among ``faults``."""
    name = os.fspath(path)
    reading = _Reading(Source(Map(Mark(name))))
    reading.file(name, Mark(name), ())
    return reading.source


class _Reading:
    def __init__(self, source: Source) -> None:
        self.source = source
        self._bytes = 0
        self._seen: dict[str, Mark] = {}

    def _fault(self, mark: Mark, message: str) -> None:
        self.source.faults.append(Fault.at(mark, message))

    def file(self, name: str, wanted_at: Mark, within: tuple[str, ...]) -> None:
        """Read one file. ``wanted_at``: where it was asked for; ``within``: the files around it, outermost first."""
        real = os.path.realpath(name)
        if real in {os.path.realpath(outer) for outer in within}:
            path = " -> ".join((*within, name))
            self._fault(wanted_at, f"files that include each other: {path}")
            return
        if real in self._seen:
            self._fault(wanted_at, f"'{name}' is included twice, first at {self._seen[real]}")
            return
        self._seen[real] = wanted_at
        if len(self.source.files) >= FILES_MAX:
            self._fault(wanted_at, f"more than {FILES_MAX} files")
            return
        self.source.files.append(name)
        root = self._root(name, wanted_at)
        if root is None:
            self.source.incomplete = True
        else:
            self._merge(root)
            self._includes(root.get("include"), name, (*within, name))

    def _root(self, name: str, wanted_at: Mark) -> Map | None:
        text = self._text(name, wanted_at)
        if text is None:
            return None
        root, faults = compose(text, name)
        self.source.faults += faults
        return root

    def _text(self, name: str, wanted_at: Mark) -> str | None:
        try:
            if not Path(name).is_file() and Path(name).exists():
                self._fault(wanted_at, f"'{name}' is no regular file")
                return None
            with Path(name).open("rb") as stream:
                data = stream.read(FILE_BYTES_MAX + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._fault(wanted_at, f"'{name}' cannot be read: {why}")
            return None
        self._bytes += len(data)
        if len(data) > FILE_BYTES_MAX or self._bytes > TOTAL_BYTES_MAX:
            limits = f"at most {FILE_BYTES_MAX >> 20} MiB a file, {TOTAL_BYTES_MAX >> 20} MiB together"
            self._fault(wanted_at, f"'{name}' is too large: {limits}")
            return None
        return self._decode(name, data)

    def _decode(self, name: str, data: bytes) -> str | None:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start]
            column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
            mark = Mark(name, before.count(b"\n") + 1, column)
            self._fault(mark, f"not UTF-8: byte 0x{data[error.start]:02x} ({error.reason})")
            return None

    def _merge(self, root: Map) -> None:
        for key, entry in root.entries.items():
            first = self.source.root.entries.get(key)
            if key == "include" or key.startswith("x-"):
                continue
            if first is None:
                # a mapping of its own, for the entries of other files must not get into the composed (aliasable) one
                value = entry.value
                shell = Map(value.mark, dict(value.entries)) if isinstance(value, Map) else value
                self.source.root.entries[key] = Entry(entry.key, shell)
            elif key in _MERGED and isinstance(first.value, Map) and isinstance(entry.value, Map):
                self._merge_entries(first.value, entry.value)
            else:
                self._fault(entry.key, given_twice(key, first.key, entry.key))

    def _merge_entries(self, into: Map, other: Map) -> None:
        for name, entry in other.entries.items():
            first = into.entries.setdefault(name, entry)
            if first is not entry:
                self._fault(entry.key, given_twice(name, first.key, entry.key))

    def _includes(self, tree: Tree | None, name: str, within: tuple[str, ...]) -> None:
        if tree is None:
            return
        for item in tree.items if isinstance(tree, Seq) else [tree]:
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                self._fault(item.mark, "'include' must be a file name or a list of them")
                continue
            for found in _matches(os.path.join(os.path.dirname(name), item.value)):  # noqa: PTH118, PTH120 (Path would drop a leading ./)
                self.file(found, item.mark, within)


def _matches(pattern: str) -> Iterator[str]:
    """The files of a pattern, sorted; a name without wildcards is itself, so that a missing one is noticed."""
    if _GLOB.isdisjoint(pattern):
        yield pattern
    else:
        yield from sorted(glob.glob(pattern))  # noqa: PTH207 (likewise)
