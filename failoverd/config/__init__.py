"""Configuration: from YAML files to one frozen ``Config``, or to every fault of every file with its place.

The stages run downwards, each in modules of its own:

- ``source`` reads the file and what it includes (``compose`` makes a positioned ``tree`` of each) and merges them;
- ``findings`` validates pieces of the tree with the pydantic models of ``document``; what fails becomes a ``fault``,
  worded by ``messages``;
- ``nodes``, ``groups``, ``components``, ``coordinator`` check what no piece can tell alone: references, cycles,
  inequalities;
- ``reader`` has ``check`` and ``load``, which put it all together into the dataclasses of ``settings``.

Beside them: ``schema`` (JSON Schema for editors), ``diff`` (what a reload changes) and ``peek`` (the one setting that
the command line needs, without pydantic). This ``__init__`` imports nothing for the same reason: start-up time.
"""
