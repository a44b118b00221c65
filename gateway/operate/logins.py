"""What there is to know of the logins of destinations, never their tokens. Light: looking at a store needs no more."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.oauth.settings import OAuth
from gateway.store.base import Reads
from gateway.store.logins import Login
from gateway.wording import iso_time

if TYPE_CHECKING:
    from gateway.oauth.tokens import Tokens
    from gateway.routing import Config


async def with_logins(
    documents: Sequence[dict[str, Any]], config: "Config", reads: Reads, tokens: "Tokens | None" = None
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
        state, needs = "ended", f"{login.ended}: {oauth.remedy(name)}"
    elif oauth.is_by_a_person and (login is None or not login.sealed):
        state, needs = "none", f"nobody has logged in yet: {oauth.remedy(name)}"
    return {
        "grant": oauth.grant,
        "host": oauth.host,
        "state": state,
        "needs": needs,
        "by": login.by if login else "",
        "since": iso_time(login.since) if login and login.since else None,
        "until": None if ends is None else iso_time(ends),
    }
