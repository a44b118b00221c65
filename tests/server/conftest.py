"""Servers with different deadlines."""

import pytest

from gateway.server import Limits
from tests.server.door import Door


@pytest.fixture(scope="module")
def door():
    with Door(Limits(linger_s=60.0)) as running:
        yield running


@pytest.fixture(scope="module")
def hasty():
    """Waits only a moment for headers."""
    with Door(Limits(header_deadline_s=0.3)) as running:
        yield running


@pytest.fixture(scope="module")
def brisk():
    """Waits only a moment for everything after the headers; lingers so that a refusal can be read."""
    with Door(Limits(body_deadline_s=0.3, keep_alive_s=0.2, linger_s=60.0, send_deadline_s=0.3)) as running:
        yield running
