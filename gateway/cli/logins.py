"""What ``gateway doctor`` says of logins at authorization servers; never a token. Imported where a destination has one."""

import time
from collections.abc import Iterator, Sequence
from typing import Literal

from gateway.egress import Egress
from gateway.errors import TokenUnavailable
from gateway.oauth import sealing
from gateway.oauth.asking import Asking, Ended
from gateway.routing import Config, Destination
from gateway.store.logins import Login
from gateway.wording import iso_time

#: The check, its verdict, what was found, and the remedy.
Found = tuple[str, Literal["ok", "warn", "fail"], str, str]


def findings(destinations: Sequence[Destination], kept: Sequence[Login]) -> Iterator[Found]:
    """How the login of each of these destinations is, as the store has it."""
    by_id = {each.id: each for each in kept}
    for each in destinations:
        assert each.oauth is not None
        yield _finding(each, by_id.get(each.oauth.login_id))


def _finding(each: Destination, login: Login | None) -> Found:
    oauth = each.oauth
    assert oauth is not None
    what, todo = f"{each.name} at {oauth.host}", oauth.remedy(each.name)
    if login is None or not login.sealed:
        if oauth.is_by_a_person:
            return "login", "warn", f"{what}: nobody has logged in yet, so its deliveries will wait", todo
        return "login", "ok", f"{what}: the refresh token in routes.yaml", ""
    try:
        sealing.opened(login.sealed, key=oauth.secret_key, login_id=login.id)
    except sealing.Unsealable as error:
        return "login", "fail", f"{what}: {error}", f"set that key again, or {todo}"
    if login.ended:
        return "login", "fail", f"{what}: no longer accepted ({login.ended})", todo
    by = f" by {login.by}" if login.by else ""
    until = f"; its latest token is valid until {iso_time(login.until)}" if login.until else ""
    return "login", "ok", f"{what}: logged in{by}, refresh token of {iso_time(login.since)}{until}", ""


async def tried(each: Destination, config: Config) -> Found | None:
    """What is wrong with the tokens of a destination that needs no login; None: it got one."""
    egress = Egress()
    oauth = each.oauth
    assert oauth is not None
    try:
        await Asking(egress, time.time).on_its_own(oauth, each.door)
    except (TokenUnavailable, Ended) as error:
        said = config.masks.text(f"no access token: {error}")
        return each.name, "fail", said, "correct auth.oauth2, or the client as it is registered at its server"
    finally:
        await egress.close()
    return None
