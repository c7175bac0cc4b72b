"""One group of a status document in detail."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from failoverd.cli.status_view import group_notes, table
from failoverd.cli.words import Document, on_nodes, outcome, plain, style, word


def detail(name: str, group: Document) -> RenderableType:
    parts: list[RenderableType] = [_headline(name, group), *_causes(group), Text(), _components(group)]
    notes = list(group_notes(name, group))
    if notes:
        parts += [Text(), Text("Not plain:", style="bold"), *notes]
    handover = group.get("handover")
    if handover:
        parts += [Text(), _handover(handover)]
    return Group(*parts)


def _headline(name: str, group: Document) -> Text:
    state = str(group.get("state", "unknown"))
    text = Text.assemble("group ", (name, "bold"), ": ", (word(state), style(state)))
    if group.get("owner"):
        text.append(f", owner {group['owner']}")
    others = [holder for holder in group.get("holders", ()) if holder != group.get("owner")]
    if others:
        text.append(f", held by {', '.join(others)} too", style="yellow")
    text.append(f", generation {group.get('generation', '-')}, wanted {word(group.get('wanted'))}")
    return text.append(", frozen", style=style("frozen")) if group.get("frozen") else text


def _causes(group: Document) -> list[Text]:
    said = [word(group["cause"])] if group.get("cause") else []
    if group.get("reason"):
        said.append(plain(group["reason"]))
    found = [Text(f"why: {': '.join(said)}")] if said else []
    return found + [Text(f"needs: {_need(need)}") for need in group.get("requires") or ()]


def _need(need: Document) -> str:
    where = {"same_node": " on the same node", "other_node": " on another node"}.get(str(need.get("where")), "")
    return f"{need.get('group')}{where}" + ("" if need.get("met") else f": {plain(need.get('reason'))}")


def _components(group: Document) -> Table:
    nodes = list(on_nodes(group))
    made = table("component", "type", "needs", *nodes)
    # Names of nodes are names: not to be shouted like headings.
    for column, node in zip(made.columns[3:], nodes, strict=True):
        column.header = Text(node)
    spec = group.get("spec") or {}
    for component, states in group.get("components", {}).items():
        about = spec.get(component) or {}
        made.add_row(
            _component_name(component, about),
            Text(plain(about.get("type"))),
            Text(", ".join(about.get("depends_on") or ()) or "-"),
            *(_state(states.get(node)) for node in nodes),
        )
    return made


def _component_name(component: str, about: Document) -> Text:
    text = Text(component, style="bold")
    return text if about.get("critical", True) else text.append(" (not critical)", style="not bold dim")


def _state(state: Any) -> Text:
    if not state:
        return Text("-", style="dim")
    name = str(state.get("state", "unknown"))
    text = Text(word(name), style=style(name))
    since = state.get("since")
    if isinstance(since, str) and len(since) >= 19:  # RFC 3339: what matters to a reader is the time of day
        text.append(f" since {since[11:19]}", style="not bold dim")
    return text


def _handover(handover: Document) -> Text:
    state = str(handover.get("state", "unknown"))
    text = Text.assemble(
        "handover under way: " if state == "running" else "latest handover: ", (word(state), style(state))
    )
    text.append(f", {outcome(handover)}")
    if handover.get("reason"):
        text.append(f": {plain(handover['reason'])}")
    return text
