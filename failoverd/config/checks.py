"""Ways to ask whether a service answers: ``check`` of any component, ``ready`` of a process."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from failoverd.config.types import Command, Count, Keys, PositiveDuration
from failoverd.domain.model import HealthCheck


class WayKeys(Keys):
    """Exactly one way to ask."""

    tcp: str | None = None
    """A TCP connection to host:port can be made."""

    http: str | None = None
    """A GET of this http:// address is answered with a status from 200 to 399."""

    command: Command | None = None
    """This command ends with exit status 0."""

    @field_validator("tcp")
    @classmethod
    def _has_port(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @field_validator("http")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme != "http" or not parts.hostname or any(char.isspace() for char in value):
                raise ValueError(f"must be an address such as http://127.0.0.1:8080/health, not {value[:60]!r}")
            _ = parts.port  # raises ValueError for one that is no number
        return value

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(way is not None for way in (self.tcp, self.http, self.command)) != 1:
            raise ValueError("needs exactly one of 'tcp', 'http' and 'command'")
        return self


def host_and_port(text: str) -> tuple[str, int]:
    """``host:port`` or ``[address]:port``. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"must be host:port, not {text[:60]!r}")
    return host, int(port)


class CheckKeys(WayKeys):
    """A health check beside the agent's own probe; it must hold for the component to come online, and to stay so."""

    interval: PositiveDuration = 5.0
    """How often it is asked (default 5s)."""

    timeout: PositiveDuration = 3.0
    """How long one answer may take (default 3s)."""

    fall: Count = 3
    """So many failures in a row make the component faulted (default 3)."""

    rise: Count = 1
    """So many successes in a row make it healthy, when it comes online or after an ignored fault (default 1)."""

    def check(self) -> HealthCheck:
        return HealthCheck(
            tcp=self.tcp,
            http=self.http,
            command=tuple(self.command) if isinstance(self.command, list) else self.command,
            interval_s=self.interval,
            timeout_s=self.timeout,
            fall=self.fall,
            rise=self.rise,
        )
