"""The kinds of destination. To add one: a module here and an entry in ``KINDS``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations.base import Kind, Parts, Target
from gateway.destinations.file import FILE
from gateway.destinations.http import HTTP
from gateway.destinations.slack import SLACK

#: By their ``type`` in routes.yaml.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({"http": HTTP, "slack": SLACK, "file": FILE})

__all__ = ["KINDS", "Kind", "Parts", "Target"]
