"""What an agent's meta-data say (OCF Resource Agent API 1.1, section 4), from XML that nobody vouches for."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import islice

from failoverd.errors import FailoverdError

BYTES_MAX = 1 << 20
"""The longest of the resource-agents package has 50 KiB."""
_PARAMETERS_MAX = 2000
_ACTIONS_MAX = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_SECONDS = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)\s*(?P<unit>ms|msec|us|usec|s|sec|m|min|h|hr)?")
_UNITS = {"ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}
_TRUE = frozenset({"1", "true", "yes"})
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
BOOLEANS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0", "y", "n"})


class BadMetaData(FailoverdError):  # noqa: N818 (what is the case)
    """The agent's meta-data could not be had or not be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    type: str
    """``string``, ``integer``, ``boolean`` or ``select``; what is none of these counts as ``string``."""
    required: bool = False
    """It has no default and the agent cannot do without it."""
    default: str | None = None
    text: str = ""
    """What it is for, in one line."""
    options: tuple[str, ...] = ()
    """Of a ``select``: the values that there are."""
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAction:
    name: str
    timeout_s: float | None = None
    interval_s: float | None = None
    depth: int = 0
    role: str = ""
    """``started``, ``promoted``, ``unpromoted``, or empty: whatever the role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaData:
    name: str
    text: str = ""
    """What the agent is for, in one line."""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    actions: tuple[AgentAction, ...] = ()

    @property
    def promotable(self) -> bool:
        return {"promote", "demote"} <= {action.name for action in self.actions}

    def offers(self, action: str) -> bool:
        return any(one.name == action for one in self.actions)

    def timeout_s(self, action: str, role: str = "") -> float | None:
        """The longest that is given for an action in a role (a monitor may be listed once for each depth and role)."""
        found = [
            one.timeout_s
            for one in self.actions
            if one.name == action and one.timeout_s and one.depth == 0 and one.role in ("", role)
        ]
        return max(found, default=None)


def parse(data: bytes) -> MetaData:
    """Raises ``BadMetaData``."""
    if len(data) > BYTES_MAX:
        raise BadMetaData(f"longer than {BYTES_MAX // 1024} KiB")
    if b"<!ENTITY" in data:  # none is needed, and one can be made to expand to gigabytes
        raise BadMetaData("declares XML entities")
    if data[:2] in (b"\xfe\xff", b"\xff\xfe"):  # in which the above would not have been seen
        raise BadMetaData("not in UTF-8")
    try:
        root = ET.fromstring(data.strip())  # noqa: S314 (bounded, without entities)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise BadMetaData(f"not XML: {error}") from error
    if root.tag != "resource-agent":
        raise BadMetaData(f"not those of a resource agent: <{root.tag[:40]}>")
    parameters = (_parameter(node) for node in islice(root.iterfind("parameters/parameter"), _PARAMETERS_MAX))
    actions = (_action(node) for node in islice(root.iterfind("actions/action"), _ACTIONS_MAX))
    return MetaData(
        name=root.get("name", ""),
        text=_one_line(root.findtext("shortdesc")),
        description=_paragraphs(root.findtext("longdesc")),
        parameters=tuple({one.name: one for one in parameters if _NAME.fullmatch(one.name)}.values()),
        actions=tuple(one for one in actions if one.name),
    )


def _parameter(node: ET.Element) -> Parameter:
    content = node.find("content")
    kind = (content.get("type", "") if content is not None else "").strip().lower()
    default = content.get("default") if content is not None else None
    options = tuple(one.get("value", "") for one in node.iterfind("content/option"))
    return Parameter(
        name=node.get("name", "").strip(),
        type=_honest(kind, default, options),
        required=node.get("required", "0").strip().lower() in _TRUE and not default,
        default=default or None,
        text=_one_line(node.findtext("shortdesc")),
        options=options,
        deprecated=node.find("deprecated") is not None,
    )


def _honest(kind: str, default: str | None, options: tuple[str, ...]) -> str:
    """The declared type, unless the agent's own default disproves it: some call a path a boolean."""
    if kind == "integer" and (not default or INTEGER.fullmatch(default)):
        return kind
    if kind == "boolean" and (not default or default.lower() in BOOLEANS):
        return kind
    return "select" if kind == "select" and options else "string"


def _action(node: ET.Element) -> AgentAction:
    depth = node.get("depth", "0").strip()
    return AgentAction(
        name=node.get("name", "").strip(),
        timeout_s=seconds(node.get("timeout", "")),
        interval_s=seconds(node.get("interval", "")),
        depth=int(depth) if depth.isdecimal() and len(depth) < 6 else 0,
        role=_ROLES.get(node.get("role", "").strip().lower(), ""),
    )


_ROLES = {
    "started": "started",
    "master": "promoted",
    "promoted": "promoted",
    "slave": "unpromoted",
    "unpromoted": "unpromoted",
}


def seconds(text: str) -> float | None:
    """``20``, ``20s``, ``500ms``, ``2min``; None for what is no length of time, and for none at all (``0``)."""
    match = _SECONDS.fullmatch(text.strip().lower())
    if match is None or len(match["number"]) > 12:
        return None
    return float(match["number"]) * _UNITS.get(match["unit"] or "s", 1.0) or None


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _paragraphs(text: str | None) -> str:
    return "\n".join(line.strip() for line in (text or "").strip().splitlines())
