"""The ``mount`` type: a file system on a device, in an image, from a server, in memory, or a directory once more.

- ``params``: its parameters; ``type``: its entry in the table of types;
- ``agent``: the operations; ``programs``: the programs that they run, each with a deadline, so that a dead device or
  server hangs none but them;
- ``busy``: what is done about processes that hold it.
"""
