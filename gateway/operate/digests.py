"""When the digests are due that send an event together with others."""

from collections.abc import Mapping

from gateway.model import DeliveryState
from gateway.store import Reads
from gateway.store.queries import DeliveryQuery, EventHistory


async def due_s(reads: Reads, history: EventHistory) -> Mapping[str, float]:
    """By digest, the seconds until it is due: of those that pending deliveries of an event wait in. Raises StoreUnavailable."""
    pending = (each for each in history.deliveries if each.is_member and each.state is DeliveryState.PENDING)
    heads = tuple(dict.fromkeys(each.digest for each in pending))
    rows = (await reads.deliveries(DeliveryQuery(ids=heads))).rows if heads else ()
    return {each.id: each.due_in_s for each in rows if each.id in heads and each.due_in_s is not None}
