"""The parameters of a ``systemd`` component."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from failoverd.config.types import Keys

_NAME = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?")
_SUFFIXES = ("service", "socket", "timer", "path", "target", "mount", "automount", "swap")
_NAME_MAX = 255
OWN_UNIT = "failoverd.service"


def _unit(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be the name of a unit, as nginx.service")  # noqa: TRY004 (pydantic)
    stem, dot, suffix = value.rpartition(".")
    if not dot or suffix not in _SUFFIXES:
        raise ValueError(f"needs the kind of unit at its end ({value[:60]}.service?), one of {', '.join(_SUFFIXES)}")
    if not _NAME.fullmatch(stem) or len(value) > _NAME_MAX:
        raise ValueError(f"{value[:60]!r} is no name of a unit (an instance is given as name@instance.service)")
    if value == OWN_UNIT:
        raise ValueError("failoverd cannot manage itself")
    return value


class SystemdParams(Keys):
    """Parameters of a component of type ``systemd``: a unit of the service manager, over D-Bus."""

    unit: Annotated[str, BeforeValidator(_unit)]
    """The unit, as nginx.service or app@shop.service. It must not be enabled: failoverd starts it."""
