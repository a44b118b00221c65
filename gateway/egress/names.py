"""Names to addresses: each name looked up in a thread of its own, its last answer kept, every address of it checked.

uvloop's own look-up does two at a time, and a pool's threads are waited for when the process ends.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from msgspec import Struct

from gateway.egress.addresses import Address
from gateway.egress.door import Guard
from gateway.egress.faults import NO_SUCH_NAME, NameNotResolved
from gateway.errors import AddressBlocked, ConnectFailed

#: How long an answer is used before its name is looked up again, seconds: the system's resolver reports no lifetime.
NAMES_KEPT_S: Final = 30.0
#: How long a lookup may take before the name's last answer is used instead, seconds (RFC 8767, 5: 1.8 at most).
PATIENCE_S: Final = 1.0
#: How old an answer may become while the resolver gives no other one, seconds (RFC 8767, 5: one to three days).
LAST_ANSWER_KEPT_S: Final = 86_400.0
#: Lookups in flight, each of another name. A thread that waits for its answer takes about 25 KiB.
MOST_LOOKUPS: Final = 256
#: How many of them may be of names that can do without, or that had no answer the last time: the others go first.
MOST_LESS_URGENT: Final = 128
#: Names whose last answer is kept.
MOST_NAMES: Final = 1_024
#: Addresses of one name: to check these takes about 20 ms.
MOST_ADDRESSES: Final = 1_024

_Kept = TypeVar("_Kept")

_NUMERIC: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


async def looked_up(host: str) -> list[str]:
    """The addresses of a name in digits, in the system's order; socket.gaierror if it has none."""
    found: Future[list[str]] = Future()
    # From here on nothing but its thread ends it, not even a caller who has gone.
    found.set_running_or_notify_cancel()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, 0, 0, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found.set_result(list(dict.fromkeys(socket.getnameinfo(info[4], _NUMERIC)[0] for info in infos)))
        except UnicodeError:
            found.set_exception(ConnectFailed("name not found"))
        except Exception as error:  # noqa: BLE001  for the caller to explain
            found.set_exception(error)

    try:
        threading.Thread(target=look_up, name=f"lookup {host}", daemon=True).start()
    except RuntimeError:
        raise NameNotResolved(f"{host} was not looked up: the system allows this process no more threads") from None
    addresses = await asyncio.wrap_future(found)
    if len(addresses) > MOST_ADDRESSES:
        raise NameNotResolved(f"{host} has {len(addresses)} addresses, more than {MOST_ADDRESSES}: use another name")
    return addresses


class Answer(Struct, frozen=True, eq=False):
    """What the resolver said of a name; nothing in it is checked. Times are seconds on the monotonic clock."""

    addresses: list[str]
    answered_at: float
    #: Until when it is used without another lookup.
    fresh_until: float


class Lookup(Struct, frozen=True, eq=False):
    """A lookup in flight."""

    task: asyncio.Task[Answer]
    began_at: float


