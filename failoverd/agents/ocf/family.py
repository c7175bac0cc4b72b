"""The ``ocf`` types' entry in the table of component types: one type for each agent, made when it is asked for."""

import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from failoverd.agents.ocf import finder
from failoverd.agents.ocf.agent import OcfAgent
from failoverd.agents.ocf.codes import Code, ended, told
from failoverd.agents.ocf.environment import Subject, action_environment, instance_of, ocf_environment
from failoverd.agents.ocf.finder import Name
from failoverd.agents.ocf.metadata import BadMetaData, MetaData
from failoverd.agents.ocf.params import OcfKeys, UncheckedKeys, keys_of, own
from failoverd.agents.ocf.reading import Reader, cache_directory, run_bounded
from failoverd.config.messages import suggest
from failoverd.domain.model import Action
from failoverd.ports import Agent, AgentHost, AgentType, Call, ParameterText, RunResult

_EXAMINE_S = 20.0
"""At most, whatever the meta-data say."""
_START_S = 60.0
"""Where the meta-data say nothing of an action that another is added to."""


class OcfFamily:
    """``ports.AgentFamily``."""

    prefix = finder.PREFIX

    def __init__(self, root: Path | None = None, reader: Reader | None = None) -> None:
        self._root = root or finder.root_of()
        self._reader = reader or Reader(self._root, cache_directory())
        self._made: dict[Name, OcfType] = {}
        self._lock = threading.Lock()

    @property
    def any(self) -> AgentType:
        return OcfType(Name("PROVIDER", "AGENT"), self._root, None, "")

    def names(self) -> tuple[str, ...]:
        return tuple(str(name) for name in finder.installed(self._root))

    def member(self, name: str) -> AgentType | None:
        parsed = finder.parse_name(name)
        if parsed is None:
            return None
        made = self._make(parsed)
        with self._lock:
            known = self._made.get(parsed)
            if known is None or known.basis != made.basis:
                self._made[parsed] = known = made
        return known

    def _make(self, name: Name) -> "OcfType":
        path = finder.path_of(self._root, name)
        if not finder.is_agent(path):
            return OcfType(name, self._root, None, self._why_missing(name, path))
        try:
            return OcfType(name, self._root, self._reader.read(path), "")
        except BadMetaData as error:
            return OcfType(name, self._root, None, "", f"its meta-data cannot be read, so nothing is checked: {error}")

    def _why_missing(self, name: Name, path: Path) -> str:
        there = self.names()
        if not there:
            return f"no OCF agents are installed in {self._root} (package resource-agents)"
        if path.is_file():
            return f"the OCF agent {path} is not executable"
        return f"there is no OCF agent {path}{suggest(str(name), there)}"


class OcfType:
    """``ports.AgentType``, and what else it may be."""

    def __init__(self, name: Name, root: Path, meta: MetaData | None, missing: str, doubt: str = "") -> None:
        """``meta``: None where there are none; ``doubt``: why."""
        self._name = name
        self._root = root
        self._meta = meta
        self._missing = missing
        self._doubt = doubt
        self._params: type[OcfKeys] | None = None

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def params(self) -> type[BaseModel]:
        if self._params is None:
            self._params = keys_of(self._meta) if self._meta else UncheckedKeys
        return self._params

    @property
    def basis(self) -> tuple[MetaData | None, str, str]:
        """What everything else follows from."""
        return self._meta, self._missing, self._doubt

    def prepares(self, params: BaseModel) -> bool:
        return own(params).keeps_unpromoted

    def missing(self) -> str:
        """``ports.Installable``."""
        return self._missing

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        found: list[tuple[tuple[str | int, ...], str]] = [(("type",), self._doubt)] if self._doubt else []
        given = own(params).params.given()
        if self._meta is not None:
            old = (one.name for one in self._meta.parameters if one.deprecated and one.name in given)
            found += [(("params", name), f"the agent's parameter '{name}' is deprecated") for name in old]
        return tuple(found)

    def timeouts(self, params: BaseModel) -> Mapping[Action, float]:
        """``ports.Timed``."""
        keys, meta = own(params), self._meta
        if meta is None:
            return {}
        role = "promoted" if keys.promoted else "started"
        stop = _sum(meta, "demote", "stop") if keys.promoted else meta.timeout_s("stop")
        found = {
            Action.PROBE: meta.timeout_s("monitor", role),
            Action.ONLINE: _sum(meta, "start", "promote") if keys.promoted else meta.timeout_s("start"),
            Action.OFFLINE: meta.timeout_s("demote") if keys.keeps_unpromoted else stop,
            Action.CLEAN: stop,
            Action.PREPARE: meta.timeout_s("start"),
        }
        return {action: seconds for action, seconds in found.items() if seconds is not None}

    def examine(self, params: BaseModel, component: str) -> tuple[str, ...]:
        """``ports.Examiner``: what the agent's own ``validate-all`` says."""
        if self._meta is None or not self._meta.offers("validate-all"):
            return ()
        limit_s = min(self._meta.timeout_s("validate-all") or _EXAMINE_S, _EXAMINE_S)
        node = os.uname().nodename
        call = Call(
            cluster="",
            node=node,
            group="check",
            component=component,
            action=Action.PROBE,
            generation=0,
            timeout_s=limit_s,
        )
        with tempfile.TemporaryDirectory(prefix="failoverd-check-") as directory:
            subject = self._subject(own(params), node, "check", component, Path(directory))
            subject.make_directories()
            environment = ocf_environment(subject, call) | action_environment("validate-all", limit_s, probing=True)
            try:
                status, _, said = run_bounded([str(subject.path), "validate-all"], environment, limit_s)
            except BadMetaData as error:
                return (f"validate-all: {error}",)
        result = RunResult(exit_status=status if status >= 0 else None, output=said.decode("utf-8", "replace"))
        return () if ended(result) in (Code.SUCCESS, Code.UNIMPLEMENTED) else (f"validate-all: {told(result)}",)

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        return OcfAgent(self._subject(own(params), host.node, host.group, host.component, host.run_dir), host.spawner)

    def _subject(self, keys: OcfKeys, node: str, group: str, component: str, run_dir: Path) -> Subject:
        return Subject(
            name=self._name,
            path=finder.path_of(self._root, self._name),
            root=self._root,
            keys=keys,
            node=node,
            instance=instance_of(keys, group, component),
            run_dir=run_dir,
        )

    # --- ports.Described ----------------------------------------------------------------------------------------

    def text(self) -> str:
        if self._meta is None:
            return self._missing or self._doubt
        return f"{self._meta.text}\n\n{self._meta.description}".strip()

    def parameters(self) -> tuple[ParameterText, ...]:
        return tuple(
            ParameterText(
                name=one.name,
                type=f"one of {', '.join(one.options)}" if one.options else one.type,
                required=one.required,
                default=one.default,
                text=one.text,
            )
            for one in (self._meta.parameters if self._meta else ())
        )

    def recommended(self) -> Mapping[str, float]:
        actions = self._meta.actions if self._meta else ()
        return {one.name: one.timeout_s for one in actions if one.timeout_s is not None and one.depth == 0}


def _sum(meta: MetaData, *actions: str) -> float | None:
    """None where nothing is said of any of them."""
    found = [meta.timeout_s(action) for action in actions]
    return None if set(found) == {None} else sum(one or _START_S for one in found)
