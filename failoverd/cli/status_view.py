"""A status document as tables: nodes, groups, and why anything is not plain."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from failoverd.cli.etcd_view import etcd_line, etcd_notes
from failoverd.cli.fence_view import shots
from failoverd.cli.words import PLAIN_COMPONENT_STATES, Document, counted, on_nodes, plain, seconds, style, word


def overview(document: Document) -> RenderableType:
    """The whole cluster on one screen."""
    etcd = document.get("etcd")
    head = [_headline(document)] if etcd is None else [_headline(document), etcd_line(etcd)]
    parts: list[RenderableType] = [*head, Text(), _nodes(document), Text(), _groups(document)]
    if fenced := shots(document):
        made = table("fenced", "when", "by", "with", "took", "result", "why")
        for row in fenced:
            made.add_row(*row)
        parts += [Text(), made]
    notes = list(_notes(document))
    if notes:
        parts += [Text(), Text("Not plain:", style="bold"), *notes]
    return Group(*parts)


def table(*columns: str) -> Table:
    """The common look: no lines, headings dim, cells wrap by words."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column.upper(), overflow="fold")
    return made


def _headline(document: Document) -> Text:
    coordinator = document.get("coordinator") or {}
    state = str(coordinator.get("state", "unknown"))
    return Text.assemble(
        "cluster ",
        (str(document.get("cluster", "?")), "bold"),
        ", seen by ",
        (str(document.get("node", "?")), "bold"),
        f", coordinator {coordinator.get('type', '?')} ",
        (word(state), style(state)),
    )


def _nodes(document: Document) -> Table:
    made = table("node", "state", "lease", "links", "why")
    for name, node in document.get("nodes", {}).items():
        made.add_row(
            _node_name(name, node), _node_state(node), _lease(node), _links(node), Text(plain(node.get("reason") or ""))
        )
    return made


def _node_name(name: str, node: Document) -> Text:
    text = Text(name, style="bold")
    remarks = ["here"] if node.get("self") else []
    if node.get("role", "member") != "member":
        remarks.append(str(node["role"]))
    return text.append(f" ({', '.join(remarks)})", style="not bold dim") if remarks else text


def _node_state(node: Document) -> Text:
    state = str(node.get("state", "unknown"))
    text = Text(word(state), style=style(state))
    if state == "up" and node.get("ready") is False:
        text.append(", not ready", style="yellow")
    if node.get("coordinator") == "lost":
        text.append(", lost the coordinator", style=style("lost"))
    return text


def _lease(node: Document) -> Text:
    lease = node.get("lease") or {}
    state = str(lease.get("state") or "-")
    remaining = lease.get("remaining_s", node.get("lease_s"))
    if state == "live" and isinstance(remaining, (int, float)):
        if remaining <= 0:
            return Text(f"overdue by {seconds(-remaining)}", style=style("down"))
        return Text(seconds(remaining), style=style(state))
    return Text(word(state), style=style(state))


def _links(node: Document) -> Text:
    lines = [_link(address, link) for address, link in (node.get("links") or {}).items()]
    return Text("\n").join(lines) if lines else Text("-", style="dim")


def _link(address: str, link: Document) -> Text:
    state = str(link.get("state", "unknown"))
    text = Text.assemble(f"{address} ", (word(state), style(state)))
    heard = link.get("heard_s")
    if state != "up":
        text.append(f", heard {seconds(heard)} ago" if heard is not None else ", never heard", style="dim")
    return text


def _groups(document: Document) -> Table:
    made = table("group", "state", "owner", "gen", "components", "why")
    for name, group in document.get("groups", {}).items():
        state = str(group.get("state", "unknown"))
        made.add_row(
            Text(name, style="bold"),
            Text(word(state), style=style(state)),
            _owner(group),
            str(group.get("generation", "-")),
            _components(group),
            Text(plain(group.get("reason") or "")),
        )
    if not made.row_count:
        made.add_row(Text("none configured", style="dim"))
    return made


def _owner(group: Document) -> Text:
    owner = group.get("owner")
    text = Text(plain(owner))
    others = [holder for holder in group.get("holders", ()) if holder != owner]
    if others:
        text.append(f"\nheld by {', '.join(others)}", style="yellow")
    return text


def _components(group: Document) -> Text:
    """One line per node: ``a: 7 online``."""
    lines = []
    for node, components in on_nodes(group).items():
        line = Text(f"{node}: ", style="dim")
        states = counted(str(state.get("state", "unknown")) for state in components.values())
        pieces = [Text(f"{count} {word(state)}", style=f"not dim {style(state)}") for count, state in states]
        lines.append(line.append(Text(", ").join(pieces) if pieces else Text("-")))
    return Text("\n").join(lines)


def _notes(document: Document) -> Iterator[Text]:
    for fault in document.get("faults_of_config") or ():
        yield _note("configuration", str(fault))
    for subject, text in etcd_notes(document.get("etcd") or {"state": "running"}):
        yield _note(subject, text)
    for name, group in document.get("groups", {}).items():
        yield from group_notes(name, group)


def group_notes(name: str, group: Document) -> Iterator[Text]:
    """Every component that is not simply online or offline, and every node that the group may not move to."""
    for component, nodes in group.get("components", {}).items():
        for node, state in nodes.items():
            word_of_state = str(state.get("state", "unknown"))
            if word_of_state not in PLAIN_COMPONENT_STATES or state.get("reason"):
                reason = state.get("reason") or ""
                yield _note(f"{name}/{component} on {node}", ": ".join(filter(None, [word(word_of_state), reason])))
    for node, reason in (group.get("refusals") or {}).items():
        yield _note(name, f"cannot go to {node}: {reason}")


def _note(subject: str, text: str) -> Text:
    return Text.assemble("  ", (subject, "bold"), " ", plain(text))
