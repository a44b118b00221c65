"""What is in force at run time: the Config that routes.yaml was compiled to, and how two of them differ."""

from gateway.routing.config import Config
from gateway.routing.destinations import Destination
from gateway.routing.entries import Entry
from gateway.routing.sources import Received, Source

__all__ = ["Config", "Destination", "Entry", "Received", "Source"]
