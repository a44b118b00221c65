"""Keys and certificates of senders, fetched through the door and kept: what a signature is checked with.

A failed look changes nothing: what is known stays known. Imported on first use.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from gateway import telemetry
from gateway.egress.client import client
from gateway.egress.door import Door
from gateway.errors import EgressError

if TYPE_CHECKING:
    from gateway.egress import Egress

#: Seconds between two looks at one address, whatever senders ask for.
BETWEEN_LOOKS_S: Final = 60.0
#: Looks in that time at addresses that senders name: they can name as many as they like.
MOST_LOOKS: Final = 20
TIMEOUT_S: Final = 5.0
#: A document's bytes.
LONGEST: Final = 262_144
#: Documents that are kept; the oldest one goes.
MOST_KEPT: Final = 256


class Documents:
    """What is at the addresses that senders' keys and certificates have, as of the last successful look."""

    def __init__(self, egress: "Egress", clock: Callable[[], float] = time.monotonic) -> None:
        self._egress = egress
        self._clock = clock
        self._known: dict[str, bytes] = {}
        #: By address: when it was last looked at.
        self._looked: dict[str, float] = {}
        self._recent: deque[float] = deque()
        self._looking: dict[str, asyncio.Task[None]] = {}

    @property
    def known(self) -> Mapping[str, bytes]:
        """By address."""
        return self._known

    def age_s(self, url: str) -> float:
        """Seconds since the last look; infinite if there was none."""
        return self._clock() - self._looked[url] if url in self._looked else float("inf")

    async def look(self, url: str, door: Door, *, is_own: bool = True) -> None:
        """Fetch a document, unless somebody did within a minute; several who ask at once wait for one look.

        ``is_own``: the operator wrote the address, not a sender.
        """
        looking = self._looking.get(url)
        if looking is None:
            if self.age_s(url) < BETWEEN_LOOKS_S or not (is_own or self._may_look()):
                return
            self._looked[url] = self._clock()
            looking = self._looking[url] = asyncio.create_task(self._fetch(url, door))
            looking.add_done_callback(lambda _: self._looking.pop(url, None))
        # Whoever asked first may have hung up; the others still wait for it.
        await asyncio.shield(looking)

    def _may_look(self) -> bool:
        now = self._clock()
        while self._recent and self._recent[0] <= now - BETWEEN_LOOKS_S:
            self._recent.popleft()
        if len(self._recent) >= MOST_LOOKS:
            return False
        self._recent.append(now)
        for url in [
            each for each, at in self._looked.items() if at <= now - BETWEEN_LOOKS_S and each not in self._known
        ]:
            del self._looked[url]
        return True

    async def _fetch(self, url: str, door: Door) -> None:
        try:
            async with client(self._egress, door=door, timeout_s=TIMEOUT_S, most=LONGEST) as http:
                answer = await http.get(url)
        except (EgressError, httpx.InvalidURL) as error:
            telemetry.log("source.keys_missing", host=_host(url), reason=str(error))
            return
        if answer.status_code != httpx.codes.OK or not answer.content:
            telemetry.log("source.keys_missing", host=_host(url), reason=f"answered {answer.status_code}")
            return
        self._known.pop(url, None)
        self._known[url] = answer.content
        if len(self._known) > MOST_KEPT:
            self._known.pop(next(iter(self._known)))


def _host(url: str) -> str:
    """What a log may say of an address."""
    return urlsplit(url).hostname or ""
