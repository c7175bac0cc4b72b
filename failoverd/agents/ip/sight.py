"""What of a component's address is configured on this machine, and what that means."""

from dataclasses import dataclass

from failoverd.agents.ip.params import IpParams
from failoverd.kernel.netlink import DAD_FAILED, TENTATIVE, Configured, Link, Netlink
from failoverd.ports import Presence, Probe


@dataclass(frozen=True, slots=True)
class Sight:
    here: Configured | None
    """As it is meant to be."""
    wrong: tuple[Configured, ...]
    """The same address in another way: other prefix length, other interface."""
    links: dict[int, Link]

    @property
    def link(self) -> Link | None:
        return self.links.get(self.here.link) if self.here else None

    @property
    def tentative(self) -> bool:
        """The kernel still asks whether somebody else has it (RFC 4862, section 5.4)."""
        return self.here is not None and bool(self.here.flags & TENTATIVE) and not self.duplicate

    @property
    def duplicate(self) -> bool:
        return self.here is not None and bool(self.here.flags & DAD_FAILED)

    def named(self, interface: str) -> Link | None:
        return next((link for link in self.links.values() if link.name == interface), None)

    def foreign(self) -> tuple[Configured, ...]:
        """What somebody else configured, and we therefore leave alone."""
        return tuple(one for one in self.wrong if not one.ours)

    def describe(self, one: Configured) -> str:
        link = self.links.get(one.link)
        return f"{one} on {link.name if link else one.link}"


def look(netlink: Netlink, params: IpParams) -> Sight:
    """Raises OSError. Waits for the kernel: not for the event loop."""
    links = netlink.links()
    there = [one for one in netlink.addresses() if one.address == params.ip]
    good = [one for one in there if one.prefix == params.prefix and _fits(one, params, links)]
    return Sight(good[0] if good else None, tuple(one for one in there if one not in good), links)


def _fits(one: Configured, params: IpParams, links: dict[int, Link]) -> bool:
    link = links.get(one.link)
    return params.interface is None or (link is not None and link.name == params.interface)


def judge(sight: Sight, params: IpParams) -> Probe:
    if sight.wrong:
        found = ", ".join(sight.describe(one) for one in sight.wrong)
        return Probe(presence=Presence.FAILED, detail=f"{params.ip} is configured otherwise than it should be: {found}")
    if sight.here is None:
        missing = params.interface is not None and sight.named(params.interface) is None
        detail = f"interface {params.interface} is not there" if missing else ""
        return Probe(presence=Presence.OFFLINE, detail=detail)
    if sight.duplicate:
        return Probe(
            presence=Presence.FAILED, detail=f"another host has {params.ip}, as duplicate-address detection found"
        )
    if sight.tentative:
        return Probe(presence=Presence.FAILED, detail=f"duplicate-address detection of {params.ip} is not over yet")
    fault = fault_of(sight.link, params)
    return Probe(presence=Presence.FAILED, detail=fault) if fault else Probe(presence=Presence.ONLINE)


def fault_of(link: Link | None, params: IpParams) -> str:
    """Why nobody is reached over the link; empty where nothing speaks against it."""
    if link is None:
        return "its interface is not there"
    if not link.up:
        return f"interface {link.name} is down"
    if params.carrier and not link.carrier:
        return f"interface {link.name} has no carrier"
    return ""
