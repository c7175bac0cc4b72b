"""What every coordinator checks before it asks its store."""

from collections.abc import Sequence

from failoverd.ports import Delete, Expect, Put


def check_commit(expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> None:
    """Raise ``ValueError`` for a transaction without one meaning: a key twice, or empty."""
    for keys in ([expect.key for expect in expects], [write.key for write in writes]):
        if len(set(keys)) != len(keys):
            raise ValueError(f"a key twice in one transaction: {sorted(keys)}")
        if not all(keys):
            raise ValueError("an empty key")
