"""What ``status`` says of the fencing of one node."""

from typing import Any

from failoverd.domain.fence_record import FenceEntry, FenceRecord
from failoverd.domain.view import NodeView


def fencing_document(node: NodeView) -> dict[str, Any]:
    record = node.fence
    return {
        "levels": [", ".join(level.agents) for level in node.fence_levels],
        "state": record.state.value if record else None,
        "attempt": record.attempt if record else 0,
        "by": record.by if record else "",
        "reason": record.reason if record else "",
        "history": [_entry(each) for each in _history(record)],
    }


def _history(record: FenceRecord | None) -> tuple[FenceEntry, ...]:
    return record.history if record else ()


def _entry(entry: FenceEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "by": entry.by,
        "how": entry.how.value,
        "result": entry.result.value,
        "level": entry.level or None,
        "agent": entry.agent,
        "duration_s": entry.duration_s,
        "reason": entry.reason,
        "incarnation": entry.incarnation,
    }
