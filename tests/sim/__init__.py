"""Whole clusters of the real node on virtual time, under seeded faults, judged from outside (see ``tests.sim.world``).

- ``loop``: an event loop for each daemon, stepped by the world: its own clock rate, pauses, a death at any point.
- ``world``: time, the queue of what is going to happen, and the trace of what has.
- ``network``, ``store``, ``components``: the fakes of the ports, and the truth behind them.
- ``checkers``: what must never happen. They read the world's record alone, and import nothing that they judge.
- ``scenario``: a cluster and a timeline of faults and commands: made from a seed, or written by hand as YAML.
- ``cluster``: daemons that are born, die, stall and come back; carries a scenario out.
- ``run``: one seed from its beginning to its verdict; ``mutants``: whether the checkers can find faults at all.
"""
