"""One fence device: a fence agent with its parameters, and how it is called."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from failoverd.config.settings import FenceConfirm, FenceDevice
from failoverd.errors import SpawnFailed
from failoverd.ports import RunRequest, RunResult, Shot, Spawner

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GRACE_S = 1.0
"""Between SIGTERM and SIGKILL of an agent whose time is up."""
SECRET_BYTES_MAX = 4096
HIDDEN = "***"
STATUS_OFF = 2
"""Exit status of ``action=status`` (FenceAgentAPI): 0 is on, 1 could not be asked, 2 is off."""


class SecretUnusable(Exception):  # noqa: N818 (what is the case, for the one caller who asks)
    """A file that holds a secret cannot be used; the text says why, without what is in it."""


class Device:
    def __init__(self, node: str, settings: FenceDevice, spawner: Spawner) -> None:
        self.settings = settings
        self._node = node
        self._spawner = spawner
        self._secrets: dict[str, str] | None = None
        """As read when the node was suspected: what is needed in the moment of the shot need not be looked for."""

    @property
    def agent(self) -> str:
        """As people know it."""
        return Path(self.settings.agent).name

    @property
    def attempt_s(self) -> float:
        """The longest that one attempt takes."""
        calls = 2 if self.settings.confirm is FenceConfirm.STATUS else 1
        return calls * (self.settings.timeout_s + 2 * GRACE_S)

    def prepare(self) -> None:
        """Reads files: not for the event loop."""
        try:
            self._secrets = self._read_secrets()
        except SecretUnusable:
            self._secrets = None  # it is told when it matters

    async def off(self) -> Shot:
        """One attempt. Off is what the agent confirms: by exit status 0 of ``off``, which says that it has verified it
        ("1 if not successful or verification could not be performed", FenceAgentAPI); and where ``confirm: status`` is
        set, by a ``status`` after it that says off. Anything else, a time-out above all, confirms nothing."""
        try:
            done = await self._call("off")
            if done.exit_status != 0 or done.timed_out:
                return self._shot(done, f"off: {done.how}")
            if self.settings.confirm is FenceConfirm.AGENT:
                return self._shot(done, "confirmed by the agent", off=True)
            seen = await self._call("status")
        except (SpawnFailed, SecretUnusable) as error:
            return Shot(off=False, agent=self.agent, detail=str(error))
        if seen.exit_status == STATUS_OFF and not seen.timed_out:
            return self._shot(seen, "its status is off", off=True)
        said = "its status is on" if seen.exit_status == 0 else f"its status is not known: {seen.how}"
        return self._shot(seen, f"off said that it was done, but {said}")

    async def ask(self, action: str) -> RunResult:
        """``status`` or ``monitor``, which change nothing. Raises ``SpawnFailed``, ``SecretUnusable``."""
        return await self._call(action)

    async def _call(self, action: str) -> RunResult:
        secrets = self._secrets if self._secrets is not None else self._read_secrets()
        request = RunRequest(
            argv=(self.settings.agent,),
            env={"PATH": PATH, "LC_ALL": "C"},
            timeout_s=self.settings.timeout_s,
            grace_s=GRACE_S,
            input=given(self._node, self.settings, secrets, action),
            leave_nothing=True,
        )
        result = await self._spawner.run(request)
        return _hidden(result, secrets.values())

    def _read_secrets(self) -> dict[str, str]:
        return {name: read_secret(path) for name, path in self.settings.secret_files.items()}

    def _shot(self, result: RunResult, detail: str, *, off: bool = False) -> Shot:
        return Shot(off=off, agent=self.agent, detail=detail, output="" if off else result.output)


def given(node: str, settings: FenceDevice, secrets: Mapping[str, str], action: str) -> str:
    """What the agent reads."""
    values = {"nodename": node, **{name: text_of(value) for name, value in settings.params.items()}, **secrets}
    return "".join(f"{name}={value}\n" for name, value in (*values.items(), ("action", action)))


def text_of(value: str | int | bool) -> str:
    """As the agents read it: true is 1."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def read_secret(path: Path) -> str:
    """The first and only line of a file. Raises ``SecretUnusable``."""
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretUnusable(f"{path}: {error.strerror or error}") from error
    text = data.decode("utf-8", "replace").rstrip("\r\n")
    if not text or len(data) > SECRET_BYTES_MAX or any(not letter.isprintable() for letter in text):
        raise SecretUnusable(f"{path}: must hold one line of at most {SECRET_BYTES_MAX} bytes, and nothing else")
    return text


def program_of(agent: str) -> str | None:
    """Where the agent is on this machine; None: it is not."""
    return shutil.which(agent, path=PATH)


def _hidden(result: RunResult, secrets: Iterable[str]) -> RunResult:
    """No agent should print what it was given; should one, nobody is to read it in a log."""
    output = result.output
    for secret in secrets:
        output = output.replace(secret, HIDDEN)
    return replace(result, output=output)
