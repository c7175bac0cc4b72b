"""The ``mount`` type's entry in the table of component types."""

import os
import shutil
from typing import ClassVar

from anyio import CapacityLimiter
from pydantic import BaseModel

from failoverd.agents.mount import programs
from failoverd.agents.mount.agent import MountAgent
from failoverd.agents.mount.params import MountParams
from failoverd.kernel.mounts import device_path, number_of
from failoverd.ports import Agent, AgentHost

_THREADS = 4
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
Warnings = tuple[tuple[tuple[str | int, ...], str], ...]


class MountType:
    """``ports.AgentType``. All its agents share a few threads."""

    name = "mount"
    params: ClassVar[type[BaseModel]] = MountParams

    def __init__(self) -> None:
        self._threads = CapacityLimiter(_THREADS)

    def prepares(self, params: BaseModel) -> bool:
        del params
        return False

    def warnings(self, params: BaseModel) -> Warnings:
        """What can be told without touching a file system that may be dead."""
        own = _own(params)
        found: list[tuple[tuple[str | int, ...], str]] = []
        device = device_path(own.source)
        if own.kind == "block" and number_of(device) is None:
            found.append((("device",), f"{own.device} is no block device on this machine now"))
        checker = programs.check(own, device)
        if checker is not None and shutil.which(checker[0], path=_PATH) is None:
            found.append((("fsck",), f"{checker[0]} is not installed: install it, or say 'fsck: never'"))
        helper = f"mount.{own.fstype}"
        if own.fstype in ("nfs", "nfs4", "cifs", "glusterfs") and shutil.which(helper, path=_PATH) is None:
            found.append((("fstype",), f"{helper} is not installed, and {own.fstype} cannot be mounted without it"))
        if os.geteuid() != 0:
            found.append((("directory",), "mounts need root"))
        return tuple(found)

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        return MountAgent(_own(params), host, self._threads)


def _own(params: BaseModel) -> MountParams:
    if not isinstance(params, MountParams):
        raise TypeError(f"not the parameters of a mount component: {type(params).__name__}")
    return params
