"""``docs/events.md`` from the catalogue: ``python -m failoverd.log.document > docs/events.md``."""

import sys
from itertools import groupby

from failoverd.log.catalogue import CATALOGUE, RESERVED, Event, Level

HEAD = """\
# Log events

Made from `failoverd/log/catalogue.py` by `python -m failoverd.log.document > docs/events.md`; a test holds the two
together.

The daemon writes one event per transition to stderr, and nothing at *info* while nothing changes: JSON lines, coloured
text where stderr is a terminal, native fields where it is the journal (`journalctl FAILOVERD_GROUP=shop`). The newest
are also in memory (`failoverd events`) and in `state_dir/events.jsonl`.

Each has `event`, `ts` (UTC), `level`, `cluster` and `node` (who says so), and as they apply `group`, `component`,
`generation`, `source`, `target`, `action`, `duration_s`, `reason`, `cause` and others. Names and keys are stable: write
alerts against them.

| level | means |
|---|---|
| info | a transition that was wanted |
| warning | one that was not, and that is being dealt with |
| error | something failed and needs a look |
| critical | something needs a person now |
"""


def markdown() -> str:
    parts = [HEAD]
    for area, events in groupby(Event, key=lambda event: event.value.partition(".")[0]):
        parts.append(f"\n## {area}\n\n| event | level | meaning |\n|---|---|---|\n")
        parts += [_row(event) for event in events]
    return "".join(parts)


def _row(event: Event) -> str:
    entry = CATALOGUE[event]
    level = entry.level.value if entry.level is Level.INFO else f"**{entry.level.value}**"
    reserved = f" *(Reserved: {RESERVED[event]}.)*" if event in RESERVED else ""
    return f"| `{event.value}` | {level} | {entry.meaning}{reserved} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
