"""The guard: a small process that takes a node's components down when the daemon no longer can.

- ``watch``: what it holds (last wills, the deadline) and when it fires; ``volley``: which wills are carried out, tried
  again, given up. Both are pure: ``now`` comes in as a number;
- ``process``: the process itself: one loop, one thread, the standard library and what needs nothing else;
- ``channel``, ``succession``: its sockets; how a guard takes over from the one before it;
- ``execute``, ``sweep``, ``machine``: commands, processes found by their mark or control group, and what it asks of the
  kernel;
- ``client``, ``link``, ``orders``: the daemon's side, ``ports.Guard``;
- ``watchdog``: /dev/watchdog, fed while the lease is renewed;
- ``deadline``: what is kept for the next guard, should both daemon and guard be killed;
- ``record``: what it leaves behind for the next daemon.

It never blocks on what a will does: each command is a process of its own from before its exec on, and so is the walk
through /proc that reads environments.
"""
