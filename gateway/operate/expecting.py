"""A person says that a sender is about to choose its secret in a handshake."""

from gateway.errors import BadRequest, UnknownName
from gateway.operate import said
from gateway.pipeline import Gateway
from gateway.store.learned import EXPECTED_S
from gateway.wording import printable, suggest_or_list


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
    await gateway.note("handshake", name, by=said.by(by))
    return gateway.clock() + EXPECTED_S
