"""The ``process`` type: a long-running command that outlives the daemon.

- ``type``: its parameters, and its entry in the table of types;
- ``agent``: the operations, in terms of what follows;
- ``identity``: which process is the one that was started (pid, start time, boot), kept in a file;
- ``census``: what of an instance runs, by a walk through /proc that many components share;
- ``ending``: stopping and killing all of it;
- ``ready``: whether it is ready for work yet.

What belongs to an instance is known from its session and from a mark in its environment. A control group will know it
better: it then takes the place of ``census`` and ``ending``.
"""
