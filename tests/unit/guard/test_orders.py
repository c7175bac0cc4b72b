"""Last wills as they are told to the guard."""

import os
import pwd
from typing import Any

import pytest

from failoverd.guard.orders import looks_up, order
from failoverd.ports import AddressWill, CommandWill, Detached, MarkWill, RunRequest


def command(**more: Any) -> CommandWill:
    return CommandWill(request=RunRequest(argv=("stop", "it"), env={"A": "1"}, timeout_s=5.0, **more))


def test_a_command_goes_with_all_that_it_needs() -> None:
    made = order(command(cwd="/srv"))
    assert (made["argv"], made["env"], made["cwd"], made["timeout_s"]) == (["stop", "it"], {"A": "1"}, "/srv", 5.0)
    assert made["uid"] is None
    assert made["gid"] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_user_is_looked_up_beforehand() -> None:
    account = pwd.getpwnam("nobody")
    will = command(user="nobody")
    assert looks_up(will)
    made = order(will)
    assert (made["uid"], made["gid"]) == (account.pw_uid, account.pw_gid)
    assert made["env"]["HOME"] == account.pw_dir
    assert made["groups"] == os.getgrouplist("nobody", account.pw_gid)


@pytest.mark.parametrize("more", [{"user": "no-such-user"}, {"group": "no-such-group"}])
def test_who_does_not_exist_is_named(more: dict[str, str]) -> None:
    with pytest.raises(LookupError, match="no-such-"):
        order(command(**more))


def test_a_mark_goes_with_the_process_once_it_is_known() -> None:
    assert order(MarkWill(mark="M=a/"))["pid"] == 0
    made = order(MarkWill(mark="M=a/", main=Detached(pid=42, start_ticks=7, boot_id="x")))
    assert (made["mark"], made["pid"], made["ticks"]) == ("M=a/", 42, 7)
    assert order(MarkWill(mark="M=a/", cgroups=("/cg/a",)))["cgroups"] == ["/cg/a"]


def test_no_will_is_told_too() -> None:
    assert order(None) == {"kind": "none"}
    assert not looks_up(None)


def test_an_address_goes_as_it_is() -> None:
    will = AddressWill(address="10.0.0.1", prefix=24, interface=None, timeout_s=3.0)
    assert order(will) == {
        "kind": "address",
        "address": "10.0.0.1",
        "prefix": 24,
        "interface": None,
        "timeout_s": 3.0,
    }
    assert not looks_up(will)
