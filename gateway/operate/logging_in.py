"""A person has logged in for a destination: the login is kept, and what waited for it goes out."""

from collections.abc import Sequence

from gateway.errors import BadRequest, UnknownName
from gateway.holds import Holds
from gateway.oauth.exchange import LONGEST_TOKEN, is_token
from gateway.operate import said
from gateway.process import Gateway
from gateway.store.holds import ITSELF
from gateway.wording import printable, suggest_or_list


async def log_in(gateway: Gateway, holds: Holds, name: str, refresh_token: str, *, by: str) -> Sequence[str]:
    """Keep the refresh token of a login, and send to every destination that uses it again; their names.

    Raises UnknownName, BadRequest, or StoreUnavailable.
    """
    destinations = gateway.config.destinations
    if name not in destinations:
        hint = suggest_or_list(name[:100], destinations)
        raise UnknownName(f"unknown destination {printable(name[:100])}  ({hint})")
    oauth = destinations[name].oauth
    if oauth is None or not oauth.is_kept:
        raise BadRequest(f"{name} keeps no login: its auth has no oauth2 with a refresh token")
    if not is_token(refresh_token):
        raise BadRequest(f"refresh_token: it must be 1 to {LONGEST_TOKEN:,} printable ASCII characters without spaces")
    by = said.by(by)
    await gateway.tokens.log_in(oauth, refresh_token, by=by)
    await gateway.note("login", name, by=by)
    same = [each.name for each in destinations.values() if each.oauth and each.oauth.login_id == oauth.login_id]
    for each in same:
        await _free(holds, each, by=by)
    return same


async def _free(holds: Holds, name: str, *, by: str) -> None:
    """End what the lack of a login has brought about."""
    standing = holds.standing(name)
    if standing.paused is not None and standing.paused.by == ITSELF:
        await holds.resume(name, by=by)
    elif standing.circuit != "closed":
        await holds.try_now(name, by=by)
