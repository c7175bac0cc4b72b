"""Coming online includes getting healthy, where a component has a health check."""

from collections.abc import Awaitable, Callable

import anyio

from failoverd.domain.model import HealthCheck
from failoverd.ports import Health, Presence, Probe

_FIRST_PAUSE_S = 0.02
_PAUSE_MAX_S = 0.5
_PAUSE_SHARE = 0.1
"""Of the time that it has taken so far: asking late makes no component's online longer by more than this."""
_PROBE_EVERY_S = 5.0
"""While it is not healthy, whether it is still there at all."""


async def until_healthy(
    check: HealthCheck, ask: Callable[[], Awaitable[Health]], probe: Callable[[], Awaitable[Probe]], limit_s: float
) -> str:
    """Return once the check has succeeded ``rise`` times in a row: empty; or why that is past waiting for."""
    began, why = anyio.current_time(), "not asked yet"
    successes, probe_at = 0, began + _PROBE_EVERY_S
    with anyio.move_on_after(limit_s):
        while True:
            health = await ask()
            successes = successes + 1 if health.healthy else 0
            if successes >= check.rise:
                return ""
            why = why if health.healthy else health.detail
            now = anyio.current_time()
            if not health.healthy and now >= probe_at:
                found = await probe()
                if found.presence in (Presence.OFFLINE, Presence.FAILED):
                    return f"{check.name}: {why}; it is {found.presence} again {found.detail}".rstrip()
                probe_at = now + _PROBE_EVERY_S
            await anyio.sleep(min(max(_FIRST_PAUSE_S, _PAUSE_SHARE * (now - began)), _PAUSE_MAX_S))
    return f"{check.name}: not healthy within {limit_s:.3g} s: {why}"
