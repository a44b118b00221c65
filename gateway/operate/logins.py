"""A person logs in for a destination; and what there is to know of a login, never its tokens."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.errors import BadRequest, UnknownName
from gateway.holds import Holds
from gateway.oauth.exchange import LONGEST_TOKEN, is_token
from gateway.oauth.settings import OAuth
from gateway.oauth.tokens import Tokens, remedy
from gateway.pipeline import Gateway
from gateway.routing import Config
from gateway.store.base import Reads
from gateway.store.holds import ITSELF
from gateway.store.logins import Login
from gateway.wording import iso_time, printable, suggest_or_list

_LONGEST_BY: Final = 100


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
    if not by or len(by) > _LONGEST_BY or not by.isprintable():
        raise BadRequest(f"by: say who you are, in 1 to {_LONGEST_BY} printable characters")
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


async def with_logins(
    documents: Sequence[dict[str, Any]], config: Config, reads: Reads, tokens: Tokens | None = None
) -> Sequence[dict[str, Any]]:
    """Destinations as ``views.destination`` describes them, with the state of their logins.

    ``tokens``: those of this process, if it sends. Raises as the reads do.
    """
    wanting = {name: each.oauth for name, each in config.destinations.items() if each.oauth is not None}
    if not wanting:
        return documents
    kept = {each.id: each for each in await reads.logins()}
    for each in documents:
        if (oauth := wanting.get(each["name"])) is not None:
            here = tokens.until(oauth) if tokens is not None else None
            each["login"] = view(each["name"], oauth, kept.get(oauth.login_id), here)
    return documents


def view(name: str, oauth: OAuth, login: Login | None, here: float | None = None) -> Mapping[str, Any]:
    """How a destination gets its tokens, and how its login is, for people; ``here``: until when this process has one."""
    ends = here if here is not None or login is None else login.until
    state, needs = "ok", ""
    if login is not None and login.ended:
        state, needs = "ended", f"{login.ended}: {remedy(oauth, name)}"
    elif oauth.is_by_a_person and (login is None or not login.sealed):
        state, needs = "none", f"nobody has logged in yet: {remedy(oauth, name)}"
    return {
        "grant": oauth.grant,
        "host": oauth.host,
        "state": state,
        "needs": needs,
        "by": login.by if login else "",
        "since": iso_time(login.since) if login and login.since else None,
        "until": None if ends is None else iso_time(ends),
    }
