"""One request to a destination, and what its answer means: for the delivery itself, and for what its route looks up."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from gateway.destinations import answers, gates, retry
from gateway.destinations.gates import Learned
from gateway.egress import LONGEST_ANSWER
from gateway.hiding.masks import Hiding
from gateway.model import Delivered, OutboundRequest, Reply, Verdict
from gateway.process import Gateway
from gateway.routing import Destination


class Answered(Struct, frozen=True, kw_only=True):
    """The answer to one request, judged."""

    verdict: Verdict
    reply: Reply
    #: What it says about the destination.
    learned: Learned
    #: The verdict in one of a few words: a label of the attempt counter.
    word: str


def judged(destination: Destination, reply: Reply, now: float) -> Verdict:
    """What an answer to a delivery means. Total. ``now``: wall clock, seconds since the epoch."""
    return destination.kind.judge(destination.target, reply, now)


async def ask(
    gateway: Gateway,
    destination: Destination,
    request: OutboundRequest,
    *,
    delivery_id: str,
    hiding: Hiding,
    is_own_address: bool,
    judge: Callable[[Destination, Reply, float], Verdict] = judged,
    most: int = LONGEST_ANSWER,
) -> Answered:
    """Send one request for a delivery and judge the answer, of which at most ``most`` bytes are read. Raises EgressError.

    ``is_own_address``: path or query of the request was made from the event.
    """
    reply = await gateway.tokens.send(request, destination, most=most)
    with gateway.crash_slot.working_on(delivery_id):
        quotable = reply.quotable
        if (shown := hiding.answer(quotable)) is not quotable:
            reply = replace(reply, shown=shown)
        verdict = judge(destination, reply, gateway.clock())
        status = destination.kind.status_of(reply)
    verdict = retry.overridden(destination.retry, verdict, status, is_own_address=is_own_address)
    verdict = answers.obeyed(verdict, reply, is_own_address=is_own_address)
    disables = answers.asks(reply, answers.DISABLE)
    learned = gates.shown(status, verdict, is_own_address=is_own_address, disables=disables)
    return Answered(verdict=verdict, reply=reply, learned=learned, word=_word(status, verdict))


def _word(status: int, verdict: Verdict) -> str:
    if 200 <= status < 300 and not isinstance(verdict, Delivered):
        return "not_taken"
    return "429" if status == 429 else f"{status // 100}xx"
