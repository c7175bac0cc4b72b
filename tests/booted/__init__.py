"""failoverd under a real systemd: a machine is booted in a container (systemd-nspawn) over this one's own files."""
