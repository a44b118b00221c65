"""Metrics and log lines of the gateway: ``telemetry.log(...)``, ``telemetry.EVENTS_RECEIVED.of(...)``.

Every metric is declared in ``metrics``, every log line in ``lines``, and nowhere else. Labels are names of the
configuration in force, ``other``, or one of a few fixed words. Bodies, secrets and URL queries are never fields.
"""

import importlib
from typing import TYPE_CHECKING

from gateway.telemetry.logs import configure_log, flush_log, hide_in_log, is_for_people, log, say
from gateway.telemetry.spans import Span

__all__ = ["Span", "configure_log", "flush_log", "hide_in_log", "is_for_people", "log", "say"]

if TYPE_CHECKING:
    from gateway.telemetry.metrics import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        """Load the metrics at their first use: commands that only look never load prometheus_client."""
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(importlib.import_module("gateway.telemetry.metrics"), name)
        globals()[name] = found
        return found
