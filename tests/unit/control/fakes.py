"""A daemon's face without a daemon: a handler that does as it is told behind the real server, in a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from failoverd.control.rundir import listen
from failoverd.control.server import ControlServer, Limits
from failoverd.errors import CoordinatorUnavailable, Refused, UsageError
from failoverd.log.catalogue import Event
from failoverd.ports import Caller, Emit


class RecordingLog:
    def __init__(self) -> None:
        self.events: list[tuple[Event, dict[str, Any]]] = []

    def emit(self, event: Event, **fields: Any) -> None:
        self.events.append((event, fields))

    def named(self, event: Event) -> list[dict[str, Any]]:
        return [fields for kind, fields in self.events if kind is event]


ERRORS: Mapping[str, Exception] = {
    "refuse": Refused("not now"),
    "misuse": UsageError("no such group"),
    "unavailable": CoordinatorUnavailable("no answer from it"),
    "late": TimeoutError("not done in time"),
    "group": ExceptionGroup("several", [Refused("one of them"), ExceptionGroup("inner", [Refused("two")])]),
    "break": ZeroDivisionError("a defect"),
}


class Handler:
    """Commands named for what they do."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.cancelled = 0
        self.begun = 0

    async def handle(self, command: str, params: Mapping[str, Any], caller: Caller, emit: Emit) -> dict[str, Any]:
        self.callers.append(caller)
        self.asked.append((command, dict(params)))
        self.begun += 1
        try:
            return await self._handle(command, params, emit)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _handle(self, command: str, params: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        if command in ERRORS:
            raise ERRORS[command]
        match command:
            case "echo":
                return dict(params)
            case "count":
                for number in range(int(params["to"])):
                    emit({"number": number, "filler": "x" * int(params.get("filler", 0))})
                    if params.get("yielding", True):
                        await anyio.lowlevel.checkpoint()
                return {"counted": params["to"]}
            case "hang":
                emit({"hanging": True})
                await anyio.sleep_forever()
            case "unprintable":
                return {"object": object()}
        raise UsageError(f"unknown command {command!r}")


@asynccontextmanager
async def serving(
    run_dir: Path, handler: Any, log: RecordingLog | None = None, limits: Limits | None = None
) -> AsyncIterator[RecordingLog]:
    log = log or RecordingLog()
    server = ControlServer(listen(run_dir), run_dir, handler, log, limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        yield log
        tasks.cancel_scope.cancel()


@contextmanager
def serving_in_thread(run_dir: Path, handler: Any) -> Iterator[RecordingLog]:
    """For clients that block: the server has a loop of its own in another thread."""
    log = RecordingLog()
    listening = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    complaints: list[str] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].set_exception_handler(lambda _loop, context: complaints.append(str(context)))
        async with serving(run_dir, handler, log):
            listening.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: anyio.run(serve, backend_options={"use_uvloop": True}))
    thread.start()
    if not listening.wait(10):
        raise TimeoutError("the server did not come up")
    try:
        yield log
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)
    if complaints:
        raise AssertionError(f"the event loop complained: {complaints}")
