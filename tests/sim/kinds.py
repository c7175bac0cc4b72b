"""Kinds of faults, and of commands that operators give meanwhile. To add one: a method of ``Cluster`` that does it to
the world, a function here (or in a module of its own) that puts it into a timeline, and its name into ``KINDS``.

Durations are as meant for a lease of three seconds; ``m.between``, ``m.while_s`` and ``m.scale`` stretch them.
"""

from tests.sim.related import with_requirements
from tests.sim.scenario import Scenario
from tests.sim.seeds import Kind, Maker


def switch(m: Maker, at: float) -> None:
    group = m.group()
    to = m.rng.choice((None, *m.groups[group].nodes))
    m.do(at, "command", node=m.node(), command="switch", group=group, to=to)


def flip(m: Maker, at: float) -> None:
    """There and back again, while the two do not hear each other (or one does not hear the other)."""
    group = m.group()
    one, other = m.rng.sample(m.groups[group].nodes, 2)
    until = at + m.between(0.2, 1.5)
    for sender, receiver in ((one, other), (other, one))[: m.rng.choice((1, 2))]:
        m.do(at, "cut", sender=sender, receiver=receiver)
        m.do(until, "mend", sender=sender, receiver=receiver)
    for to in (one, other, one):
        at += m.rng.choice((0.01, 0.1, 0.4)) * m.rng.random() * m.scale
        m.do(at, "command", node=m.node(), command="switch", group=group, to=to)


def offline_online(m: Maker, at: float) -> None:
    group = m.group()
    m.do(at, "command", node=m.node(), command="offline", group=group)
    on = m.rng.choice((None, *m.groups[group].nodes))
    m.do(at + m.while_s(), "command", node=m.node(), command="online", group=group, on=on)


def power_cut(m: Maker, at: float) -> None:
    node = m.node()
    m.do(at, "power_cut", node=node)
    m.do(at + m.while_s(), "boot", node=node)


def crash(m: Maker, at: float) -> None:
    node = m.node()
    m.do(at, "crash", node=node)
    m.do(at + m.while_s(), "boot", node=node)


def pause(m: Maker, at: float) -> None:
    m.do(at, "pause", node=m.node(), seconds=m.while_s())


def stop(m: Maker, at: float) -> None:
    node = m.node()
    m.do(at, "stop", node=node)
    m.do(at + 9.0 * m.scale + m.while_s(), "boot", node=node)


def partition(m: Maker, at: float) -> None:
    some = m.rng.sample(m.nodes, m.rng.randint(1, len(m.nodes) - 1))
    link = m.rng.choice((None, None, *range(m.links)))
    until = at + m.while_s()
    for one in some:
        for other in m.nodes:
            if other not in some:
                for sender, receiver in ((one, other), (other, one)):
                    m.do(at, "cut", sender=sender, receiver=receiver, link=link)
                    m.do(until, "mend", sender=sender, receiver=receiver, link=link)
    if m.rng.random() < 0.4:
        m.do(at, "cut_coordinator", node=some[0])
        m.do(until, "mend_coordinator", node=some[0])


def one_way(m: Maker, at: float) -> None:
    sender, receiver = m.rng.sample(m.nodes, 2)
    m.do(at, "cut", sender=sender, receiver=receiver)
    m.do(at + m.while_s(), "mend", sender=sender, receiver=receiver)


def noise(m: Maker, at: float) -> None:
    rng = m.rng
    m.do(
        at,
        "network_is",
        loss=rng.choice((0.0, 0.1, 0.5)),
        duplicate=rng.choice((0.0, 0.3)),
        slow=rng.choice((0.0, 0.2, 1.0)),
        slow_s=rng.choice((0.1, 1.0, 5.0)) * m.scale,
    )
    m.do(at + m.while_s(), "network_is", loss=0.0, duplicate=0.0, slow=0.0)


def coordinator_out(m: Maker, at: float) -> None:
    m.do(at, "coordinator_is", down=True)
    m.do(at + m.while_s(), "coordinator_is", down=False)


def coordinator_cut(m: Maker, at: float) -> None:
    node = m.node()
    m.do(at, "cut_coordinator", node=node)
    m.do(at + m.while_s(), "mend_coordinator", node=node)


def coordinator_bad(m: Maker, at: float) -> None:
    rng = m.rng
    m.do(
        at,
        "coordinator_is",
        request_lost=rng.choice((0.0, 0.2)),
        reply_lost=rng.choice((0.0, 0.2)),
        slow=rng.choice((0.0, 0.3, 1.0)),
        slow_s=rng.choice((0.3, 1.0, 4.0)) * m.scale,
        news_late_s=rng.choice((0.0, 0.0, 0.5, 3.0)) * m.scale,
    )
    m.do(at + m.while_s(), "coordinator_is", request_lost=0.0, reply_lost=0.0, slow=0.0, news_late_s=0.0)


