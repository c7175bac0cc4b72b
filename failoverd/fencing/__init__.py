"""Switching nodes off with the agents of the fence-agents project, and whatever else speaks their interface.

The interface (fence-agents, doc/FenceAgentAPI.md): the agent reads ``name=value`` lines from its standard input, among
them ``action=off|status|monitor|metadata``; its exit status 0 is success; of ``status``, 0 is on and 2 is off.
"""
