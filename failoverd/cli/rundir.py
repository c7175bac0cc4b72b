"""Where the daemon's run_dir is, found out as cheaply as it can be: a whole configuration takes long to read."""

import os
import re
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/failoverd/failoverd.yaml")
DEFAULT_RUN_DIR = Path("/run/failoverd")
_PLAIN = re.compile(
    rb"^run_dir:[ \t]+(?:\"([^\"\\\r\n]*)\"|'([^'\r\n]*)'|([A-Za-z0-9/._][^\s#'\"]*))[ \t]*(?:#.*)?\r?$", re.MULTILINE
)
_ELSEWHERE = re.compile(rb"run_dir|^include\b|^[\"']?include[\"']?[ \t]*:", re.MULTILINE)
_READ_MAX = 4 << 20


def find(run_dir: Path | None, config: Path) -> Path:
    """``run_dir`` where it is given, else what the configuration says, else the default.

    Raises ``ConfigError`` where a configuration cannot be read that may say something else.
    """
    if run_dir is not None:
        return run_dir
    try:
        with config.open("rb") as file:
            text = file.read(_READ_MAX)
    except FileNotFoundError:
        if config == DEFAULT_CONFIG:
            return DEFAULT_RUN_DIR
        text = b"run_dir"
    except OSError:
        text = b"run_dir"
    found = _PLAIN.findall(text)
    if len(found) == 1:
        name = os.fsdecode(b"".join(found[0]))
        # A relative path is relative to the file that it stands in, symbolic links left alone.
        return config.parent.absolute() / name
    if not _ELSEWHERE.search(text):
        return DEFAULT_RUN_DIR
    return _by_reading(config)


def _by_reading(config: Path) -> Path:
    """The long way, for whatever is not written in the plain form."""
    from failoverd.config import peek  # noqa: PLC0415 (imports PyYAML, which most calls can do without)

    return peek.run_dir(config)
