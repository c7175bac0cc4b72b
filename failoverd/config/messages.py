"""pydantic's validation errors in the administrator's words, each at the place of the key or value concerned."""

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from failoverd.config.fault import Fault
from failoverd.config.tree import Map, Place, Scalar, Seq, Tree, locate

_NOUNS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "nothing",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SHOWN_MAX = 60

KeysAt = Callable[[tuple[str | int, ...]], Collection[str]]
"""The keys that may stand in the mapping at a path."""


@dataclass(frozen=True, slots=True)
class _Error:
    kind: str
    message: str
    context: dict[str, Any]
    place: Place
    last: str | int | None
    """The last step of pydantic's own path."""


def translate(error: ValidationError, tree: Map, keys_at: KeysAt, within: str) -> Iterator[Fault]:
    """Every fault. ``keys_at`` serves suggestions; ``within`` is what the tree itself is called."""
    errors = [_located(details, tree) for details in error.errors(include_url=False)]
    for alternatives in _by_place(errors):
        yield _fault(alternatives, keys_at, within)


def _located(details: Any, tree: Map) -> _Error:
    path = tuple(details["loc"])
    kind = details["type"]
    # a missing key is the last step and cannot be followed: that is no skipped step
    place = locate(tree, path[:-1] if kind == "missing" else path)
    return _Error(kind, details["msg"], details.get("ctx", {}), place, path[-1] if path else None)


def _by_place(errors: Iterable[_Error]) -> Iterator[list[_Error]]:
    """Errors of the alternatives of one value (pydantic names the alternative in the path, which cannot be followed)
    come together, and of them only those that got furthest in: the alternative that was meant."""
    groups: dict[tuple[Any, ...], list[_Error]] = defaultdict(list)
    for number, error in enumerate(errors):
        if error.place.skipped is None:
            groups["alone", number].append(error)
        else:
            groups[error.place.path[: error.place.skipped]].append(error)
    for group in groups.values():
        deepest = max(len(error.place.path) for error in group)
        yield [error for error in group if len(error.place.path) == deepest]


def _fault(errors: list[_Error], keys_at: KeysAt, within: str) -> Fault:
    first = errors[0]
    tree = first.place.value
    if first.kind == "missing":
        name = within if not first.place.path else f"'{_subject(first.place.path)}'"
        return Fault.at(first.place.mark, f"{name + ' lacks' if name else 'missing'} the key '{first.last}'")
    if first.kind == "extra_forbidden":
        return _unknown_key(first, keys_at)
    nouns = list(dict.fromkeys(_NOUNS[error.kind] for error in errors if error.kind in _NOUNS))
    if nouns and len({error.kind for error in errors} - _NOUNS.keys()) == 0:
        subject = _subject(first.place.path)
        return Fault.at(
            first.place.mark, f"'{subject}' must be {' or '.join(nouns)}, not {shown(tree)}{_hint(nouns, tree)}"
        )
    telling = next(error for error in errors if error.kind not in _NOUNS)
    return Fault.at(telling.place.mark, _message(telling))


def _unknown_key(error: _Error, keys_at: KeysAt) -> Fault:
    name = str(error.last)
    return Fault.at(error.place.key, f"unknown key '{name}'{suggest(name, keys_at(error.place.path[:-1]))}")


def _message(error: _Error) -> str:
    subject = _subject(error.place.path)
    if error.kind in ("enum", "literal_error"):
        return _choice(error, subject)
    if error.kind in _BOUNDS:
        word, key = _BOUNDS[error.kind]
        return f"'{subject}' must be {word} {error.context[key]:g}, not {shown(error.place.value)}"
    if error.kind in ("too_short", "too_long"):
        length = error.context.get("min_length", error.context.get("max_length"))
        return f"'{subject}' must have at {'least' if error.kind == 'too_short' else 'most'} {length} {_things(length)}"
    if error.kind in ("value_error", "assertion_error"):
        text = str(error.context.get("error", error.message))
        return f"'{subject}': {text}" if subject else text
    if error.kind == "string_too_short":
        return f"'{subject}' must not be empty"
    if error.kind == "string_pattern_mismatch":
        return f"'{subject}' must look like {error.context['pattern']}, not {shown(error.place.value)}"
    return f"'{subject}': {error.message[:1].lower()}{error.message[1:]}"


def _choice(error: _Error, subject: str) -> str:
    choices = re.findall(r"'([^']*)'", str(error.context.get("expected", "")))
    value = error.place.value
    hint = suggest(str(value.value), choices) if isinstance(value, Scalar) else ""
    return f"'{subject}' must be {listed(choices)}, not {shown(value)}{hint}"


def suggest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.65)
    return f" (did you mean '{near[0]}'?)" if near else ""


def listed(choices: list[str]) -> str:
    """``a``, ``a or b``, ``one of a, b or c``."""
    head, last = choices[:-1], choices[-1]
    if len(head) > 1:
        return f"one of {', '.join(head)} or {last}"
    return f"{head[0]} or {last}" if head else last


def _subject(path: tuple[str | int, ...]) -> str:
    """The last key of the path, with the number of the item where the path goes on into a list."""
    text = ""
    for step in path:
        text = f"{text}[{step}]" if isinstance(step, int) else step
    return text


def shown(tree: Tree) -> str:
    if isinstance(tree, Map):
        return "a mapping"
    if isinstance(tree, Seq):
        return "a list"
    if tree.value is None:
        return "nothing"
    if isinstance(tree.value, bool):
        return str(tree.value).lower()
    text = str(tree.value)
    short = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
    return repr(short) if isinstance(tree.value, str) else short


def _hint(nouns: list[str], tree: Tree) -> str:
    if not isinstance(tree, Scalar):
        return ""
    if "a string" in nouns and isinstance(tree.value, int | float):
        return " (put it in quotes)"
    if nouns == ["true or false"] and str(tree.value).lower() in {"yes", "no", "on", "off"}:
        return f" (write {'true' if str(tree.value).lower() in {'yes', 'on'} else 'false'})"
    return ""


def _things(count: Any) -> str:
    return "entry" if count == 1 else "entries"
