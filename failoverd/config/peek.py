"""The few settings that the command line needs to reach the daemon, read without pydantic (start-up time)."""

import os
from pathlib import Path

from failoverd.config.fault import ConfigError, Fault, Mark
from failoverd.config.source import read
from failoverd.config.tree import Scalar, is_null

DEFAULT_PATH = Path("/etc/failoverd/failoverd.yaml")
DEFAULT_STATE_DIR = Path("/var/lib/failoverd")
DEFAULT_RUN_DIR = Path("/run/failoverd")
DEFAULT_KEY_FILE = Path("/etc/failoverd/cluster.key")


def run_dir(path: str | os.PathLike[str]) -> Path:
    """Where the daemon of this configuration has its control socket, however wrong the rest may be.

    Raises ``ConfigError`` where the files cannot be read well enough to tell.
    """
    source = read(path)
    value = source.root.get("run_dir")
    if value is None or is_null(value):
        if source.faults:
            raise ConfigError(source.faults)
        return DEFAULT_RUN_DIR
    if not isinstance(value, Scalar) or not isinstance(value.value, str):
        raise ConfigError([Fault.at(value.mark, "'run_dir' must be a string")])
    return beside(value.mark, value.value)


def beside(mark: Mark, path: str) -> Path:
    """A path of the file; a relative one is relative to the file that it stands in."""
    return Path(os.path.abspath(Path(mark.file).parent / path))  # noqa: PTH100 (resolve() would follow symbolic links)
