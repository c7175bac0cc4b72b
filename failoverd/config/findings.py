"""Collects every fault and warning of one reading, and validates pieces of the tree into it."""

import re
from collections.abc import Collection, Iterable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from failoverd.config.fault import Fault, Mark
from failoverd.config.messages import shown, translate
from failoverd.config.tree import Map, Tree, plain

M = TypeVar("M", bound=BaseModel)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
FAULTS_MAX = 1000
"""Nobody reads more, and a hostile file must not make us print for ever."""


class Findings:
    def __init__(self, faults: Iterable[Fault] = (), *, incomplete: bool = False) -> None:
        self._faults = set(faults)
        self._incomplete = incomplete
        self._warnings: set[Fault] = set()

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(sorted(self._faults)[:FAULTS_MAX])

    @property
    def warnings(self) -> tuple[Fault, ...]:
        return tuple(sorted(self._warnings)[:FAULTS_MAX])

    def fault(self, mark: Mark, message: str) -> None:
        self._faults.add(Fault.at(mark, message))

    def lacking(self, mark: Mark, message: str) -> None:
        """A fault for something that is not there; none where part of the configuration could not be read, for then
        it may be in that part, and the message would mislead."""
        if not self._incomplete:
            self.fault(mark, message)

    def warn(self, mark: Mark, message: str) -> None:
        self._warnings.add(Fault.at(mark, message))

    def name(self, kind: str, name: str, mark: Mark) -> None:
        """Names become file names, keys of the coordinator and arguments, so they are kept plain."""
        if not _NAME.fullmatch(name):
            self.fault(
                mark,
                f"{kind} name '{name[:80]}': only letters, digits, '_', '.' and '-' are allowed, at most 63, "
                "and it must not begin with '.' or '-'",
            )

    def mapping(self, what: str, tree: Tree) -> Map | None:
        """The tree where it is a mapping, else None with a fault."""
        if isinstance(tree, Map):
            return tree
        self.fault(tree.mark, f"'{what}' must be a mapping (key: value), not {shown(tree)}")
        return None

    def validate(self, model: type[M], tree: Map, *, known: Collection[str] = (), within: str = "") -> M | None:
        """The validated piece, or None with every fault of it. ``known``: keys that are checked elsewhere but may be
        what a misspelt one was meant to be. ``within``: what the mapping is called where a key of it is missing."""
        try:
            return model.model_validate(plain(tree))
        except ValidationError as error:

            def keys_at(path: tuple[str | int, ...]) -> Collection[str]:
                return _keys_at(model, path) | (frozenset() if path else frozenset(known))

            self._faults.update(translate(error, tree, keys_at, within))
            return None


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> frozenset[str]:
    """The keys of the model at a path below ``model``; none where that is no model."""
    for step in path:
        if not isinstance(step, str):
            continue
        field = next((field for name, field in model.model_fields.items() if (field.alias or name) == step), None)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return frozenset()
        model = inner
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model among an annotation's parts (``X | None``, ``list[X]``)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
