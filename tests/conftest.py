"""What all tests share: the choice of the event loop (see ``tests.virtual``)."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.virtual import VirtualClock, VirtualLoop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual: runs on the virtual clock of tests.virtual")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One loop for each test: virtual where it is marked so, else asyncio's own."""
    del config
    if item.get_closest_marker("virtual") is not None:
        return {"virtual": VirtualLoop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """The clock of a test that is marked ``virtual``."""
    return VirtualClock()
