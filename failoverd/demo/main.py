"""``failoverd demo``: sets the stage, has the story told, and leaves nothing behind however it ends."""

import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from failoverd.demo import shop
from failoverd.demo.local import LocalCluster, TrialFailed
from failoverd.demo.show import Show
from failoverd.demo.story import Stage, Story
from failoverd.errors import FailoverdError

DEADLINE_S = 58.0
"""After which the whole demonstration gives up."""
DIRECTORY_MAX = 60
DONE, FAILED, INTERRUPTED = 0, 1, 130
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def main(*, keep: bool = False, as_json: bool = False, fast: bool = False) -> int:
    """Tell the story and leave nothing behind. 0: all of it happened; 1: something did not; 130: interrupted."""
    with one_interrupt():
        root = Path(tempfile.mkdtemp(prefix="failoverd-demo-", dir=short_enough(tempfile.gettempdir())))
        stage = Stage(root=root, cluster=LocalCluster(root=root, name=f"demo-{secrets.token_hex(4)}"))
        story = Story(stage=stage, show=Show(silent=as_json))
        failure = ""
        try:
            try:
                stage.set_up(shop.FAST if fast else 1.0)
                story.tell()
            finally:
                ignore_interrupts()
        except KeyboardInterrupt:
            failure = "interrupted"
        except (TrialFailed, FailoverdError) as error:
            failure = str(error)
        finally:
            stage.clear(keep=keep)
    return report(story, failure, keep=keep, as_json=as_json)


def short_enough(directory: str) -> str:
    """The address of a unix socket has room for 107 bytes (unix(7)), so not any directory will do."""
    return directory if len(directory) <= DIRECTORY_MAX else "/tmp"  # noqa: S108 (mkdtemp makes a private one in it)


def report(story: Story, failure: str, *, keep: bool, as_json: bool) -> int:
    if as_json:
        json.dump(story.document(failure), sys.stdout, indent=2)
        sys.stdout.write("\n")
    if failure:
        print(f"failoverd: demo: {failure}", file=sys.stderr)  # noqa: T201 (a message for people)
    if keep:
        print(f"failoverd: demo: everything is kept in {story.root}", file=sys.stderr)  # noqa: T201 (likewise)
    if failure == "interrupted":
        return INTERRUPTED
    if not failure:
        good = sum(check.ok for check in story.checks)
        story.show.say(f"\n {good} of {len(story.checks)} checks hold; everything is cleaned up")
    return DONE if story.ok and not failure else FAILED


def ignore_interrupts() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def one_interrupt() -> Iterator[None]:
    """The first of the signals that end us raises, all others are ignored, so that cleaning up is never cut short.
    Raises ``TrialFailed`` after ``DEADLINE_S``."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        ignore_interrupts()
        if number == signal.SIGALRM:
            raise TrialFailed(f"it took longer than {DEADLINE_S:g}s")
        raise KeyboardInterrupt

    old = {number: signal.signal(number, interrupt) for number in ENDING}
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in old.items():
            signal.signal(number, handler)
