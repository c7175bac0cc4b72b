"""The fence history of a status document: who shot whom, when, with what, and what came of it."""

from rich.text import Text

from failoverd.cli.words import Document, plain, seconds, style, word

SHOWN_MAX = 5
"""Of each node, the latest ones; ``--json`` has them all."""
_RESULT_STYLES = {"off": "green"}


def shots(document: Document) -> list[tuple[Text, ...]]:
    """The rows of a table; none where nobody was ever shot at."""
    rows: list[tuple[Text, ...]] = []
    for name, node in document.get("nodes", {}).items():
        fencing = node.get("fencing") or {}
        if fencing.get("state") == "shooting":
            rows.append(_row(name, {**fencing, "result": "shooting"}))
        rows += [_row(name, entry) for entry in (fencing.get("history") or ())[:SHOWN_MAX]]
    return rows


def _row(name: str, entry: Document) -> tuple[Text, ...]:
    result = str(entry.get("result", "unknown"))
    took = "-" if entry.get("how") == "operator" else seconds(entry.get("duration_s"))
    return (
        Text(name, style="bold"),
        Text(plain(entry.get("at") or "-")[:19].replace("T", " ")),
        Text(plain(entry.get("by") or "-")),
        Text(_with(entry)),
        Text(took),
        Text(word(result), style=_RESULT_STYLES.get(result, style(result))),
        Text(plain(entry.get("reason") or "")),
    )


def _with(entry: Document) -> str:
    if entry.get("how") == "operator":
        return "an operator's word"
    agent, level = plain(entry.get("agent") or "-"), entry.get("level")
    return f"{agent} (level {level})" if level else agent