def restart_amid(m: Maker, at: float) -> None:
    """A daemon comes back in the middle of a switch, and does not know yet what runs there."""
    group, node = m.group(), m.node()
    others = [name for name in m.groups[group].nodes if name != node]
    m.do(at, "agents_are", hang={"probe": 0.5})
    m.do(at, "crash", node=node)
    m.do(at + m.between(0.05, 0.8), "boot", node=node)
    m.do(
        at + m.between(0.0, 1.0),
        "command",
        node=m.node(),
        command="switch",
        group=group,
        to=m.rng.choice(others),
    )
    m.do(at + 2.0 * m.scale, "agents_are")


def old_news(m: Maker, at: float) -> None:
    """A node is back with a new lease before it hears what was written while it was away."""
    node, until = m.node(), at + m.between(3.5, 6.0)
    m.do(at, "cut_coordinator", node=node)
    m.do(until, "coordinator_is", news_late_s=m.between(0.1, 1.0))
    m.do(until, "mend_coordinator", node=node)
    m.do(until + 2.0 * m.scale, "coordinator_is", news_late_s=0.0)


def late_write(m: Maker, at: float) -> None:
    """What a node wrote comes to the coordinator long after its end."""
    node = m.node()
    m.do(at, "coordinator_is", slow=1.0, slow_s=8.0 * m.scale)
    for name, group in m.groups.items():
        to = m.rng.choice(group.nodes)
        m.do(at + 0.001, "command", node=node, command="switch", group=name, to=to)
    m.do(at + 0.01, "coordinator_is", slow=0.0)
    m.do(at + 0.02, "power_cut", node=node)
    m.do(at + m.between(1.0, 9.0), "boot", node=node)


def agents(m: Maker, at: float) -> None:
    rng = m.rng
    fail = {action: rng.choice((0.0, 0.1, 0.5)) for action in ("online", "offline", "clean")}
    hang = {action: rng.choice((0.0, 0.0, 0.2)) for action in ("online", "offline", "probe")}
    m.do(at, "agents_are", fail=fail, hang=hang)
    m.do(at + m.while_s(), "agents_are")


def die(m: Maker, at: float) -> None:
    group = m.group()
    component = m.rng.choice(list(m.groups[group].components))
    for node in m.nodes:
        m.do(at, m.rng.choice(("die", "sicken")), node=node, group=group, component=component)


def everything_out(m: Maker, at: float) -> None:
    m.do(at, "power_cut_all")
    for node in m.nodes:
        m.do(at + m.while_s(), "boot", node=node)


def reload(m: Maker, at: float) -> None:
    group = m.group()
    later = at + m.between(0.0, 3.0)
    for node in m.nodes:
        m.do(m.rng.uniform(at, later), "reload", node=node, group=group, max_moves=m.rng.choice((3, 50)))


def long_pause(m: Maker, at: float) -> None:
    """A node stands still until its lease has run out, and a little longer."""
    m.do(at, "pause", node=m.node(), seconds=m.between(3.3, 5.0))


def slow_loop(m: Maker, at: float) -> None:
    m.do(at, "slow", node=m.node(), seconds=m.while_s(), lag_s=m.dead_after_s * m.rng.choice((0.001, 0.01, 0.05)))


def guard_death(m: Maker, at: float) -> None:
    m.do(at, "guard_dies", node=m.node())


def lies(m: Maker, at: float) -> None:
    m.do(at, "agents_are", lie=m.rng.choice((0.1, 0.5)))
    m.do(at + m.while_s(), "agents_are")


def freeze(m: Maker, at: float) -> None:
    """Hands off for a while, and whatever else happens meanwhile; who thaws it is another node, or nobody."""
    what = m.rng.choice(({"group": m.group()}, {"group": m.group()}, {"node": m.node()}, {"all": True}))
    m.do(at, "command", node=m.node(), command="freeze", about=what)
    if m.rng.random() < 0.8:
        m.do(at + m.while_s(), "command", node=m.node(), command="thaw", about=what)


def drain(m: Maker, at: float) -> None:
    node = m.node()
    m.do(at, "command", node=m.node(), command="drain", about={"node": node})
    if m.rng.random() < 0.8:
        m.do(at + m.while_s(), "command", node=m.node(), command="resume", about={"node": node})


def clear(m: Maker, at: float) -> None:
    m.do(at, "command", node=m.node(), command="clear", group=m.group())


KINDS: tuple[Kind, ...] = (
    switch,
    flip,
    offline_online,
    power_cut,
    crash,
    pause,
    stop,
    partition,
    one_way,
    noise,
    coordinator_out,
    coordinator_cut,
    coordinator_bad,
    restart_amid,
    old_news,
    late_write,
    agents,
    die,
    everything_out,
    reload,
    long_pause,
    slow_loop,
    guard_death,
    lies,
    freeze,
    drain,
    clear,
)


def scenario_of(seed: int) -> Scenario:
    return with_requirements(Maker(seed, KINDS).make())
