"""Several hosts on this machine, for tests that need machines: their network, their power, and what breaks both.

A host is a set of namespaces (network, mount, pid, uts, ipc) with an init of its own, which costs 50 ms and a few
megabytes. It sees this machine's files, so every program that is installed here is installed there, with

- ``/etc``, ``/var`` and ``/srv`` of its own: overlays, which begin as this machine's, keep what is changed, and survive
  a power cut (``/etc/failoverd`` and ``/var/lib/failoverd`` are there, empty);
- ``/srv/san``, the same for all hosts (``Lab.san``): images there stand for disks that several machines reach. A power
  cut loses what a host had not written to one (see ``tests.hosts.storage``);
- ``/run`` and ``/dev/shm`` of its own, which a power cut empties; its own host name and boot id;
- ``eth0`` (and ``eth1`` … with ``links=2`` …): host number n has 10.L.0.n/24 on link L, and always the same hardware
  address. The hosts' names resolve to their addresses on link 0. Further addresses, routes and firewalls are a test's
  own affair: the network namespace is the host's alone;
- everything else shared with this machine and the other hosts: ``/tmp``, ``/home``, loop devices, the clock. There is
  no cgroup file system and no systemd. ``Lab.directory`` is seen by all, under the same path as outside: what hosts
  write there (records, logs) is read outside.

::

    with Lab("a", "b", "w", links=2) as lab:
        a, b = lab["a"], lab["b"]
        a.sh("ip addr add 10.0.0.100/24 dev eth0")              # a shell script that must succeed
        done = b.run("psql", "-c", "select 1")                  # a program, with exit status and output
        b.reaches("10.0.0.100")                                 # whether somebody answers there
        server = a.spawn("postgres", "-D", data, log=a.disk / "log")  # one that goes on: .signal(), .wait(), .alive
        a.path("/run/failoverd/…")                              # its files from outside, sockets too

        lab.cut("a", "b")                  # nothing passes between the two; a and b still reach w
        lab.cut("a", "b", one_way=True)    # only what a sends to b is lost
        lab.cut("a", "b", link=1)          # on one link alone
        lab.cut("a", "w", port=2379)       # to one destination port alone, UDP and TCP
        lab.lose("a", "b", percent=30)     # 30 of 100 frames, each way
        lab.isolate("a")                   # a reaches nobody, nobody reaches a
        lab.unplug("a", link=0)            # the same with the carrier gone, on one link; lab.plug() undoes it
        lab.heal()                         # undoes all of it but unplug; lab.heal("a", "b"), lab.rejoin("a"): in part

        b.pause(); b.resume()              # SIGSTOP, SIGCONT to everything on it
        at = a.cut_power()                 # dead and silent at once; its memory and its connections are gone
        a.power_on()                       # boots again, with its disk; starts nothing by itself
        with PowerSwitch(lab=lab): …           # hosts can cut each other's power (see ``tests.hosts.power``)

What runs failoverd and etcd on hosts is ``tests.hosts.cluster``. Every step is bounded in time. At the end of the
``with``, also by Ctrl-C or a failure, everything is removed. If the process is killed instead, the hosts die with it,
and the next lab removes the rest. Labs of several processes do not disturb each other; in one process there may be
several too. Needs root, ``ip``, ``nft``, ``unshare``, ``nsenter``: ``needs_hosts`` skips where they are missing and
says so. Power on only in the main thread (see ``Host.power_on``).
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.hosts.commands import LabFailed
from tests.hosts.host import Host
from tests.hosts.leftovers import base_directory, prefix, sweep
from tests.hosts.network import NAME_MAX, Network, Rule

HOSTS_MAX = 7
PROGRAMS = ("ip", "nft", "unshare", "nsenter", "setpriv", "setsid", "mount", "umount", "bash")

_numbers = itertools.count()


def missing() -> str:
    """Why there can be no lab here; empty where there can."""
    if os.geteuid() != 0:
        return "hosts need root"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"hosts need {', '.join(lacking)}: apt-get install iproute2 nftables util-linux" if lacking else ""


needs_hosts = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


class Lab:
    """See the module. Raises ``LabFailed`` where it cannot be made."""

    def __init__(self, *names: str, links: int = 1) -> None:
        if not 1 <= len(names) <= HOSTS_MAX or any(len(name) > NAME_MAX for name in names):
            raise LabFailed(f"1 to {HOSTS_MAX} hosts, names of up to {NAME_MAX} characters: {names}")
        self.network = Network(prefix=prefix(next(_numbers)), hosts=names, links=links)
        self.directory = Path()
        self.hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def san(self) -> Path:
        """From outside; on hosts it is ``/srv/san``."""
        return self.directory / "san"

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())

    def __enter__(self) -> Self:
        sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.network.prefix}.", dir=base_directory()))
        try:
            lines = [f"{self.network.address(name)} {name}" for name in self.network.hosts]
            (self.directory / "hosts").write_text("\n".join(lines) + "\n")
            self.san.mkdir()
            self.network.start()
            for name in self.network.hosts:
                self.hosts[name] = Host(name=name, network=self.network, lab=self.directory)
                self.hosts[name].power_on()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Everything goes; for any state that it may be in."""
        for host in self:
            with suppress(LabFailed):
                host.cut_power()
        self.network.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- what passes between hosts ------------------------------------------------------------------------------

    def cut(
        self, one: str, other: str, *, one_way: bool = False, link: int | None = None, port: int | None = None
    ) -> None:
        """Nothing passes between the two; ``one_way``: nothing from ``one`` to ``other``. ``link``, ``port``: only
        there (None: everywhere)."""
        self.network.drop(_rules(one, other, Rule(link=link, port=port), one_way=one_way))

    def lose(
        self,
        one: str,
        other: str,
        *,
        percent: int,
        one_way: bool = False,
        link: int | None = None,
        port: int | None = None,
    ) -> None:
        """So many of 100 frames, at random."""
        self.network.drop(_rules(one, other, Rule(link=link, port=port, percent=percent), one_way=one_way))

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """Everything passes again: between the two, or between all."""
        if one is None or other is None:
            self.network.pass_everything()
            return
        pairs = {(one, other), (other, one)}
        self.network.pass_on([rule for rule in self.network.rules if (rule.source, rule.target) in pairs])

    def isolate(self, name: str, *, link: int | None = None) -> None:
        """It reaches nobody and nobody reaches it."""
        self.network.drop([Rule(source=name, link=link), Rule(target=name, link=link)])

    def rejoin(self, name: str) -> None:
        """Undo ``isolate``."""
        alone = {(name, None), (None, name)}
        self.network.pass_on([rule for rule in self.network.rules if (rule.source, rule.target) in alone])

    def unplug(self, name: str, *, link: int = 0) -> None:
        self.network.plug(name, link, on=False)

    def plug(self, name: str, *, link: int = 0) -> None:
        self.network.plug(name, link, on=True)

    def drop_link(self, link: int) -> None:
        """A whole link is dead, for all."""
        self.network.drop([Rule(source=name, link=link) for name in self.hosts])


def _rules(one: str, other: str, what: Rule, *, one_way: bool) -> list[Rule]:
    there = replace(what, source=one, target=other)
    return [there] if one_way else [there, replace(what, source=other, target=one)]
