"""The ``systemd`` type: a unit, over D-Bus (org.freedesktop.systemd1(5)).

- ``params``: its parameters; ``type``: its entry in the table of types;
- ``agent``: the operations; ``state``: what a unit's state means;
- ``manager``: the one connection to systemd that all components share: calls, jobs' results, changes of units;
- ``dropin``: what systemd is told about a unit that failoverd manages.
"""
