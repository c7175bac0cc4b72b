"""``failoverd confirm-off``: an operator's word that a node is off."""

from typing import Any

from failoverd.domain.confirm_off import request_confirm_off
from failoverd.domain.operator import Denied
from failoverd.errors import CoordinatorUnavailable, Refused
from failoverd.runtime.node import Node

ATTEMPTS = 5
AGAIN_S = 0.02


async def confirm_off(node: Node, name: str, *, by: str) -> dict[str, Any]:
    """Raises ``Refused``: then nothing was changed, or it says that this is not known."""
    for _ in range(ATTEMPTS):
        answer = request_confirm_off(node.view_builder.build(node.clock.now()), name)
        if isinstance(answer, Denied):
            raise Refused(answer.text)
        try:
            if await node.fencing.confirm_off(answer, by=by):
                return {"version": 1, "node": name, "incarnation": answer.incarnation, "by": by}
        except CoordinatorUnavailable as error:
            node.contact.failed(str(error))
            raise Refused(f"whether it was noted is not known: {error}; look at: failoverd status") from error
        await node.clock.sleep_until(node.clock.now() + AGAIN_S)  # let the news of what changed arrive
    raise Refused(f"the records of {name} keep changing: it is not off")
