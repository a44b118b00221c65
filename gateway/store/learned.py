"""Secrets that senders choose in a handshake: where a store keeps them, and when one is accepted."""

from typing import TYPE_CHECKING, Final, Protocol

from gateway.model import Secret

if TYPE_CHECKING:
    from gateway.store.base import Store

#: A secret that comes in a handshake is accepted for this long after somebody said that it will, seconds.
EXPECTED_S: Final = 600.0
#: Seconds between two looks whether somebody has.
AGAIN_S: Final = 1.0


class LearnedSecrets(Protocol):
    """The secrets by source. What one replica has kept, every replica finds from then on."""

    async def of(self, source: str) -> tuple[Secret, ...]:
        """What the sender of a source has chosen, the newest first. Raises StoreUnavailable."""

    async def add(self, source: str, secret: Secret) -> None:
        """Keep another one, durable on return; one that is known stays as it is. Raises StoreUnavailable."""


class Expected:
    """Whether somebody has said that a sender is about to choose its secret."""

    def __init__(self) -> None:
        #: When nobody had, by source: strangers must not make the store look all the time.
        self._unexpected: dict[str, float] = {}

    async def is_expected(self, store: "Store", source: str, now: float) -> bool:
        """Whether somebody has run ``gateway handshake`` for a source within the last ten minutes. Raises StoreError."""
        if 0 <= now - self._unexpected.get(source, -AGAIN_S) < AGAIN_S:
            return False
        before, is_over = "", False
        while not is_over:
            page = await store.activities(before=before)
            recent = [each for each in page.rows if 0 <= now - each.at <= EXPECTED_S]
            if any(each.verb == "handshake" and each.subject == source for each in recent):
                return True
            before, is_over = page.next, len(recent) < len(page.rows) or not page.next
        self._unexpected[source] = now
        return False
