"""Whole clusters of the real node on virtual time, under seeded faults, judged from outside (see ``tests.sim.world``).

- ``loop``: an event loop for each daemon, stepped by the world: its own clock rate, pauses, a death at any point.
- ``world``: time, the queue of what is going to happen, and the trace of what has.
- ``network``, ``store``, ``components``: the fakes of the ports, and the truth behind them.
- ``checkers``: what must never happen. They read the world's record alone, and import nothing that they judge.
- ``scenario``: a cluster and a timeline of faults and commands: made from a seed, or written by hand as YAML.
- ``seeds``: clusters and their times, as administrators configure them; ``kinds``: the kinds of faults and commands.
- ``cluster``: daemons that are born, die, stall and come back; carries a scenario out. ``daemon``: one of them.
- ``run``: one seed from its beginning to its verdict; ``mutants``: whether the checkers can find faults at all.

To add a fault, or something that an operator does: a method of ``cluster.Cluster`` (what it does to the world; end it
in ``repair``, if it lasts), a function in ``kinds`` that puts it into the timeline of a seed (``m.do(at, "method",
…)``), and its name in ``kinds.KINDS``. A hand-written scenario names the method in its ``timeline``. A new rule: a
name in ``checkers``, and a call of ``world.broken`` where the truth shows that it does not hold.
"""
