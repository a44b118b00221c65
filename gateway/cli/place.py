"""Where a verb looks and acts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.surroundings import loaded

if TYPE_CHECKING:
    from gateway.routing import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A gateway, or its store and its file when none runs."""

    #: Admin address; "": the usual one, and the store when no gateway runs there.
    url: str
    store: str
    config: Path

    def loaded(self) -> "Config":
        """The file, with made-up values for unset variables. Raises ConfigError."""
        return loaded(self.config, no_env=True)
