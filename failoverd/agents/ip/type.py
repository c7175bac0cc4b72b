"""The ``ip`` type's entry in the table of component types."""

from typing import ClassVar

from anyio import CapacityLimiter
from pydantic import BaseModel

from failoverd.agents.ip.agent import IpAgent
from failoverd.agents.ip.params import IpParams
from failoverd.kernel.announce import Announcer
from failoverd.kernel.netlink import Netlink
from failoverd.ports import Agent, AgentHost

_THREADS = 8


class IpType:
    """``ports.AgentType``. All its agents share a few threads, and a socket."""

    name = "ip"
    params: ClassVar[type[BaseModel]] = IpParams

    def __init__(self) -> None:
        self._threads = CapacityLimiter(_THREADS)
        self._announcer = Announcer()

    def prepares(self, params: BaseModel) -> bool:
        del params
        return False

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        own = _own(params)
        try:
            with Netlink() as netlink:
                if own.interface is not None:
                    if not any(link.name == own.interface for link in netlink.links().values()):
                        return ((("interface",), f"interface {own.interface} is not there on this machine"),)
                elif netlink.link_to(own.ip) is None:
                    message = f"no interface here reaches {own.ip} without a gateway: name one as 'interface'"
                    return ((("address",), message),)
        except OSError as error:
            return ((("address",), f"the kernel cannot be asked about interfaces: {error}"),)
        return ()

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        return IpAgent(_own(params), host, self._threads, self._announcer)


def _own(params: BaseModel) -> IpParams:
    if not isinstance(params, IpParams):
        raise TypeError(f"not the parameters of an ip component: {type(params).__name__}")
    return params
