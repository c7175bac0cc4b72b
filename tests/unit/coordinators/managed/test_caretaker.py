"""What is done about the members while they run: who is removed when, and whose data is tidied when."""

from collections.abc import Callable

import anyio
import pytest

from failoverd.coordinators.etcd.managed.caretaker import LED_S, TIDY_S, Caretaker, is_fragmented
from failoverd.coordinators.etcd.managed.health import LOST_AFTER_S, NEVER_AFTER_S, Health
from failoverd.coordinators.etcd.managed.messages import Member
from failoverd.coordinators.etcd.managed.owner import Owner
from failoverd.log.catalogue import Event
from tests.unit.coordinators.managed.support import FakeMembers, layout, member
from tests.unit.runtime.fakes import FakeLog, Logged
from tests.virtual import VirtualClock, run_virtual

LARGE = (64 << 20, 1 << 20)
OTHERS = {"c": "https://10.0.0.7:7802", "d": "https://10.0.0.8:7802"}


class Scene:
    """A caretaker on node a of a, b and w."""

    def __init__(self, *, departing: bool = False, node: str = "a") -> None:
        self.plan = layout(node)
        self.members = FakeMembers(self.plan)
        self.clock = VirtualClock()
        self.events: list[Logged] = []
        self.log = FakeLog(node, self.clock, self.events)
        self.health = Health(self.plan, self.clock, self.log)
        gone = OTHERS if departing else {}
        for number, (name, peer) in enumerate(gone.items(), 4):
            self.members.there[number] = Member(id=number, name=name, peer_urls=(peer,), client_urls=("https://x",))
        self.owner = Owner(cluster="shop", node=node, voters=self.plan.initial, departing=gone)
        self.kept: list[Owner] = []
        self.caretaker = Caretaker(
            self.plan, self.members, self.owner, self.health, keep=self.keep, clock=self.clock, log=self.log
        )

    async def keep(self, owner: Owner) -> None:
        self.kept.append(owner)

    async def live(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self.caretaker.run()

    def done(self, what: str) -> list[str]:
        return [who for kind, who in self.members.done if kind == what]

    def told(self, event: Event) -> list[str]:
        return [str(each.fields.get("member")) for each in self.events if each.event is event]


def played(act: Callable[[Scene], None], *, seconds: float = 40, departing: bool = False, node: str = "a") -> Scene:
    async def main(_: VirtualClock) -> Scene:
        scene = Scene(departing=departing, node=node)
        act(scene)
        await scene.live(seconds)
        return scene

    return run_virtual(main)


def test_what_the_configuration_has_left_out_is_removed_one_after_another() -> None:
    scene = played(lambda _: None, departing=True)
    assert scene.done("remove") == ["c", "d"]
    assert scene.told(Event.ETCD_MEMBER_REMOVED) == ["c", "d"]
    assert [set(owner.departing) for owner in scene.kept] == [{"d"}, set()]


def test_nobody_is_removed_where_those_who_stay_were_no_majority() -> None:
    """Of a, b, w, c, d two answer: without c they would be 2 of 4."""
    scene = played(lambda scene: scene.members.silent.add("b"), departing=True)
    assert scene.done("remove") == []
    assert set(scene.caretaker.owner.departing) == {"c", "d"}


def test_voters_that_this_node_never_knew_are_left_alone() -> None:
    def act(scene: Scene) -> None:
        scene.members.there[9] = Member(id=9, name="z", peer_urls=("https://z:1",), client_urls=("https://z:2",))

    assert played(act).done("remove") == []


def test_own_learner_gets_its_vote() -> None:
    def act(scene: Scene) -> None:
        scene.members.there[2] = member(scene.plan, "b", 2, learner=True)

    assert played(act, node="b").done("promote") == ["b"]
    assert played(act, node="a").done("promote") == [], "its own node knows when"


def test_own_new_address_is_told_to_the_others() -> None:
    def act(scene: Scene) -> None:
        scene.members.there[2] = Member(
            id=2, name="b", peer_urls=("https://10.0.0.99:7802",), client_urls=("https://10.0.0.99:7801",)
        )

    assert played(act, node="b").done("move") == ["b"]


# --- data files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "used", "expected"), [(1 << 20, 1, False), (16 << 20, 7 << 20, True), (64 << 20, 40 << 20, False)]
)
def test_what_is_worth_a_defragmentation(size: int, used: int, expected: bool) -> None:
    assert is_fragmented(size, used) is expected


