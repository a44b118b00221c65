"""A person says that a sender is about to choose its secret in a handshake."""

from typing import Final

from gateway.errors import BadRequest, UnknownName
from gateway.pipeline import Gateway
from gateway.store.learned import EXPECTED_S
from gateway.wording import printable, suggest_or_list

_LONGEST_BY: Final = 100


async def expect_secret(gateway: Gateway, name: str, *, by: str) -> float:
    """Accept the secrets that come in handshakes of a source for ten minutes; the time when that ends.

    Raises UnknownName, BadRequest, or StoreUnavailable.
    """
    source = gateway.config.sources.get(name)
    if source is None:
        hint = suggest_or_list(name[:100], gateway.config.sources)
        raise UnknownName(f"unknown source {printable(name[:100])}  ({hint})")
    if not source.learns:
        raise BadRequest(f"the sender of {name} does not choose its secret: its handshakes have no becomes: secret")
    if not by or len(by) > _LONGEST_BY or not by.isprintable():
        raise BadRequest(f"by: say who you are, in 1 to {_LONGEST_BY} printable characters")
    await gateway.note("handshake", name, by=by)
    return gateway.clock() + EXPECTED_S