class Names:
    """The last answers for names, for whatever door. One lookup per name is in flight, however many ask for it."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        look_up: Callable[[str], Awaitable[list[str]]] = looked_up,
    ) -> None:
        self._monotonic = monotonic
        self._look_up = look_up
        #: The name that was looked up longest ago first.
        self._kept: dict[str, Answer] = {}
        #: Names whose last lookup got no answer, not even that there is no such name.
        self._unanswered: dict[str, None] = {}
        self._lookups: dict[str, Lookup] = {}

    def fresh(self, host: str) -> Answer | None:
        """The answer of the last NAMES_KEPT_S seconds."""
        kept = self._kept.get(host)
        return kept if kept is not None and kept.fresh_until > self._monotonic() else None

    async def resolve(self, host: str) -> Answer:
        """The resolver's answer; the last one while it is silent or fails.

        Raises socket.gaierror, or NameNotResolved if there is no last answer and too many other names wait for theirs.
        """
        fresh = self.fresh(host)
        if fresh is not None:
            return fresh
        last, lookup = self._last(host), self._lookup(host)
        if last is not None:
            return last if lookup is None else await self._in_time(lookup, last)
        if lookup is None:
            raise NameNotResolved(
                f"{host} was not looked up: the resolver has yet to answer for {len(self._lookups)} other names; "
                "check the servers in /etc/resolv.conf"
            )
        # The lookup outlives an attempt whose time is up, so that the next one finds its answer.
        return await asyncio.shield(lookup.task)

    def forget(self, host: str, answer: Answer) -> None:
        """Never use this answer again, not even while the resolver is silent."""
        if self._kept.get(host) is answer:
            del self._kept[host]

    async def close(self) -> None:
        """Stop waiting for lookups; their threads end by themselves."""
        for lookup in list(self._lookups.values()):
            lookup.task.cancel()

    async def _in_time(self, lookup: Lookup, last: Answer) -> Answer:
        await asyncio.wait([lookup.task], timeout=max(lookup.began_at + PATIENCE_S - self._monotonic(), 0))
        return lookup.task.result() if lookup.task.done() else last

    def _last(self, host: str) -> Answer | None:
        kept = self._kept.get(host)
        if kept is not None and kept.answered_at + LAST_ANSWER_KEPT_S <= self._monotonic():
            self.forget(host, kept)
            return None
        return kept

    def _lookup(self, host: str) -> Lookup | None:
        """The lookup of a name, begun now unless it is in flight; None while there are too many others."""
        lookup = self._lookups.get(host)
        is_urgent = host not in self._kept and host not in self._unanswered
        if lookup is None and len(self._lookups) < (MOST_LOOKUPS if is_urgent else MOST_LESS_URGENT):
            task = asyncio.create_task(self._ask(host))
            task.add_done_callback(_seen)
            lookup = self._lookups[host] = Lookup(task, self._monotonic())
        return lookup

    async def _ask(self, host: str) -> Answer:
        try:
            addresses = await self._look_up(host)
        except (OSError, NameNotResolved) as error:
            return self._without_answer(host, error)
        finally:
            del self._lookups[host]
        self._unanswered.pop(host, None)
        now = self._monotonic()
        return _last_put(self._kept, host, Answer(addresses, answered_at=now, fresh_until=now + NAMES_KEPT_S))

    def _without_answer(self, host: str, error: Exception) -> Answer:
        """The last answer, for as long as a new one is kept. Raises the error if there is none, or may be none any more."""
        if isinstance(error, socket.gaierror) and error.errno in NO_SUCH_NAME:
            self._unanswered.pop(host, None)
            self._kept.pop(host, None)
            raise error
        _last_put(self._unanswered, host, None)
        last = self._last(host)
        if last is None:
            raise error
        again_at = self._monotonic() + NAMES_KEPT_S
        return _last_put(self._kept, host, Answer(last.addresses, last.answered_at, fresh_until=again_at))


def _last_put(names: dict[str, _Kept], host: str, value: _Kept) -> _Kept:
    """Keep a value of the MOST_NAMES names that were looked up last."""
    names.pop(host, None)
    names[host] = value
    if len(names) > MOST_NAMES:
        del names[next(iter(names))]
    return value


def _seen(task: asyncio.Task[Answer]) -> None:
    if not task.cancelled():
        task.exception()


class Resolved(Struct, frozen=True, eq=False):
    """The addresses of one name and port that a guard has let pass."""

    #: As libcurl's ``RESOLVE`` reads it: ``+host:port:address,address``.
    entry: str
    #: What was checked, and against which listeners.
    answer: Answer
    bound: frozenset[tuple[Address, int]]


class Addresses:
    """The addresses of names behind one guard, which has checked every one of them."""

    def __init__(self, names: Names, guard: Guard) -> None:
        self._names = names
        self._guard = guard
        self._passed: dict[tuple[str, int], Resolved] = {}

    async def resolve(self, host: str, port: int) -> Resolved:
        """The checked addresses of a name. Raises AddressBlocked if any one of them is forbidden, or as Names.resolve does."""
        answer = self._names.fresh(host) or await self._names.resolve(host)
        found = self._passed.get((host, port))
        if found is None or found.answer is not answer or found.bound is not self._guard.listeners.bound:
            found = self._checked(host, port, answer)
        return found

    def _checked(self, host: str, port: int, answer: Answer) -> Resolved:
        bound = self._guard.listeners.bound
        try:
            self._guard.resolved(host, port, answer.addresses)
        except AddressBlocked:
            # Whoever corrects the name is heard at the next attempt.
            self._names.forget(host, answer)
            raise
        if len(self._passed) >= MOST_NAMES:
            self._passed.clear()
        written = ",".join(f"[{each}]" if ":" in each else each for each in answer.addresses)
        found = self._passed[host, port] = Resolved(f"+{host}:{port}:{written}", answer, bound)
        return found
