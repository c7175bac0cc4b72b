"""The keys of an ``ocf`` component: those that every agent has, and under ``params`` those of the agent's meta-data."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    create_model,
    model_serializer,
    model_validator,
)

from failoverd.agents.commands import Variables
from failoverd.agents.ocf.metadata import BOOLEANS, INTEGER, MetaData, Parameter
from failoverd.config.messages import listed
from failoverd.config.types import Keys

_INSTANCE_MAX = 127
PREFIX = "OCF_RESKEY_"


class Values(Keys):
    """The agent's own parameters; everything is text to an agent, and what is not given is its own affair."""

    @model_serializer(mode="plain")
    def given(self) -> dict[str, str]:
        """What is dumped says nothing of the meta-data, which may differ from node to node."""
        values = ((field.alias, getattr(self, name)) for name, field in type(self).model_fields.items())
        return {alias: value for alias, value in values if alias is not None and value is not None}


def _text(value: Any) -> Any:
    """As the agent gets it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


class Unchecked(Values):
    """The parameters of an agent whose meta-data are not at hand."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, value in data.items():
            if not isinstance(value, str | int):
                raise ValueError(f"'{name}' must be a string, a whole number, true or false")  # noqa: TRY004 (pydantic)
        return {name: _without_nul(_text(value)) for name, value in data.items()}

    @model_serializer(mode="plain")
    def given(self) -> dict[str, str]:
        return {name: str(value) for name, value in (self.model_extra or {}).items()}


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def _instance(value: str) -> str:
    if not value or len(value) > _INSTANCE_MAX or not all(char.isascii() and _is_plain(char) for char in value):
        raise ValueError(f"only letters, digits, '_', '.' and '-' are allowed, at most {_INSTANCE_MAX}")
    return value


def _is_plain(char: str) -> bool:
    return char.isalnum() or char in "_.-"


def _no_parameters(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if name.startswith(PREFIX):
            raise ValueError(f"{name[:60]} is a parameter of the agent: give it under 'params'")
    return value


class OcfKeys(Keys):
    """Parameters of a component of a type such as ``ocf:heartbeat:IPaddr2``."""

    params: SerializeAsAny[Values] = Field(default_factory=Unchecked)
    """The agent's own parameters, as its meta-data name them: see ``failoverd agents TYPE``."""

    role: Literal["started", "promoted"] = "started"
    """promoted: it is online when it is started and promoted (default started)."""

    offline_as: Literal["stopped", "unpromoted"] = "stopped"
    """With ``role: promoted``: whether offline stops it, or only demotes it (default stopped)."""

    instance: Annotated[str, AfterValidator(_instance)] | None = None
    """OCF_RESOURCE_INSTANCE, by which agents name their files (default: made of group and component)."""

    check_level: Annotated[int, Field(ge=0, le=100)] = 0
    """OCF_CHECK_LEVEL: how deeply a monitor looks (default 0)."""

    env: Annotated[Variables, AfterValidator(_no_parameters)] = Field(default_factory=dict)
    """Variables that its commands get in addition."""

    @model_validator(mode="after")
    def _offline_as_what(self) -> "OcfKeys":
        if self.offline_as == "unpromoted" and self.role != "promoted":
            raise ValueError("'offline_as: unpromoted' needs 'role: promoted'")
        return self

    @property
    def promoted(self) -> bool:
        return self.role == "promoted"

    @property
    def keeps_unpromoted(self) -> bool:
        """Running, but not promoted, is offline."""
        return self.promoted and self.offline_as == "unpromoted"


class UncheckedKeys(OcfKeys):
    """Parameters of a component of a type such as ``ocf:heartbeat:IPaddr2``."""

    params: Unchecked = Field(default_factory=Unchecked)
    """The agent's own parameters, as its meta-data name them: see ``failoverd agents TYPE``."""


# --- from meta-data -------------------------------------------------------------------------------------------


def _integer(value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else _text(value) if not isinstance(value, bool) else ""
    if not isinstance(text, str) or not INTEGER.fullmatch(text):
        raise ValueError("must be a whole number")
    return text


def _boolean(value: Any) -> Any:
    text = _text(value)
    if not isinstance(text, str) or text.lower() not in BOOLEANS:
        raise ValueError("must be true or false")
    return text


def _one_of(options: tuple[str, ...]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        text = _text(value)
        if text not in options:
            raise ValueError(f"must be {listed(list(options))}")
        return text

    return check


def _annotation(parameter: Parameter) -> Any:
    checks = {"integer": _integer, "boolean": _boolean, "select": _one_of(parameter.options)}
    check = checks.get(parameter.type)
    if check is not None:
        return Annotated[str, BeforeValidator(check), AfterValidator(_without_nul)]
    return Annotated[str, AfterValidator(_without_nul)]


def _field(parameter: Parameter) -> Any:
    if parameter.required:
        return (_annotation(parameter), Field(alias=parameter.name, min_length=1, description=parameter.text))
    return (_annotation(parameter), Field(default=None, alias=parameter.name, description=parameter.text))


def keys_of(meta: MetaData) -> type[OcfKeys]:
    """The model of a component of this agent: its parameters are the only ones."""
    fields = {f"p{number}": _field(parameter) for number, parameter in enumerate(meta.parameters)}
    values: type[Values] = create_model("Params", __base__=Values, __doc__=meta.text, **fields)
    needed = any(parameter.required for parameter in meta.parameters)
    params: Any = (values, ...) if needed else (values, Field(default_factory=values))
    return create_model("Keys", __base__=_keys_base(meta), __doc__=meta.text, params=params)


def _keys_base(meta: MetaData) -> type[OcfKeys]:
    return OcfKeys if meta.promotable else _NeverPromoted


class _NeverPromoted(OcfKeys):
    role: Literal["started"] = "started"
    """This agent has no other role."""


def own(params: BaseModel) -> OcfKeys:
    if not isinstance(params, OcfKeys):
        raise TypeError(f"not the parameters of an ocf component: {type(params).__name__}")
    return params
