"""What is wrong in a configuration, and where."""

from collections.abc import Iterable
from dataclasses import dataclass

from failoverd.errors import FailoverdError


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Also used for warnings, which differ only in that the daemon starts nevertheless."""

    file: str
    line: int
    column: int
    message: str

    @classmethod
    def at(cls, mark: Mark, message: str) -> "Fault":
        return cls(mark.file, mark.line, mark.column, message)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(FailoverdError):
    """The configuration cannot be used. Nothing was changed; ``faults`` holds every fault of every file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))
