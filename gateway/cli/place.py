"""Where a verb looks and acts: a running gateway, or its store if none is running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from gateway.cli.answers import Answers
from gateway.cli.client import NobodyListens
from gateway.cli.online import Online
from gateway.cli.surroundings import loaded

if TYPE_CHECKING:
    from gateway.routing import Config

Answer = TypeVar("Answer")


class Place(Struct, frozen=True, kw_only=True):
    """A gateway with its store and its file."""

    #: Admin address; "": the usual one, or the store if no gateway runs there.
    url: str
    store: str
    config: Path

    def ask(self, question: Callable[[Answers], Answer]) -> Answer:
        """What the running gateway answers, or the store if none is running. Raises GatewayError."""
        try:
            return question(Online(self.url))
        except NobodyListens:
            with self.offline() as answers:
                return question(answers)

    @contextmanager
    def offline(self) -> Iterator[Answers]:
        """The store itself, opened to read. Raises StoreError."""
        from gateway.cli.offline import Offline

        with Offline.opened(self.store, self.loaded, has_file=self.config.exists()) as answers:
            yield answers

    def loaded(self) -> "Config":
        """The file, with made-up values for unset variables. Raises ConfigError."""
        return loaded(self.config, no_env=True)
