"""A plan from the configuration alone, for when there is no daemon to ask."""

from typing import Any

from failoverd.config.settings import Config
from failoverd.domain.model import limits_of
from failoverd.errors import Refused, UsageError
from failoverd.runtime.learned import LearnedStore
from failoverd.runtime.planning import document


def plan_document_from_config(
    config: Config, group: str, source: str | None, target: str | None, down: str | None
) -> dict[str, Any]:
    """The group is taken to be whole on its first node (or on ``source``). Raises ``UsageError`` or ``Refused``."""
    if group not in config.groups:
        raise UsageError(f"there is no group {group!r} (groups: {', '.join(config.groups) or 'none'})")
    found = config.groups[group]
    source = source or down or next(node for node in found.nodes if node != target)
    target = target or next((node for node in found.nodes if node not in {source, down}), None)
    if target is None:
        raise Refused(f"{group} has no other node to go to (its nodes: {', '.join(found.nodes)})")
    learned = LearnedStore(config.state_dir).read()
    return document(found, source=source, target=target, dead=down, limits=limits_of(config.nodes), learned=learned)
