"""The operator's secrets for one source."""

from msgspec import Struct

from gateway.model import Secret


class KeyRefused(ValueError):
    """A secret cannot be the key of its scheme; the text says why, and never the secret."""


class Credential(Struct, frozen=True):
    """One secret of a source."""

    secret: Secret
    #: Seconds since the epoch from which it is no longer valid; None: always valid.
    until: float | None = None

    def is_past(self, now: float) -> bool:
        """Whether it is no longer valid."""
        return self.until is not None and now >= self.until
