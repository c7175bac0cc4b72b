"""Carrying out last wills, as far as it is arithmetic: which are begun, tried again, given up; and what came of them.

All at once, each within what is left of the time. A command that fails is tried again while there is time; one that
runs out of time is killed. Marks are looked after together by the sweep (``sweep``), which says what is left of them.
"""

from failoverd.guard.protocol import Key, Message

RETRY_S = 0.1
GOOD = (0, 7)
"""Exit statuses of a command that took its component down, or found it down (OCF: 7 is not running)."""


class Shot:
    """One will that is carried out by a process of its own (all but marks), and its attempts."""

    __slots__ = ("attempts", "deadline", "detail", "key", "ok", "pending", "retry_at", "will")

    def __init__(self, key: Key, will: Message) -> None:
        self.key, self.will = key, will
        self.ok = self.pending = False
        self.attempts = 0
        self.deadline = self.retry_at = 0.0
        self.detail = "not begun"


class Volley:
    def __init__(self, wills: dict[Key, Message], until: float) -> None:
        self.until = until
        self.shots = [Shot(key, will) for key, will in wills.items() if will["kind"] not in ("mark", "none")]
        self.marks = {key: will for key, will in wills.items() if will["kind"] == "mark"}
        self.unswept = dict.fromkeys(self.marks, "not looked for yet")
        """Of ``marks``, what is not known to be gone, and why."""
        self.helpless = [key for key, will in wills.items() if will["kind"] == "none"]

    def to_begin(self, now: float) -> list[Shot]:
        if now >= self.until:
            return []
        return [shot for shot in self.shots if not shot.ok and not shot.pending and shot.retry_at <= now]

    def begun(self, shot: Shot, now: float) -> None:
        shot.pending = True
        shot.attempts += 1
        shot.detail = "not finished"
        shot.deadline = min(now + float(shot.will["timeout_s"]), self.until)

    def overdue(self, now: float) -> list[Shot]:
        """What is to be killed now."""
        return [shot for shot in self.shots if shot.pending and shot.deadline <= now]

    def ended(self, shot: Shot, how: int | str, now: float) -> None:
        """``how``: its exit status, or what else became of it."""
        shot.pending = False
        shot.ok = how in GOOD
        shot.detail = f"exit status {how}" if isinstance(how, int) else how
        shot.retry_at = now + RETRY_S

    def swept(self, left: dict[Key, str]) -> None:
        """A sweep went through: of the marks, these were still there."""
        self.unswept = left

    def over(self, now: float) -> bool:
        return now >= self.until or not (self.unswept or any(not shot.ok for shot in self.shots))

    def alarm(self) -> float:
        """When to look again though nothing has happened."""
        times = [shot.deadline if shot.pending else shot.retry_at for shot in self.shots if not shot.ok]
        return min([self.until, *times])

    def results(self) -> list[Message]:
        """One for each will: what is not ``ok`` may still be online."""
        commands = [(shot.key, shot.will["kind"], shot.ok, shot.detail) for shot in self.shots]
        marks = [(key, "mark", key not in self.unswept, self.unswept.get(key, "")) for key in self.marks]
        helpless = [(key, "none", False, "its agent leaves no last will") for key in self.helpless]
        return [
            {"group": key[0], "component": key[1], "kind": kind, "ok": ok, "detail": detail}
            for key, kind, ok, detail in [*commands, *marks, *helpless]
        ]
