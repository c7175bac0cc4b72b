"""failoverd: a failover daemon whose handovers are pipelined."""

__version__ = "0.1.0"
