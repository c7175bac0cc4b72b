"""JSON Schema (draft 2020-12) of the configuration file, for editors: completion, descriptions, first faults.

It says less than ``check`` does: nothing of references, cycles or inequalities. Files that are included follow the
same schema, so no top-level key is required.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from failoverd.config import document
from failoverd.config.durations import format_duration
from failoverd.config.table import families_of
from failoverd.ports import AgentType

_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$"}
_REF = "#/$defs/{model}"
_MODELS: tuple[type[BaseModel], ...] = (
    document.TopKeys,
    document.NodeKeys,
    document.HeartbeatKeys,
    document.LeaseKeys,
    document.SqliteKeys,
    document.EtcdKeys,
    document.FenceKeys,
    document.GroupKeys,
    document.ComponentKeys,
)
_TOP = {
    "nodes": "The machines that run one failoverd each, by name.",
    "coordinator": "Where the nodes agree on who owns what.",
    "heartbeat": "Datagrams to every peer over every link.",
    "lease": "A node's time-bounded right to have anything online.",
    "fencing": "How a node is made sure to be off, by node.",
    "groups": "Service groups, by name.",
    "include": "More files, relative to this one; with wildcards, those that there are.",
}


def schema(agent_types: Mapping[str, AgentType]) -> dict[str, Any]:
    """The schema with the component types of ``agent_types``."""
    agents = [agent_types[name] for name in sorted(agent_types)]
    families = {family.prefix: family.any for family in families_of(agent_types)}
    models = [(model, "validation") for model in (*_MODELS, *(agent.params for agent in (*agents, *families.values())))]
    refs, generated = models_json_schema(
        [(model, "validation") for model, _ in dict.fromkeys(models)], ref_template=_REF
    )
    defs: dict[str, Any] = generated.get("$defs", {})
    names: Mapping[Any, str] = {model: ref["$ref"].rpartition("/")[2] for (model, _), ref in refs.items()}
    top = defs.pop(names[document.TopKeys])
    defs["component"] = _component(defs, names, agents, families)
    _add_components(defs[names[document.GroupKeys]])
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "failoverd configuration",
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^x-": {"description": "Yours: anchors to be used by alias."}},
        "properties": {**top["properties"], **_structure(names)},
        "$defs": defs,
    }
    _tidy(whole)
    return whole


def _tidy(node: Any) -> None:
    """Take out what pydantic puts in for programs: titles made of key names, defaults in the program's own form."""
    for value in node if isinstance(node, list) else _subschemas(node):
        _tidy(value)
    if isinstance(node, dict):
        if "$schema" not in node:
            node.pop("title", None)
        default = node.get("default")
        if node.get("type") == "string" and isinstance(default, float):
            node["default"] = format_duration(default)
        elif default is None or isinstance(default, dict):
            node.pop("default", None)


def _subschemas(node: Any) -> list[Any]:
    """The schemas in a schema: not the names of properties, one of which may well be ``title``."""
    if not isinstance(node, dict):
        return []
    named = [value for key in ("properties", "patternProperties", "$defs") for value in node.get(key, {}).values()]
    return named + [value for key, value in node.items() if key not in ("properties", "patternProperties", "$defs")]


def _structure(names: Mapping[type[BaseModel], str]) -> dict[str, Any]:
    def ref(model: type[BaseModel]) -> dict[str, Any]:
        return {"$ref": _REF.format(model=names[model])}

    kinds = {
        "nodes": _by_name(ref(document.NodeKeys)),
        "coordinator": {"anyOf": [ref(document.SqliteKeys), ref(document.EtcdKeys)]},
        "heartbeat": ref(document.HeartbeatKeys),
        "lease": ref(document.LeaseKeys),
        "fencing": _by_name({"type": "array", "minItems": 1, "items": _level(ref(document.FenceKeys))}),
        "groups": _by_name(ref(document.GroupKeys)),
        "include": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    }
    return {key: {**kind, "description": _TOP[key]} for key, kind in kinds.items()}


def _level(device: dict[str, Any]) -> dict[str, Any]:
    """One device, or several that must all confirm."""
    return {"anyOf": [device, {"type": "array", "minItems": 1, "items": device}]}


def _by_name(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": _NAME, "additionalProperties": value}


def _add_components(group: dict[str, Any]) -> None:
    group["properties"]["components"] = {
        **_by_name({"$ref": _REF.format(model="component")}),
        "minProperties": 1,
        "description": "What the group is made of, by name.",
    }
    group["required"] = [*group.get("required", ()), "components"]


def _component(
    defs: dict[str, Any],
    names: Mapping[type[BaseModel], str],
    agents: list[AgentType],
    families: Mapping[str, AgentType],
) -> dict[str, Any]:
    """Common keys and the type's own in one closed object for each type; ``type`` tells which applies."""
    common = defs.pop(names[document.ComponentKeys])
    cases = [(agent.name, {"const": agent.name}, agent) for agent in agents]
    cases += [(prefix.rstrip(":"), {"pattern": f"^{prefix}"}, agent) for prefix, agent in families.items()]
    for name, which, agent in cases:
        defs[f"component_{name}"] = _merged(defs, which, common, defs[names[agent.params]])
    for model in {agent.params for _, _, agent in cases}:
        defs.pop(names[model])
    listed: dict[str, Any] = {"enum": [agent.name for agent in agents]}
    patterns = [{"type": "string", **which} for _, which, _ in cases[len(agents) :]]
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"anyOf": [listed, *patterns]} if patterns else listed},
        "allOf": [
            {
                "if": {"properties": {"type": which}, "required": ["type"]},
                "then": {"$ref": _REF.format(model=f"component_{name}")},
            }
            for name, which, _ in cases
        ],
    }


def _merged(
    defs: Mapping[str, Any], which: Mapping[str, Any], common: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    properties = {**common["properties"], **own.get("properties", {}), "type": which}
    required = ["type", *own.get("required", ())]
    if "monitor" in own.get("properties", {}):
        properties["monitor"] = _monitor(defs, common, own, command_required="monitor" in required)
    return {
        "type": "object",
        "description": own.get("description", common.get("description", "")),
        "additionalProperties": own.get("additionalProperties", False),
        "properties": properties,
        "required": required,
    }


def _monitor(
    defs: Mapping[str, Any], common: Mapping[str, Any], own: Mapping[str, Any], *, command_required: bool
) -> dict[str, Any]:
    """A command, or the common monitor keys with the command among them."""
    command = own["properties"]["monitor"]
    policy = defs[_referred(common["properties"]["monitor"])]
    with_command = {**policy, "properties": {**policy["properties"], "command": command}}
    if command_required:
        with_command["required"] = ["command"]
    return {"anyOf": [command, with_command], "description": command.get("description", "")}


def _referred(value: Mapping[str, Any]) -> str:
    """The name that a property refers to; pydantic wraps the reference where there are siblings."""
    ref: str = value["$ref"] if "$ref" in value else value["allOf"][0]["$ref"]
    return ref.rpartition("/")[2]
