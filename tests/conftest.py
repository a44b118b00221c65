"""Settings for every test."""

import signal

import pytest
from hypothesis import HealthCheck, settings

from gateway import telemetry
from gateway.store.postgres import connections
from tests import postgres

# The speed of an example says more about the machine's other users than about the code.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")

# On a machine that runs tests a server takes longer to start a process than where it has a machine to itself.
connections.CONNECT_S = 5.0

# Tests run in the background of a shell ignore Ctrl-C, and the programs that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path, config):
    """Of all files, a run of the slow tests imports those that have one: the others take each worker 20 seconds."""
    if config.option.markexpr == "slow" and collection_path.suffix == ".py":
        return "mark.slow" not in collection_path.read_text("utf-8") or None
    return None


@pytest.fixture
def database():
    """The URL of a new PostgreSQL database, without tables."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def logged(monkeypatch):
    """The lines that are logged instead of being written: the name and the fields of each."""
    lines = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: lines.append((name, fields)))
    return lines
