"""failoverd: a failover daemon whose handovers are pipelined. This page is the architecture.

Imports run one way, downwards:

5. face: ``cli`` (the commands), ``demo`` (two nodes on this machine);
4. ``runtime``: one node put together. ``component`` is the handover: a coroutine per component that reconciles what
   is wanted with what is and waits for nothing but its gates. ``board`` holds what they look at, ``node`` decides and
   beats, ``lease_keeper`` renews, ``mirror`` follows the coordinator, ``actor`` writes, ``daemon`` adds this machine;
3. adapters, which do not know each other: ``agents`` (what can be a component), ``spawner`` (starts commands from a
   process of its own), ``guard`` (takes components down when the daemon cannot), ``coordinators`` (compare-and-swap
   stores), ``links`` (heartbeats over UDP), ``fencing`` (switches dead nodes off), ``control`` (the control socket);
2. edges: ``ports`` (protocols of everything above and below), ``config`` (YAML to frozen values, or every fault with
   its place), ``wire`` and ``records`` (bytes), ``log`` (the catalogue of events), ``kernel`` (netlink and mounts),
   ``clock``, ``procfs``, ``errors``, ``bell`` and ``pace`` (what coroutines
   wait for), ``accounts`` and ``packets`` (for processes of our own);
1. ``domain``: pure values and functions. ``graph``, ``handover``, ``schedule`` and ``plan`` compute what a handover
   will take; ``machine`` says what a component does next; ``placement`` and ``lease`` are the ownership rules;
   ``decide`` is what a node does about the cluster, as a function of its ``view``.

The way of a planned switch: ``control`` -> ``domain.operator`` -> ``actor`` (one compare-and-swap of the placement) ->
``mirror`` (on every node) -> ``board`` -> the component coroutines of both nodes, joined by heartbeats that carry what
is released. A crash goes the same way, begun by ``domain.decide`` when a lease has run out.
"""

__version__ = "0.1.0"
