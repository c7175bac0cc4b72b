"""Groups: their components, and every reference from one thing to another."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

from failoverd.config.components import Draft, examinations_of, read_component, warn_of
from failoverd.config.document import GroupKeys
from failoverd.config.examination import Examination
from failoverd.config.fault import Mark
from failoverd.config.findings import Findings
from failoverd.config.messages import listed, suggest
from failoverd.config.tree import Entry, Map, Scalar, Seq, Tree, is_null, mappings, strings
from failoverd.domain.graph import find_cycle
from failoverd.domain.model import (
    Group,
    GroupMode,
    NodeSpec,
    OnOfflineFailure,
    PlacementPolicy,
    Requirement,
    Role,
    Where,
)
from failoverd.ports import AgentType

_CYCLES_MAX = 10


@dataclass(frozen=True, slots=True)
class Context:
    """What groups refer to."""

    agent_types: Mapping[str, AgentType]
    node: str | None
    """This node; None where that could not be told."""
    node_names: Collection[str]
    """As written, the malformed ones too, so that a fault in a node makes no second one where it is named."""
    nodes: Mapping[str, NodeSpec]
    self_stop_s: float | None
    fenced: frozenset[str] = frozenset()
    """The nodes that have fence devices."""


@dataclass(slots=True)
class Groups:
    groups: dict[str, Group] = field(default_factory=dict)
    examinations: list[Examination] = field(default_factory=list)
    """Of the components that this node may run."""


def read_groups(tree: Tree | None, context: Context, findings: Findings) -> Groups:
    found = Groups()
    for name, entry in mappings(tree):
        findings.name("group", name, entry.key)
        group_tree = findings.mapping(name, entry.value)
        if group_tree is not None:
            _read_group(name, group_tree, context, findings, found)
    _check_requires(tree, findings)
    _check_common_nodes(tree, found.groups, findings)
    return found


def _read_group(name: str, tree: Map, context: Context, findings: Findings, found: Groups) -> None:
    keys = findings.validate(GroupKeys, tree.without({"components"}), known={"components"}, within=f"group '{name}'")
    drafts = _read_components(name, tree, context.agent_types, findings)
    nodes = _read_nodes(tree, context, findings)
    _check_references(drafts, findings)
    _check_cycles(
        {draft.name: draft.depends_on for draft in drafts.values()}, "components depend on each other", findings
    )
    _check_make_first(drafts, findings)
    for draft in drafts.values():
        warn_of(draft, here=context.node in nodes, self_stop_s=context.self_stop_s, findings=findings)
        if context.node in nodes:
            found.examinations += examinations_of(draft)
        _warn_unfenced(draft, nodes, context.fenced, findings)
    if keys is None:
        return
    _warn_of_group(tree, keys, findings)
    components = {draft.name: draft.component for draft in drafts.values() if draft.component is not None}
    group = Group(
        name=name,
        nodes=nodes,
        components=components,
        mode=keys.mode,
        on_stop=keys.on_stop,
        fault_expiry_s=keys.fault_expiry,
        max_moves=keys.max_moves.count,
        move_window_s=keys.max_moves.window_s,
        failback_after_s=keys.failback.after if keys.failback else None,
        placement=keys.placement,
        load=keys.load,
        requires=tuple(
            Requirement(group=need.group, where=need.where, on_fault=need.on_fault) for need in keys.requires
        ),
    )
    found.groups[name] = replace(group, config_hash=config_hash(_as_declared(group, drafts)))


def _as_declared(group: Group, drafts: Mapping[str, Draft]) -> Group:
    """Without what agents add to it, which depends on what is installed on the node."""
    return replace(
        group,
        components={
            name: replace(component, timeouts=drafts[name].declared or component.timeouts)
            for name, component in group.components.items()
        },
    )


def _warn_unfenced(draft: Draft, nodes: tuple[str, ...], fenced: frozenset[str], findings: Findings) -> None:
    lacking = [name for name in nodes if name not in fenced]
    if draft.component is not None and draft.component.on_offline_failure is OnOfflineFailure.FENCE and lacking:
        mark = draft.tree.value_mark("on_offline_failure")
        findings.warn(mark, f"'on_offline_failure: fence' blocks all the same where 'fencing' lacks {listed(lacking)}")


def config_hash(group: Group) -> str:
    """The same on every node that means the same group: it depends on no order of keys, no file name, no layout."""
    document = {**asdict(group), "config_hash": ""}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _read_components(
    name: str, tree: Map, agent_types: Mapping[str, AgentType], findings: Findings
) -> dict[str, Draft]:
    components = tree.get("components")
    if components is None:
        findings.fault(tree.mark, f"group '{name}' lacks the key 'components'")
        return {}
    if components == Map(components.mark) or is_null(components):
        findings.fault(tree.key_mark("components"), f"group '{name}' has no components")
        return {}
    if findings.mapping("components", components) is None:
        return {}
    drafts = (read_component(key, entry, agent_types, findings) for key, entry in mappings(components))
    return {draft.name: draft for draft in drafts if draft is not None}


def _read_nodes(tree: Map, context: Context, findings: Findings) -> tuple[str, ...]:
    """The group's nodes that exist and can run it."""
    written = tree.get("nodes")
    if written is None:
        return tuple(name for name, spec in context.nodes.items() if spec.role is Role.MEMBER)
    _check_repeated(written, findings)
    found = []
    for name, mark in strings(written).items():
        if name not in context.node_names:
            findings.lacking(mark, f"there is no node '{name[:80]}'{suggest(name, context.node_names)}")
        elif name in context.nodes and context.nodes[name].role is Role.WITNESS:
            findings.fault(mark, f"node '{name}' is a witness: it runs no group")
        else:
            found.append(name)
    return tuple(found)


