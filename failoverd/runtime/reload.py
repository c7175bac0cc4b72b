"""SIGHUP and ``failoverd reload``: read everything anew; apply the difference, or refuse it as a whole."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from failoverd.config.diff import ConfigDiff, diff
from failoverd.config.fault import ConfigError
from failoverd.config.reader import load
from failoverd.config.settings import Config, FenceLevels
from failoverd.domain.placement import Wanted
from failoverd.errors import Refused
from failoverd.log.catalogue import Event
from failoverd.ports import AgentType
from failoverd.runtime.node import Node


class Reloader:
    """Holds the configuration in force."""

    def __init__(
        self,
        path: Path,
        config: Config,
        types: Mapping[str, AgentType],
        node: Node,
        announce: Callable[[bool], None],
        *,
        refence: Callable[[Mapping[str, FenceLevels]], None],
    ) -> None:
        """``announce(True)`` when a reload begins, ``announce(False)`` when it is over (sd_notify). ``refence`` is told
        the fence devices of a new configuration."""
        self._path = path
        self.config = config
        self._types = types
        self._node = node
        self._announce = announce
        self._refence = refence
        self._one_at_a_time = anyio.Lock()

    async def reload(self) -> dict[str, Any]:
        """Returns what changed. Raises ``Refused``: then everything is as it was."""
        async with self._one_at_a_time:
            self._announce(True)
            try:
                return await self._reload()
            except Refused as error:
                self._node.log.emit(Event.DAEMON_RELOAD_REFUSED, reason=str(error))
                raise
            finally:
                self._announce(False)

    async def _reload(self) -> dict[str, Any]:
        try:
            new = await anyio.to_thread.run_sync(lambda: load(self._path, self._types, node=self.config.node))
        except ConfigError as error:
            raise Refused(str(error)) from error
        change = diff(self.config, new)
        self._refuse_dangerous(change)
        self._apply(new, change)
        self.config = new
        document = _document(change)
        self._node.log.emit(Event.DAEMON_RELOADED, **{k: v for k, v in document.items() if k != "version"})
        for warning in new.warnings:
            self._node.log.emit(Event.CONFIG_WARNING, reason=str(warning))
        return document

    def _refuse_dangerous(self, change: ConfigDiff) -> None:
        if change.needs_restart:
            raise Refused(f"cannot be changed while running, restart failoverd: {', '.join(change.needs_restart)}")
        for name in change.removed:
            board = self._node.groups[name].board
            placement = board.placement
            if board.present_count or (placement is not None and placement.wanted is Wanted.ONLINE):
                raise Refused(
                    f"group {name} is online and would be forgotten; first: failoverd offline {name}, "
                    "then remove it from the configuration"
                )

    def _apply(self, new: Config, change: ConfigDiff) -> None:
        for name in change.removed:
            self._node.remove_group(name)
        for name in change.added:
            self._node.add_group(new.groups[name])
        for name in change.changed:
            self._node.groups[name].reconfigure(new.groups[name])
        self._node.bonds.rebuild()
        self._node.reconfigure_nodes(new.nodes)
        if new.fencing != self.config.fencing:
            self._refence(new.fencing)
        self._node.wake_everything()


def _document(change: ConfigDiff) -> dict[str, Any]:
    return {
        "version": 1,
        "groups_added": list(change.added),
        "groups_removed": list(change.removed),
        "components_added": _each(change, "added"),
        "components_removed": _each(change, "removed"),
        "components_changed": _each(change, "changed"),
        "settings": [*change.settings, *_each(change, "settings")],
    }


def _each(change: ConfigDiff, what: str) -> list[str]:
    return [f"{group}/{name}" for group, found in change.changed.items() for name in getattr(found, what)]
