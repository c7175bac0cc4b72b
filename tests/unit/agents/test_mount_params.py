"""What an administrator is told of a ``mount`` component, and where."""

from pathlib import Path

import pytest

from failoverd.agents.mount.params import MountParams
from tests.unit.agents.configured import faults, report, warnings


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("directory: /srv, device: /dev/sda1, options: [loop]", "70: 'options': 'loop' is decided by failoverd itself"),
        ("directory: /srv, device: /dev/sda1, options: 7", "70: 'options': must be mount options"),
        ("directory: /srv, device: /dev/sda1, options: 'a b'", "'a b' is no mount option"),
        ("directory: srv, device: /dev/sda1", "36: 'directory': must be an absolute path"),
        ("directory: //, device: /dev/sda1", "36: 'directory': nothing is mounted on the root directory"),
        ("directory: /srv", "needs a 'device' (or 'fstype: tmpfs')"),
        ("directory: /srv, fstype: ext4", "'device' is missing"),
        ("directory: /srv, device: sda1", "device must be a path, UUID=…, LABEL=…, host:/path or //host/share"),
        ("directory: /srv, device: 'nas:/srv'", "a network file system needs its 'fstype', as nfs or cifs"),
        ("directory: /srv, device: /srv/, fstype: bind", "device and directory are the same"),
        ("directory: /srv, fstype: tmpfs, busy: {signal: hup}", "'signal'"),
        ("directory: /srv, fstype: tmpfs, busy: {lasy: true}", "unknown key 'lasy' (did you mean 'lazy'?)"),
        ("directory: /srv, fstype: EXT4, device: /dev/sda1", "'fstype'"),
        ("directory: /srv, fstype: tmpfs, test: deep", "'test'"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path: Path, keys: str, said: str) -> None:
    found = faults(tmp_path, f"{{type: mount, {keys}}}")
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"device": "/dev/vg/shop", "fstype": "ext4"}, "block"),
        ({"device": "UUID=12-34"}, "block"),
        ({"device": "/var/lib/shop.img", "fstype": "ext4"}, "image"),
        ({"device": "/srv/a", "fstype": "bind"}, "bind"),
        ({"device": "/srv/a", "options": ["rbind"]}, "bind"),
        ({"device": "nas:/srv", "fstype": "nfs"}, "network"),
        ({"device": "//nas/share", "fstype": "cifs"}, "network"),
        ({"device": "a,b,c:/", "fstype": "ceph"}, "network"),
        ({"fstype": "tmpfs"}, "virtual"),
    ],
)
def test_the_kind_is_told_by_how_the_device_is_written(keys: dict[str, object], kind: str) -> None:
    params = MountParams.model_validate({"directory": "/srv", **keys})
    assert params.kind == kind
    assert MountParams.model_validate(params.model_dump(mode="json", by_alias=True)) == params


def test_what_is_not_there_now_is_a_warning(tmp_path: Path) -> None:
    said = warnings(tmp_path, "{type: mount, directory: /srv/x, device: /dev/no-such, fstype: vfat, fsck: always}")
    assert any("/dev/no-such is no block device on this machine now" in line for line in said)
    said = warnings(tmp_path, "{type: mount, directory: /srv/x, device: 'nas:/x', fstype: glusterfs}")
    assert any("mount.glusterfs is not installed" in line for line in said)


def test_options_are_a_text_or_a_list(tmp_path: Path) -> None:
    for options in ("'noatime, nodev'", "[noatime, nodev]"):
        config = report(tmp_path, f"{{type: mount, directory: /srv//x/, fstype: tmpfs, options: {options}}}").config
        assert config is not None
        params = config.groups["g"].components["it"].params
        assert (params["options"], params["directory"]) == (["noatime", "nodev"], "/srv/x")
