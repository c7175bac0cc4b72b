"""YAML text to a positioned tree, with bounds.

PyYAML's event stream is composed here rather than by PyYAML, because of what a configuration wants and its composer
does not give: scalars by the core schema of YAML 1.2 (section 10.3.2: ``no`` and ``on`` are text, as editors have it;
PyYAML reads 1.1), duplicate keys as faults, a bound on depth, and a bound on what aliases expand to.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from failoverd.config.fault import Fault, Mark
from failoverd.config.tree import Entry, Map, Plain, Scalar, Seq, Tree, is_null

DEPTH_MAX = 40
NODES_MAX = 200_000
"""With aliases written out; some 20 times what 400 components take."""
_KEY_MAX = 200
_FAULTS_MAX = 100

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE_KEY = "<<"


class Unreadable(Exception):  # noqa: N818 (it carries the fault)
    """The document cannot be composed any further."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.fault = Fault.at(mark, message)


def compose(text: str, file: str) -> tuple[Map | None, tuple[Fault, ...]]:
    """The top-level mapping (None where there is none to speak of) and every fault found on the way."""
    composer = _Composer(text, file)
    try:
        return composer.document(), tuple(composer.faults)
    except Unreadable as stop:
        return None, (*composer.faults, stop.fault)
    except yaml.YAMLError as error:
        return None, (*composer.faults, _syntax(error, text, file))


class _Composer:
    def __init__(self, text: str, file: str) -> None:
        self.faults: list[Fault] = []
        self._file = file
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._anchors: dict[str, Tree | None] = {}
        """None while the anchored node is still being composed."""

    def document(self) -> Map | None:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise Unreadable(Mark(self._file), "the file is empty")
        tree = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise Unreadable(self._mark(event), "a second document begins here: only one is allowed in a file")
        if is_null(tree):
            raise Unreadable(Mark(self._file), "the file is empty")
        if not isinstance(tree, Map):
            what = "a list" if isinstance(tree, Seq) else f"the single value {str(tree.value)[:40]!r}"
            raise Unreadable(tree.mark, f"the top level must be a mapping (key: value), not {what}")
        return tree

    def _mark(self, event: Any) -> Mark:
        return Mark(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _fault(self, mark: Mark, message: str) -> None:
        if len(self.faults) >= _FAULTS_MAX:
            raise Unreadable(mark, "too many faults: the rest is not shown")
        self.faults.append(Fault.at(mark, message))

    def _node(self, event: Any, depth: int) -> Tree:
        mark = self._mark(event)
        if depth > DEPTH_MAX:
            raise Unreadable(mark, f"nested too deeply: at most {DEPTH_MAX} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        tree = self._fresh(event, mark, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = tree
        return tree

    def _alias(self, anchor: str | None, mark: Mark) -> Tree:
        if anchor is None or anchor not in self._anchors:
            raise Unreadable(mark, f"the alias *{anchor} refers to no anchor &{anchor} before it")
        tree = self._anchors[anchor]
        if tree is None:
            raise Unreadable(mark, f"the alias *{anchor} stands inside of what it refers to")
        return tree

    def _fresh(self, event: Any, mark: Mark, depth: int) -> Tree:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(mark, self._scalar(event, mark))
        self._check_tag(event.tag, mark, "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "!")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(mark, depth)
        return self._mapping(mark, depth)

    def _check_tag(self, tag: str | None, mark: Mark, *known: str) -> None:
        if tag is not None and tag not in known:
            short = tag.replace("tag:yaml.org,2002:", "!!")[:60]
            self._fault(mark, f"the tag {short} is not supported: write the plain value")

    def _scalar(self, event: Any, mark: Mark) -> Plain:
        self._check_tag(event.tag, mark, "tag:yaml.org,2002:str", "!")
        text: str = event.value
        return resolve(text) if event.implicit[0] and event.tag is None else text

    def _grow(self, tree: Seq | Map, child: Tree, mark: Mark) -> None:
        tree.size += child.size
        tree.height = max(tree.height, child.height + 1)
        if tree.height > DEPTH_MAX:
            raise Unreadable(mark, f"nested too deeply: at most {DEPTH_MAX} levels")
        if tree.size > NODES_MAX:
            raise Unreadable(mark, f"too large: more than {NODES_MAX} values once aliases are written out")

    def _sequence(self, mark: Mark, depth: int) -> Seq:
        tree = Seq(mark)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = self._node(event, depth + 1)
            self._grow(tree, item, item.mark)
            tree.items.append(item)
        return tree

    def _mapping(self, mark: Mark, depth: int) -> Map:
        tree = Map(mark)
        merged: list[tuple[Mark, Tree]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_mark = self._mark(event)
            key = self._key(event, depth)
            value = self._node(next(self._events), depth + 1)
            self._grow(tree, value, key_mark)
            if key == _MERGE_KEY:
                merged.append((key_mark, value))
            elif key is not None:
                self._add(tree, key, Entry(key_mark, value))
        for key_mark, value in merged:
            self._merge(tree, value, key_mark)
        return tree

    def _key(self, event: Any, depth: int) -> str | None:
        """The key's text (``7: x`` has the key "7"); None, with a fault, where it cannot be one."""
        mark = self._mark(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, depth + 1)
            self._fault(mark, "a key must be plain text, not an alias, a list or a mapping")
            return None
        text: str = event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = Scalar(mark, text)
        if not text or len(text) > _KEY_MAX:
            self._fault(mark, f"a key must have 1 to {_KEY_MAX} characters")
            return None
        return text

    def _add(self, tree: Map, key: str, entry: Entry) -> None:
        first = tree.entries.get(key)
        if first is None:
            tree.entries[key] = entry
        else:
            self._fault(entry.key, given_twice(key, first.key, entry.key))

    def _merge(self, tree: Map, value: Tree, key_mark: Mark) -> None:
        """``<<: *defaults``: keys given here win, among several mappings the first."""
        for source in value.items if isinstance(value, Seq) else [value]:
            if not isinstance(source, Map):
                self._fault(key_mark, "<< must be followed by a mapping or an alias of one (as in <<: *defaults)")
                return
            for key, entry in source.entries.items():
                tree.entries.setdefault(key, entry)


def resolve(text: str) -> Plain:
    """A plain scalar by the core schema of YAML 1.2, but numbers with leading zeros, and hexadecimal ones, stay text:
    what ``010`` is depends on whom one asks."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def given_twice(key: str, first: Mark, second: Mark) -> str:
    where = f"line {first.line}, column {first.column}" if first.file == second.file else str(first)
    return f"'{key}' is given twice, first at {where}"


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Fault:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position] if isinstance(error.position, int) else ""
        mark = Mark(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return Fault.at(mark, f"not YAML: {error.reason} (character {error.character!r})")
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Fault.at(Mark(file), f"not YAML: {error}")
    at = error.problem_mark
    mark = Mark(file, at.line + 1, at.column + 1)
    if _rest_of_line(text, at).startswith("\t"):
        return Fault.at(mark, "not YAML: a tab where only spaces may indent")
    began = error.context_mark
    place = f" that began at line {began.line + 1}, column {began.column + 1}" if began is not None else ""
    context = f" ({error.context}{place})" if error.context is not None else ""
    return Fault.at(mark, f"not YAML: {error.problem}{context}")


def _rest_of_line(text: str, at: Any) -> str:
    lines = text.splitlines()
    return lines[at.line][at.column :] if at.line < len(lines) else ""
