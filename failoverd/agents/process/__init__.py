"""The ``process`` type: a long-running command that outlives the daemon.

- ``type``: its parameters, and its entry in the table of types;
- ``agent``: the operations, in terms of what follows;
- ``place``: what keeps its processes together: a unit of systemd, a control group, or a session;
- ``start``: starting it there; ``unit``: by systemd;
- ``identity``: which process is the one that was started (pid, start time, boot), kept in a file;
- ``census``: what of an instance runs, by a walk through /proc that many components share;
- ``whole``: all that runs of it, by that walk and by its control groups;
- ``ending``: stopping and killing all of it;
- ``ready``, ``notify``: whether it is ready for work yet.

What belongs to an instance is known from its control group, and from its session and a mark in its environment: the
latter alone where there can be no control group, and for what has left it.
"""
