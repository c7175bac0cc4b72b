"""What systemd is told about a unit that failoverd manages, in /run: gone at the next boot.

- ``Before=failoverd.service``: what is ordered before is stopped after. So a host that shuts down stops failoverd
  first, which hands its groups over, and does not pull units away from under it.
- ``Restart=no``: a unit that fails is failoverd's business; it may belong on another node by the time that systemd
  would start it again.
"""

import contextlib
import os
from pathlib import Path

RUN = Path("/run/systemd/system")
NAME = "50-failoverd.conf"


def content(unit: str, own_unit: str) -> str:
    lines = [
        "# Written by failoverd, which manages this unit. It lasts until the next boot; to be rid of it earlier:",
        f"# rm {RUN}/{unit}.d/{NAME}; systemctl daemon-reload",
        "[Unit]",
        f"Before={own_unit}",
    ]
    if unit.endswith(".service"):
        lines += ["[Service]", "Restart=no"]
    return "\n".join(lines) + "\n"


def write(unit: str, text: str, directory: Path = RUN) -> bool:
    """Whether it was not there, or otherwise: then systemd must be told to look. Raises OSError."""
    path = directory / f"{unit}.d" / NAME
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return True
