"""What a route looks up before it is sent: the answer as data, or why there is none. Pure."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.destinations.answers import json_of
from gateway.destinations.target import NO_JSON
from gateway.model import Dead, Delivered, Lookup, Reply, Retry, Verdict
from gateway.routing.config import NOTHING_LOOKED_UP
from gateway.routing.destinations import Destination
from gateway.wording import size

#: Bytes of an answer that templates can use. A longer one is not read to its end.
LONGEST_ANSWER: Final = 1024 * 1024
#: Seconds that a delivery may wait, in all, for its turns in the destinations that it looks in and in its own.
PATIENCE_S: Final = 30.0
#: The status that says that nothing was found.
NOT_FOUND: Final = 404


class Failed(Struct, frozen=True, kw_only=True):
    """A look-up without a usable answer: its delivery is not sent now."""

    verdict: Retry | Dead
    #: The verdict in one of a few words: a label of the attempt counter.
    word: str
    #: Where it looked.
    destination: str
    reply: Reply | None = None


class LookedUp(Struct, frozen=True, kw_only=True):
    """Everything that one attempt has looked up."""

    #: The answers by name: any JSON; null if nothing was found.
    values: Mapping[str, object] = NOTHING_LOOKED_UP
    lookups: tuple[Lookup, ...] = ()
    failed: Failed | None = None


NOTHING: Final = LookedUp()


def judged(destination: Destination, reply: Reply, now: float) -> Verdict:
    """What an answer to a look-up means; Delivered: ``value_of`` has it. A 404 is an answer, too. Total.

    ``now``: wall clock, seconds since the epoch.
    """
    if reply.status == NOT_FOUND:
        return Delivered()
    verdict = destination.kind.judge(destination.target, reply, now)
    if not isinstance(verdict, Delivered) or destination.target.is_inbox:
        return verdict
    if len(reply.body) > LONGEST_ANSWER:
        return Dead(f"answered more than {size(LONGEST_ANSWER)}: ask for less, by query or path")
    if reply.body.strip() and json_of(reply.body) is NO_JSON:
        return Retry(f"answered {reply.status}, but not with JSON")
    return verdict


def value_of(destination: Destination, reply: Reply) -> object:
    """The JSON of an answer that ``judged`` accepts; None: nothing was found."""
    if reply.status == NOT_FOUND or destination.target.is_inbox:
        return None
    value = json_of(reply.body)
    return None if value is NO_JSON else value


def about(name: str, destination: str, verdict: Verdict) -> Verdict:
    """A verdict that says which look-up it is about."""
    if isinstance(verdict, Delivered):
        return verdict
    return replace(verdict, reason=f"fetch {name}: {destination} {verdict.reason}")