def fragment(scene: Scene) -> None:
    scene.members.size = dict.fromkeys("abw", LARGE)


def test_leader_tidies_the_others_first_and_itself_last() -> None:
    assert played(fragment, seconds=LED_S + TIDY_S).done("defragment") == ["b", "w", "a"]


def test_a_new_leader_waits_until_what_the_former_began_is_over() -> None:
    assert played(fragment, seconds=LED_S - 5).done("defragment") == []


def test_only_the_leaders_node_tidies() -> None:
    assert played(fragment, seconds=3 * LED_S, node="b").done("defragment") == []


def test_nothing_is_tidied_while_a_member_is_missing() -> None:
    def act(scene: Scene) -> None:
        fragment(scene)
        scene.members.silent.add("w")

    assert played(act, seconds=3 * LED_S).done("defragment") == []


def test_full_quota_is_named_and_room_is_made() -> None:
    def act(scene: Scene) -> None:
        scene.members.raised = {"NOSPACE": (2, 3)}

    scene = played(act, seconds=LED_S + TIDY_S)
    assert scene.members.done[:5] == [
        ("compact", "a"),
        ("defragment", "b"),
        ("defragment", "w"),
        ("defragment", "a"),
        ("disarm", "NOSPACE 2"),
    ]
    (alarm,) = [each for each in scene.events if each.event is Event.ETCD_ALARM]
    assert alarm.fields["alarm"] == "NOSPACE"


# --- health -----------------------------------------------------------------------------------------------------


def test_lost_member_is_told_once_and_its_return_too() -> None:
    async def main(_: VirtualClock) -> Scene:
        scene = Scene()
        await scene.live(5)
        scene.members.silent.add("w")
        await scene.live(LOST_AFTER_S + 3)
        await scene.live(60)
        scene.members.silent.clear()
        await scene.live(5)
        return scene

    scene = run_virtual(main)
    assert scene.told(Event.ETCD_MEMBER_UNHEALTHY) == ["w"]
    assert scene.told(Event.ETCD_MEMBER_HEALTHY) == ["w"]
    assert scene.told(Event.ETCD_LEADER_CHANGED) == ["a"]


def test_member_that_begins_late_is_given_time() -> None:
    def act(scene: Scene) -> None:
        scene.members.silent.add("w")

    assert played(act, seconds=NEVER_AFTER_S - 1).told(Event.ETCD_MEMBER_UNHEALTHY) == []
    assert played(act, seconds=NEVER_AFTER_S + 3).told(Event.ETCD_MEMBER_UNHEALTHY) == ["w"]


def test_document_says_who_leads_and_who_is_missing() -> None:
    scene = played(lambda scene: scene.members.silent.add("w"))
    document = scene.health.document()
    assert document["leader"] == "a"
    states = {name: each["state"] for name, each in document["members"].items()}
    assert states == {"a": "leader", "b": "follower", "w": "unreachable"}
    assert "no answer" in document["members"]["w"]["reason"]


def test_members_without_a_leader_are_not_well() -> None:
    scene = played(lambda scene: setattr(scene.members, "leader", 0))
    assert {each["state"] for each in scene.health.document()["members"].values()} == {"no_leader"}
    assert scene.told(Event.ETCD_MEMBER_UNHEALTHY) == ["a", "b", "w"]
