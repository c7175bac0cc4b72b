"""What a resource agent sees (OCF Resource Agent API 1.1, sections 3.1 and 3.2), and what those of the resource-agents
package expect beyond it, which Pacemaker sets (``OCF_RESKEY_CRM_meta_*``).
"""

from dataclasses import dataclass
from pathlib import Path

from failoverd.agents.commands import CommandKeys, environment, search_path
from failoverd.agents.ocf.codes import REASON
from failoverd.agents.ocf.finder import Name
from failoverd.agents.ocf.params import PREFIX, OcfKeys
from failoverd.ports import Call

TOOLS = Path(__file__).parent / "tools"
"""Stand-ins for the cluster manager's commands: found before all others."""
_FEATURE_SET = "3.16.2"
"""Of Pacemaker 2.1.5: from 3.10.0 on, agents set promotion scores by ``crm_attribute --promotion``."""
_INTERVAL_MS = 10_000
"""What a monitor of something that is online is told; the configuration's own interval is no affair of the agent's.
0 says that it is a probe: whether it is there is not known (``ocf_is_probe`` of ocf-shellfuncs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is called, and for what."""

    name: Name
    path: Path
    root: Path
    """OCF_ROOT."""
    keys: OcfKeys
    node: str
    instance: str
    run_dir: Path

    @property
    def state(self) -> Path:
        """HA_RSCTMP, where agents keep what they must find again: gone after a boot."""
        return self.run_dir / "ocf" / "state"

    @property
    def attributes(self) -> Path:
        """Where the stand-ins keep attributes."""
        return self.run_dir / "ocf" / "attributes"

    def make_directories(self) -> None:
        """Raises OSError."""
        for directory in (self.state, self.attributes):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)


def instance_of(keys: OcfKeys, group: str, component: str) -> str:
    """Unique on this node: a dot within the group's name is doubled, and no component's name begins with one."""
    return keys.instance or f"{group.replace('.', '..')}.{component}"


def ocf_environment(subject: Subject, call: Call) -> dict[str, str]:
    """Of every action alike; ``action_environment`` adds the rest."""
    name, keys = subject.name, subject.keys
    common = CommandKeys(env=keys.env)
    return environment(call, common) | {
        "PATH": f"{TOOLS}:{search_path(common)}",
        "OCF_ROOT": str(subject.root),
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": subject.instance,
        "OCF_RESOURCE_TYPE": name.agent,
        "OCF_RESOURCE_PROVIDER": name.provider,
        "OCF_CHECK_LEVEL": str(keys.check_level),
        "OCF_EXIT_REASON_PREFIX": REASON,
        "OCF_RESKEY_crm_feature_set": _FEATURE_SET,
        "OCF_RESKEY_CRM_meta_on_node": subject.node,
        "HA_RSCTMP": str(subject.state),
        "HA_SBIN_DIR": str(TOOLS),
        "HA_LOGFACILITY": "none",
        "HA_debug": "0",
        "FAILOVERD_OCF_ATTRIBUTES": str(subject.attributes),
        **{f"{PREFIX}{parameter}": value for parameter, value in keys.params.given().items()},
        **(_PROMOTABLE if keys.promoted else {}),
    }


_PROMOTABLE = {
    f"{PREFIX}CRM_meta_{key}": value
    for key, value in {
        "promotable": "true",
        "promoted_max": "1",
        "promoted_node_max": "1",
        "master_max": "1",
        "master_node_max": "1",
        "clone": "0",
        "clone_max": "2",
        "clone_node_max": "1",
        "globally_unique": "false",
        "notify": "false",
        "interleave": "true",
    }.items()
}
"""One instance on each node, of which one is promoted."""


def action_environment(action: str, timeout_s: float, *, probing: bool) -> dict[str, str]:
    """What differs from action to action."""
    recurring = action == "monitor" and not probing
    return {
        "OCF_RESKEY_CRM_meta_name": action,
        "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
        "OCF_RESKEY_CRM_meta_interval": str(_INTERVAL_MS if recurring else 0),
    }
