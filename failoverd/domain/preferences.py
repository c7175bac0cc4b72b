"""Since when the nodes that a group prefers to its owner could have taken it: what ``failback: {after}`` counts."""

from dataclasses import dataclass, field, replace

from failoverd.domain.eligibility import refusal
from failoverd.domain.placement import Wanted
from failoverd.domain.view import GroupView, View


@dataclass(slots=True)
class Preferences:
    """A memory of times (bounded by groups and nodes); to be shown every view that is built."""

    since: dict[tuple[str, str], float] = field(default_factory=dict)
    """By group and node. Whatever makes the node not eligible, if only for a moment that is seen, begins it anew."""

    def noted(self, view: View) -> View:
        """The view with ``GroupView.well_since`` filled in."""
        waiting = {name: group for name, group in view.groups.items() if group.group.failback_after_s is not None}
        found = {name: self._well_since(view, group) for name, group in waiting.items()}
        self.since = {(name, node): at for name, well in found.items() for node, at in well.items()}
        if not any(found.values()):
            return view
        return replace(
            view,
            groups={
                name: replace(group, well_since=found[name]) if found.get(name) else group
                for name, group in view.groups.items()
            },
        )

    def _well_since(self, view: View, group: GroupView) -> dict[str, float]:
        placement, name = group.placement, group.group.name
        if placement is None or placement.owner != view.me or placement.wanted is Wanted.OFFLINE:
            return {}
        nodes = group.group.nodes
        preferred = nodes[: nodes.index(view.me)] if view.me in nodes else ()
        return {
            node: self.since.get((name, node), view.now) for node in preferred if refusal(view, group, node) is None
        }
