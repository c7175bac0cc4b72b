"""``failoverd agents``: the component types of this machine, and what one of them takes."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from failoverd.agents.registry import agent_types
from failoverd.cli.guard import DONE
from failoverd.cli.output import print_json, show
from failoverd.config.durations import format_duration
from failoverd.config.messages import suggest
from failoverd.config.table import names_of
from failoverd.domain.model import Timeouts
from failoverd.errors import UsageError
from failoverd.ports import AgentType, Described, Installable, ParameterText

_LEAD = re.compile(r"^Parameters of a component of type ``[a-z]+``(: )?")
_READ_AT_ONCE = 4
"""Types of a family may have to be asked, which takes some milliseconds for each."""


def list_types(*, as_json: bool) -> int:
    types = agent_types()
    names = names_of(types)
    with ThreadPoolExecutor(max_workers=_READ_AT_ONCE) as pool:
        titles = dict(zip(names, pool.map(lambda name: title_of(types[name]), names), strict=True))
    if as_json:
        print_json({"version": 1, "types": [{"type": name, "text": text} for name, text in titles.items()]})
        return DONE
    from rich.table import Table  # noqa: PLC0415 (50 ms that --json need not spend)

    table = Table(box=None, pad_edge=False)
    table.add_column("type", no_wrap=True)
    table.add_column("")
    for name, text in titles.items():
        table.add_row(name, text)
    show(table)
    return DONE


def show_type(name: str, *, as_json: bool) -> int:
    """Raises ``UsageError`` for one that does not exist here."""
    types = agent_types()
    found = types.get(name)
    missing = found.missing() if isinstance(found, Installable) else ""
    if found is None or missing:
        raise UsageError(missing or f"there is no component type '{name[:80]}'{suggest(name, names_of(types))}")
    document = describe(found)
    if as_json:
        print_json(document)
    else:
        _show(document)
    return DONE


def title_of(found: AgentType) -> str:
    return text_of(found).partition("\n")[0]


def text_of(found: AgentType) -> str:
    if isinstance(found, Described):
        return found.text()
    return _LEAD.sub("", found.params.__doc__ or "").strip().replace("``", "'")


def describe(found: AgentType) -> dict[str, Any]:
    """The document that ``--json`` prints."""
    described = isinstance(found, Described)
    return {
        "version": 1,
        "type": found.name,
        "text": text_of(found),
        "keys": [_plain(one) for one in keys_of(found.params)],
        "params": [_plain(one) for one in found.parameters()] if isinstance(found, Described) else [],
        "action_timeouts_s": dict(found.recommended()) if isinstance(found, Described) else {},
        "timeouts_s": {} if described else _default_timeouts(),
    }


def _plain(one: ParameterText) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": one.type,
        "required": one.required,
        "default": one.default,
        "text": one.text,
    }


def _default_timeouts() -> dict[str, float]:
    own = Timeouts()
    return {
        "monitor": own.probe_s,
        "prepare": own.prepare_s,
        "online": own.online_s,
        "offline": own.offline_s,
        "clean": own.clean_s,
    }


def keys_of(model: type[BaseModel]) -> list[ParameterText]:
    """The keys of a component beside the common ones."""
    return [
        ParameterText(
            name=field.alias or name,
            type=_kind(field),
            required=field.is_required(),
            default=_default(field),
            text=" ".join((field.description or "").split()).replace("``", "'"),
        )
        for name, field in model.model_fields.items()
    ]


def _kind(field: FieldInfo) -> str:
    return " or ".join(dict.fromkeys(_words(field.annotation)))


_WORDS: Mapping[Any, str] = {str: "string", int: "integer", float: "duration", bool: "boolean"}
_ORIGINS: Mapping[Any, str] = {list: "list", dict: "mapping", tuple: "list"}


def _words(annotation: Any) -> list[str]:
    """What may be written for it, in words."""
    origin = get_origin(annotation)
    if origin is Literal:
        return [str(value) for value in get_args(annotation)]
    if origin is Annotated:
        return _words(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [word for part in get_args(annotation) if part is not type(None) for word in _words(part)]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [member.value for member in annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return ["mapping"]
    return [_WORDS.get(annotation) or _ORIGINS.get(origin, "value")]


def _default(field: FieldInfo) -> str | None:
    value = None if field.is_required() else field.default
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_duration(value)
    return str(value) if isinstance(value, str | int) else None


# --- for people -----------------------------------------------------------------------------------------------


def _show(document: Mapping[str, Any]) -> None:
    from rich.console import Group  # noqa: PLC0415 (see above)
    from rich.table import Table  # noqa: PLC0415 (see above)
    from rich.text import Text  # noqa: PLC0415 (see above)

    parts: list[Any] = [Text(document["type"], style="bold"), Text(document["text"])]
    for title in ("keys", "params"):
        if not document[title]:
            continue
        table = Table(box=None, pad_edge=False, show_header=False)
        for one in document[title]:
            how = "required" if one["required"] else f"default {one['default']}" if one["default"] is not None else ""
            table.add_row(f"  {one['name']}", one["type"], how, one["text"])
        parts += [Text(f"\n{title}:", style="bold"), table]
    for title, key in (("the agent's own time-outs", "action_timeouts_s"), ("default time-outs", "timeouts_s")):
        if document[key]:
            times = ", ".join(f"{action} {format_duration(seconds)}" for action, seconds in document[key].items())
            parts += [Text(f"\n{title}:", style="bold"), Text(f"  {times}")]
    show(Group(*parts))
