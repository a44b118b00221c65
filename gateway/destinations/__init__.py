"""The kinds of destination. To add one: a module here and an entry in ``KINDS``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations.cloudevents import CLOUDEVENTS
from gateway.destinations.discord import DISCORD
from gateway.destinations.email import EMAIL
from gateway.destinations.file import FILE
from gateway.destinations.googlechat import GOOGLECHAT
from gateway.destinations.http import HTTP
from gateway.destinations.kind import Kind, Option
from gateway.destinations.mattermost import MATTERMOST
from gateway.destinations.ntfy import NTFY
from gateway.destinations.pagerduty import PAGERDUTY
from gateway.destinations.rocketchat import ROCKETCHAT
from gateway.destinations.slack import SLACK
from gateway.destinations.target import NO_JSON, Answer, Parts, Target
from gateway.destinations.teams import TEAMS
from gateway.destinations.telegram import TELEGRAM
from gateway.destinations.twilio import TWILIO

#: By their ``type`` in routes.yaml.
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *(HTTP, SLACK, DISCORD, TEAMS, GOOGLECHAT, TELEGRAM, MATTERMOST, ROCKETCHAT),
            *(EMAIL, NTFY, PAGERDUTY, TWILIO, CLOUDEVENTS, FILE),
        )
    }
)

__all__ = ["KINDS", "NO_JSON", "Answer", "Kind", "Option", "Parts", "Target"]
