"""The story that the demonstration tells, scene by scene."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from failoverd.demo import checks, evidence, shop
from failoverd.demo.checks import Check, Handover
from failoverd.demo.evidence import Cut, Gap
from failoverd.demo.local import LocalCluster, LocalNode, TrialFailed, free_ports
from failoverd.demo.show import Show

Document = Mapping[str, Any]

READY_S = 15.0
MOVE_S = 25.0
CUSTOMER_S = 5.0
CALM_S = 1.0
"""How long the customer shops between two scenes."""
WATCH_S = 0.1


@dataclass(kw_only=True)
class Stage:
    """Everything that must be gone at the end."""

    root: Path
    cluster: LocalCluster
    ports: dict[str, int] = field(default_factory=dict)
    customer: subprocess.Popen[bytes] | None = None

    def set_up(self, scale: float) -> None:
        """Write everything that the nodes and the components read. ``scale``: of the components' durations."""
        (self.root / "shared").mkdir()
        self.ports = dict(zip(shop.LISTENING, free_ports(len(shop.LISTENING)), strict=True))
        (self.root / "shop.json").write_text(json.dumps(shop.settings(self.ports, scale)), encoding="utf-8")
        self.cluster.configure(shop.NODES, shop.configuration(self.root, self.ports, scale))

    @property
    def notes(self) -> Path:
        """The customer's."""
        return self.root / "customer.jsonl"

    def clear(self, *, keep: bool) -> None:
        self.cluster.end()
        if self.customer is not None:
            self.customer.kill()
            self.customer.wait()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)


