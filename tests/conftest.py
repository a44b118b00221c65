"""Settings for every test."""

import signal

import pytest
from hypothesis import HealthCheck, settings

from tests import postgres

# The speed of an example says more about the machine's other users than about the code.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")

# Tests run in the background of a shell ignore Ctrl-C, and the programs that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def database():
    """The URL of a new PostgreSQL database, without tables."""
    with postgres.database() as url:
        yield url
