"""The demonstration: two nodes on this machine, a group of real processes, a planned switch and a power cut."""
