"""What a guard holds, and when it fires: pure, ``now`` comes in as a number (seconds of CLOCK_BOOTTIME).

The one rule: it fires when its time has come and it holds a will. A will is held from before its component's online
begins until its component is known to be absent; so a guard that holds none has nothing to take down, and leaves the
daemon alone however late a renewal is.
"""

from failoverd.guard.protocol import VERSION, Key, Message


class Watch:
    def __init__(self) -> None:
        self.wills: dict[Key, Message] = {}
        self.fires_at: float | None = None
        """None: no lease has been held yet."""
        self.ends: float | None = None
        """When everything must be down."""

    def lapsed(self, now: float) -> bool:
        return self.fires_at is not None and now >= self.fires_at

    def due(self, now: float) -> bool:
        return bool(self.wills) and self.lapsed(now)

    @property
    def alarm(self) -> float | None:
        """When to look again though nothing is heard."""
        return self.fires_at if self.wills else None

    @property
    def share_s(self) -> float:
        """The guard's part of self-stop: the time that the wills have."""
        return 0.0 if self.fires_at is None or self.ends is None else max(0.0, self.ends - self.fires_at)

    def until(self, now: float) -> float:
        """How long wills may take that are begun now: to the end of the lease, but where that is (nearly) over
        already (the machine was suspended), as long as they would have had: late is better than never."""
        return now + self.share_s if self.ends is None else max(self.ends, now + self.share_s)

    def handle(self, message: Message, now: float) -> str | None:
        """One request of the daemon; why it is refused, or None. Raises LookupError, ValueError, TypeError for what is
        no request."""
        what = message["do"]
        if what == "arm":
            return self._arm(key_from(message), message["will"], now)
        if what == "hold":
            self.wills[key_from(message)] = _will(message["will"])
        elif what == "disarm":
            self.wills.pop(key_from(message), None)
        elif what == "extend":
            self.extend(float(message["fires_at"]), float(message["ends"]))
        else:
            return f"unknown request {what!r}"
        return None

    def _arm(self, key: Key, will: Message, now: float) -> str | None:
        """Before an online begins. Without a lease none may, and then nothing is kept: a will kept would be carried
        out at once."""
        if self.lapsed(now):
            return "the lease could not be renewed in time"
        self.wills[key] = _will(will)
        return None

    def extend(self, fires_at: float, ends: float) -> None:
        self.fires_at, self.ends = fires_at, ends

    # --- succession -----------------------------------------------------------------------------------------------

    def bequest(self) -> list[Message]:
        """What a successor needs, in messages small enough each."""
        wills: list[Message] = [{"key": list(key), "will": will} for key, will in self.wills.items()]
        return [*wills, {"all": len(wills), "version": VERSION, "fires_at": self.fires_at, "ends": self.ends}]

    def inherit(self, messages: list[Message]) -> None:
        """What a predecessor bequeathed, whole; of another version's the deadline alone: the daemon hands every will
        over anew as soon as it has found what is online."""
        *wills, last = messages
        if last["version"] == VERSION:
            self.wills = {key_from(one): _will(one["will"]) for one in wills}
        if last["fires_at"] is not None:
            self.extend(float(last["fires_at"]), float(last["ends"]))


def key_from(message: Message) -> Key:
    group, component = message["key"]
    return str(group), str(component)


def _will(will: Message) -> Message:
    if will["kind"] not in {"command", "address", "mount", "mark", "none"}:
        raise ValueError(f"unknown kind of will {will['kind']!r}")
    return will
