"""The etcd members that failoverd runs, on one line, and what is not plain about them."""

from collections.abc import Iterator

from rich.text import Text

from failoverd.cli.words import Document, plain, size, style, word

PLAIN_STATES = frozenset({"leader", "follower"})
PLAIN_CONDITIONS = frozenset({"running", "not_voting"})


def etcd_line(etcd: Document) -> Text:
    members = etcd.get("members") or {}
    line = Text("etcd ")
    for number, (name, member) in enumerate(members.items()):
        state = str(member.get("state", "unknown"))
        line.append(", " if number else "").append(plain(name), style="bold")
        line.append(" ").append(word(state), style=style(state))
    known = [member for member in members.values() if member.get("version")]
    if known:
        versions = ", ".join(dict.fromkeys(plain(member["version"]) for member in known))
        largest = max(int(member.get("db_bytes") or 0) for member in known)
        term = max(int(member.get("term") or 0) for member in known)
        line.append(f"; version {versions}, {size(largest)}, term {term}", style="dim")
    return line


def etcd_notes(etcd: Document) -> Iterator[tuple[str, str]]:
    """(subject, text) of everything that is not plain."""
    condition = str(etcd.get("state", "unknown"))
    if condition not in PLAIN_CONDITIONS:
        yield "etcd here", ": ".join(filter(None, [word(condition), etcd.get("reason") or ""]))
    for name, member in (etcd.get("members") or {}).items():
        state = str(member.get("state", "unknown"))
        if state not in PLAIN_STATES or member.get("reason"):
            yield f"etcd on {name}", ": ".join(filter(None, [word(state), member.get("reason") or ""]))
