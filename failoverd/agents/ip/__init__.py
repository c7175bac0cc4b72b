"""The ``ip`` type: an address, IPv4 or IPv6, through netlink.

- ``params``: its parameters; ``type``: its entry in the table of types;
- ``agent``: the operations, and the events of links and addresses;
- ``sight``: what is configured on this machine, and what that means.
"""
