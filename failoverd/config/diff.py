"""What a reload changes: pure, from two configurations to what has to be done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from failoverd.config.settings import Config
from failoverd.domain.model import Group, NodeSpec

_RESTART = ("cluster", "node", "key_file", "state_dir", "run_dir", "coordinator", "heartbeat", "lease")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDiff:
    """A group that both configurations have. Components that are in none of these are untouched."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """The group's own keys that differ, by the names of the domain (``nodes``, ``max_moves``…)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDiff:
    added: tuple[str, ...] = ()
    """Groups that only the new configuration has."""
    removed: tuple[str, ...] = ()
    changed: Mapping[str, GroupDiff] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    """Settings that differ and can be applied at run time (``max_parallel``, ``capacity``, ``fencing``)."""
    needs_restart: tuple[str, ...] = ()
    """Settings that differ and cannot: the daemon goes on with the old ones until it is restarted."""

    @property
    def empty(self) -> bool:
        return not (self.added or self.removed or self.changed or self.settings or self.needs_restart)


def diff(old: Config, new: Config) -> ConfigDiff:
    """Names are in the order of the configuration that has them, the new one where both do."""
    both = [name for name in new.groups if name in old.groups]
    compared = {name: _group_diff(old, new, name) for name in both}
    restart = [key for key in _RESTART if getattr(old, key) != getattr(new, key)]
    if _identities(old) != _identities(new):
        restart.insert(len([key for key in restart if key in ("cluster", "node")]), "nodes")
    settings = []
    if _limits(old) != _limits(new):
        settings.append("max_parallel")
    if _capacities(old) != _capacities(new):
        settings.append("capacity")
    if old.fencing != new.fencing:
        settings.append("fencing")
    return ConfigDiff(
        added=tuple(name for name in new.groups if name not in old.groups),
        removed=tuple(name for name in old.groups if name not in new.groups),
        changed={name: found for name, found in compared.items() if found != GroupDiff()},
        settings=tuple(settings),
        needs_restart=tuple(restart),
    )


def _identities(config: Config) -> dict[str, NodeSpec]:
    return {name: replace(spec, max_parallel=None, capacity=None) for name, spec in config.nodes.items()}


def _limits(config: Config) -> dict[str, int | None]:
    return {name: spec.max_parallel for name, spec in config.nodes.items()}


def _capacities(config: Config) -> dict[str, float | None]:
    return {name: spec.capacity for name, spec in config.nodes.items()}


def _group_diff(old: Config, new: Config, name: str) -> GroupDiff:
    before, after = old.groups[name].components, new.groups[name].components
    return GroupDiff(
        added=tuple(component for component in after if component not in before),
        removed=tuple(component for component in before if component not in after),
        changed=tuple(
            component for component in after if component in before and after[component] != before[component]
        ),
        settings=_differing(old.groups[name], new.groups[name]),
    )


def _differing(old: Group, new: Group) -> tuple[str, ...]:
    names = [each.name for each in fields(new) if each.name not in ("components", "config_hash")]
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))