def _check_repeated(written: Tree | None, findings: Findings) -> None:
    first = strings(written)
    for item in written.items if isinstance(written, Seq) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str) and first[item.value] is not item.mark:
            findings.fault(item.mark, f"'{item.value[:80]}' is listed twice")


def _check_references(drafts: Mapping[str, Draft], findings: Findings) -> None:
    for draft in drafts.values():
        _check_repeated(draft.tree.get("depends_on"), findings)
        for name, mark in draft.depends_on.items():
            if name not in drafts:
                what = f"'{draft.name}' depends on '{name[:80]}', which is no component of the group"
                findings.fault(mark, what + suggest(name, drafts))


def _check_cycles(depends_on: Mapping[str, Mapping[str, Mark]], what: str, findings: Findings) -> None:
    """Report a cycle where its first element names the second, take that edge away, and look for the next."""
    left = {name: dict(marks) for name, marks in depends_on.items()}
    for _ in range(_CYCLES_MAX):
        path = find_cycle(left)
        if path is None:
            return
        mark = left[path[0]].pop(path[1])
        findings.fault(mark, f"{what}: {' -> '.join(path)}")


def _check_make_first(drafts: Mapping[str, Draft], findings: Findings) -> None:
    for draft in drafts.values():
        for name, mark in draft.depends_on.items() if draft.make_first else ():
            if name in drafts and not drafts[name].make_first:
                findings.fault(
                    mark,
                    f"'{draft.name}' is make_first, so it comes online on the target before anything is offline on the "
                    f"source; it cannot depend on '{name}', which is break_first",
                )


def _check_requires(tree: Tree | None, findings: Findings) -> None:
    required = {name: _required(entry) for name, entry in mappings(tree)}
    for marks in required.values():
        for name, mark in marks.items():
            if name not in required:
                findings.lacking(mark, f"there is no group '{name[:80]}'{suggest(name, required)}")
    _check_cycles(required, "groups require each other", findings)


def _check_common_nodes(tree: Tree | None, groups: Mapping[str, Group], findings: Findings) -> None:
    """Where one is to be beside the other, some node must be a node of both."""
    for name, entry in mappings(tree):
        marks = _required(entry)
        for need in groups[name].requires if name in groups else ():
            beside = need.where is Where.SAME_NODE and need.group in groups and need.group in marks
            if beside and not set(groups[name].nodes) & set(groups[need.group].nodes):
                text = f"'{name}' needs '{need.group}' on the same node, and the two have no node in common"
                findings.fault(marks[need.group], text)


def _required(entry: Entry) -> dict[str, Mark]:
    found: dict[str, Mark] = {}
    needs = entry.value.get("requires") if isinstance(entry.value, Map) else None
    for item in needs.items if isinstance(needs, Seq) else ():
        group = item.get("group") if isinstance(item, Map) else None
        if isinstance(group, Scalar) and isinstance(group.value, str):
            found.setdefault(group.value, group.mark)
    return found


def _warn_of_group(tree: Map, keys: GroupKeys, findings: Findings) -> None:
    unheeded = {
        "mode": keys.mode is GroupMode.PARALLEL and "mode: parallel",
    }
    for key, what in unheeded.items():
        if what:
            findings.warn(tree.key_mark(key), f"'{what}' is not yet acted on")
    if keys.failback is not None and keys.placement is not PlacementPolicy.ORDER:
        text = f"'failback' goes back to the first of nodes, whatever 'placement: {keys.placement}' would choose"
        findings.warn(tree.key_mark("failback"), text)
