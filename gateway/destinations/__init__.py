"""The kinds of destination. To add one: a module here and an entry in ``KINDS``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations.discord import DISCORD
from gateway.destinations.file import FILE
from gateway.destinations.googlechat import GOOGLECHAT
from gateway.destinations.http import HTTP
from gateway.destinations.kind import Kind, Option
from gateway.destinations.slack import SLACK
from gateway.destinations.target import NO_JSON, Answer, Parts, Target
from gateway.destinations.teams import TEAMS
from gateway.destinations.telegram import TELEGRAM

#: By their ``type`` in routes.yaml.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {kind.name: kind for kind in (HTTP, SLACK, DISCORD, TEAMS, GOOGLECHAT, TELEGRAM, FILE)}
)

__all__ = ["KINDS", "NO_JSON", "Answer", "Kind", "Option", "Parts", "Target"]