@dataclass(kw_only=True)
class Story:
    stage: Stage
    show: Show
    handovers: list[Handover] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.stage.root

    def node(self, name: str) -> LocalNode:
        return self.stage.cluster[name]

    def tell(self) -> None:
        first, second = self.open()
        self.plan(first, second)
        self.switch(first, second)
        self.power_cut(second, first)
        self.power_on(second, first)
        self.conclude()

    def expect(self, *found: Check) -> None:
        for check in found:
            self.checks.append(check)
            self.show.check(check)

    # --- the scenes ---

    def open(self) -> tuple[str, str]:
        """(the node that the group came online on, the other one)"""
        self.show.scene("Two nodes, a and b, and a shop of nine components")
        self.show.shop()
        self.stage.cluster.start(READY_S)
        owner = str(self.settle(None)["owner"])
        other = next(name for name in shop.NODES if name != owner)
        self.begin_shopping()
        self.expect(checks.moved(self.root, [], other, owner))
        url = f"http://127.0.0.1:{self.stage.ports['web']}/"
        self.show.say(f" a customer asks {url} every 8 ms and places orders")
        return owner, other

    def plan(self, source: str, target: str) -> None:
        self.show.scene(f"The plan: failoverd plan {shop.GROUP} --to {target}")
        document = self.node(source).ask("plan", group=shop.GROUP, to=target)
        self.documents["plan"] = document
        self.show.plan(document)
        steps = 2 * len(shop.PARTS)
        ordered = 0 < document["limit_s"] < document["phased_s"] < document["serial_s"]
        self.expect(
            Check(
                what=f"the plan has {steps} steps, and its limit is below the phased and the serial time",
                ok=ordered and len(document["steps"]) == steps,
                detail=str({name: document[name] for name in ("limit_s", "phased_s", "serial_s")}),
            )
        )

    def switch(self, source: str, target: str) -> None:
        self.show.scene(f"A planned handover: failoverd switch {shop.GROUP} --to {target}")
        began = time.monotonic()

        def watch(update: Callable[[Document], None]) -> Document:
            document: Document = self.node(source).ask(
                "switch", group=shop.GROUP, to=target, wait=True, timeout_s=MOVE_S, on_update=update
            )
            return document

        document = self.show.moving(watch)
        self.settle(target)
        handover = self.concluded("planned switch", document, began)
        self.expect(
            checks.handed_over(document, source, target),
            checks.moved(self.root, self.cuts, source, target),
            checks.overlapped(self.root, source, target, began),
            checks.faster(handover),
        )

    def power_cut(self, source: str, target: str) -> None:
        self.show.scene(f"A power cut: everything on node {source} is killed")
        before = self.group_on(target)
        at = self.node(source).cut_power()
        self.cuts.append(Cut(node=source, at=at))

        def watch(update: Callable[[Document], None]) -> Document:
            return self.taken_over(target, int(before["generation"]), update)

        document = self.show.moving(watch)
        self.settle(target)
        self.concluded("power cut", document, at)
        self.expect(
            checks.handed_over(document, source, target),
            checks.moved(self.root, self.cuts, source, target),
        )

    def power_on(self, node: str, owner: str) -> None:
        self.show.scene(f"The power is back: node {node} starts again")
        before = self.group_on(owner)
        began = time.monotonic()
        self.node(node).start()
        status = self.node(node).wait_ready(READY_S)
        joined = time.monotonic() - began
        time.sleep(CALM_S)
        seen = self.group_on(owner), status["groups"][shop.GROUP]
        here = self.node(owner).status()
        state = here["nodes"][node]["state"] if here else "unknown"
        self.expect(
            Check(
                what=f"node {node} has joined again, after {joined:.1f} s", ok=state == "up", detail=f"it is {state}"
            ),
            checks.same_owner(owner, before, seen[0]),
            checks.same_owner(node, before, seen[1]),
            checks.took_nothing(self.root, node, began),
        )

    def conclude(self) -> None:
        self.show.scene("What happened")
        self.end_shopping()
        self.show.summary(self.handovers)
        self.show.say()
        self.expect(checks.ran_once(self.root, self.cuts), checks.kept_orders(self.root, self.stage.notes))

    # --- what the scenes are made of ---

    def settle(self, owner: str | None) -> dict[str, Any]:
        return self.stage.cluster.wait_group(shop.GROUP, state="online", owner=owner, timeout_s=MOVE_S)

    def group_on(self, node: str) -> dict[str, Any]:
        """The group as a node sees it."""
        return dict(self.node(node).ask("status")["groups"][shop.GROUP])

    def taken_over(self, node: str, after: int, update: Callable[[Document], None]) -> Document:
        """Watch until a handover with a later generation than ``after`` is over."""
        deadline = time.monotonic() + MOVE_S
        while time.monotonic() < deadline:
            document = self.group_on(node)["handover"]
            if document and document["generation"] > after:
                update(document)
                if document["state"] != "running":
                    return dict(document)
            time.sleep(WATCH_S)
        raise TrialFailed(f"node {node} did not take the group over within {MOVE_S:g}s:\n{self.node(node).log_tail()}")

    def concluded(self, title: str, document: Document, since: float) -> Handover:
        gap = self.gap(since)
        handover = Handover.of(title, document, gap)
        self.handovers.append(handover)
        self.documents[title] = document
        self.show.numbers(handover)
        self.expect(checks.answers_again(gap, handover.source, handover.target))
        time.sleep(CALM_S)
        return handover

    def gap(self, since: float) -> Gap | None:
        """The customer's longest wait that ended after ``since``."""
        deadline = time.monotonic() + CUSTOMER_S
        while time.monotonic() < deadline:
            moved = [gap for gap in evidence.gaps(self.stage.notes, since) if gap.before != gap.after]
            if moved:
                return max(moved, key=lambda gap: gap.length_s)
            time.sleep(WATCH_S)
        return None

    def begin_shopping(self) -> None:
        command = shop.customer_command(self.stage.cluster, self.stage.ports["web"])
        self.stage.customer = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
        deadline = time.monotonic() + CUSTOMER_S
        while not evidence.is_open(self.stage.notes):
            if time.monotonic() > deadline:
                raise TrialFailed("the HTTP service does not answer")
            time.sleep(WATCH_S)
        time.sleep(CALM_S)

    def end_shopping(self) -> None:
        if self.stage.customer is not None:
            self.stage.customer.terminate()
            self.stage.customer.wait(CUSTOMER_S)

    def document(self, failure: str) -> dict[str, Any]:
        return {
            "version": 1,
            "ok": self.ok and not failure,
            "failure": failure,
            "handovers": [handover.document() for handover in self.handovers],
            "checks": [check.document() for check in self.checks],
            "documents": self.documents,
        }

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)
