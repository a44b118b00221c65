"""A person logs in for a destination: on a page in a browser (RFC 6749 4.1 with PKCE, RFC 7636), or with a code (RFC 8628)."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct

from gateway.destinations.answers import is_final
from gateway.egress import Door, Egress
from gateway.errors import AddressBlocked, EgressError, GatewayError, TLSFailed, TokenUnavailable
from gateway.model import Reply
from gateway.oauth import exchange
from gateway.oauth.exchange import Form, Granted, Refused
from gateway.oauth.settings import OAuth
from gateway.wording import printable

#: What one request may take, seconds.
REQUEST_S: Final = 15.0
#: Seconds between two questions whether a code was confirmed, unless the server says otherwise; the most that it may say,
#: and that they grow to while no answer comes.
USUAL_INTERVAL_S: Final = 5.0
LONGEST_INTERVAL_S: Final = 60.0
#: How much slower to ask after ``slow_down`` (RFC 8628, 3.5).
SLOWER_S: Final = 5.0
#: How long a code is valid unless the server says otherwise, and at most.
USUAL_LIFE_S: Final = 600.0
LONGEST_LIFE_S: Final = 3600.0


class LoginFailed(GatewayError):
    """A login did not come to a refresh token; says why and what to do."""

    def __init__(self, why: str, *, may_pass: bool = False) -> None:
        super().__init__(why)
        #: Whether the server was out of reach or in trouble, and may answer the next time.
        self.may_pass = may_pass


class OtherState(LoginFailed):
    """A redirect that does not belong to this login: somebody may have made it up (RFC 6749, 10.12)."""


class Page(Struct, frozen=True, kw_only=True):
    """A login in a browser."""

    #: Where the person goes.
    url: str
    state: str
    verifier: str


class Device(Struct, frozen=True, kw_only=True):
    """A login with a code that a person types in."""

    code: str
    user_code: str
    #: Where the person types it, and the same with the code in it; the latter may be empty.
    url: str
    complete_url: str
    interval_s: float
    lasts_s: float


# --- in a browser ---


def page(oauth: OAuth) -> Page:
    """A new login in a browser."""
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": oauth.client_id,
        "redirect_uri": oauth.redirect_url,
        **({"scope": oauth.scope} if oauth.scope else {}),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    separator = "&" if urlsplit(oauth.authorize_url).query else "?"
    return Page(url=f"{oauth.authorize_url}{separator}{urlencode(asked)}", state=state, verifier=verifier)


def code_of(page: Page, redirected: str) -> str:
    """The code in the address that a browser was sent to. Raises OtherState or LoginFailed."""
    try:
        found = dict(parse_qsl(urlsplit(redirected.strip()).query))
    except ValueError:
        found = {}
    state = found.get("state", "")
    if not hmac.compare_digest(state.encode("utf-8", "replace"), page.state.encode()):
        what = "has the state of another login" if state else "has no state"
        raise OtherState(f"that address {what}: log in on the page that was printed last, and paste where it leads")
    if "code" not in found:
        said = printable(f"{found.get('error', 'no code')} {found.get('error_description', '')}".strip()[:200])
        raise LoginFailed(f"the login was refused: {said}; run the command again to retry")
    return found["code"]


async def redeemed(oauth: OAuth, page: Page, code: str, *, egress: Egress, door: Door) -> str:
    """The refresh token for a code. Raises LoginFailed."""
    form = (
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", oauth.redirect_url),
        ("code_verifier", page.verifier),
    )
    try:
        return _refresh_token(await _granted(oauth, form, egress, door, (code, page.verifier)))
    except Refused as refused:
        raise LoginFailed(f"{oauth.host} refuses the login: {refused}; run the command again") from None


# --- with a code ---


async def device(oauth: OAuth, *, egress: Egress, door: Door) -> Device:
    """A new login with a code. Raises LoginFailed."""
    form: Form = (("scope", oauth.scope),) if oauth.scope else ()
    request = exchange.request(oauth, oauth.device_url, form, says_id=True)
    host = urlsplit(oauth.device_url).hostname or ""
    try:
        reply = await egress.send(request, timeout_s=REQUEST_S, door=door, most=exchange.LONGEST_ANSWER + 1)
        answer = exchange.answered(reply, host, now=time.time(), secrets=(oauth.client_secret,))
    except (EgressError, TokenUnavailable, Refused) as error:
        raise LoginFailed(f"{host} gives no code: {error}") from None
    texts = {name: answer.get(name, "") for name in ("device_code", "user_code", "verification_uri")}
    # Google says "url".
    texts["verification_uri"] = texts["verification_uri"] or answer.get("verification_url", "")
    if not all(isinstance(text, str) and text and text.isprintable() for text in texts.values()):
        raise LoginFailed(f"{host} gives no code: its answer has no device_code, user_code or verification_uri")
    complete = answer.get("verification_uri_complete")
    return Device(
        code=str(texts["device_code"]),
        user_code=str(texts["user_code"]),
        url=str(texts["verification_uri"]),
        complete_url=complete if isinstance(complete, str) and complete.isprintable() else "",
        interval_s=exchange.seconds(answer.get("interval"), LONGEST_INTERVAL_S) or USUAL_INTERVAL_S,
        lasts_s=exchange.seconds(answer.get("expires_in"), LONGEST_LIFE_S) or USUAL_LIFE_S,
    )


async def confirmed(
    oauth: OAuth,
    device: Device,
    *,
    egress: Egress,
    door: Door,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> str:
    """The refresh token, once a person has confirmed the code. Raises LoginFailed.

    After each question without an answer the interval doubles (RFC 8628, 3.5).
    """
    form = (("grant_type", exchange.DEVICE_CODE), ("device_code", device.code))
    interval_s, left_s = device.interval_s, device.lasts_s
    lost: LoginFailed | None = None
    while left_s > 0:
        await sleep(interval_s)
        left_s -= interval_s
        try:
            return _refresh_token(await _granted(oauth, form, egress, door, (device.code,)))
        except LoginFailed as error:
            if not error.may_pass:
                raise
            lost = error
            interval_s = max(interval_s, min(interval_s * 2, LONGEST_INTERVAL_S))
        except Refused as refused:
            lost = None
            if refused.code == "slow_down":
                interval_s += SLOWER_S
            elif refused.code != "authorization_pending":
                raise LoginFailed(f"{oauth.host} refuses the login: {refused}; run the command again") from None
    raise lost or LoginFailed("nobody confirmed the code in time: run the command again")


# --- both ---


async def _granted(oauth: OAuth, form: Form, egress: Egress, door: Door, sent: tuple[str, ...]) -> Granted:
    """The tokens in the answer. Raises Refused or LoginFailed."""
    request = exchange.request(oauth, oauth.token_url, form)
    reply = None
    try:
        reply = await egress.send(request, timeout_s=REQUEST_S, door=door, most=exchange.LONGEST_ANSWER + 1)
        return exchange.granted(reply, oauth.host, now=time.time(), secrets=(*sent, oauth.client_secret))
    except (EgressError, TokenUnavailable) as error:
        why = f"{oauth.host} issues no token: {error}; run the command again"
        raise LoginFailed(why, may_pass=_may_pass(error, reply)) from None


def _may_pass(error: Exception, reply: Reply | None) -> bool:
    """Whether the same request may be answered in another way the next time."""
    if reply is None:
        return not isinstance(error, AddressBlocked | TLSFailed)
    return reply.status >= 400 and not is_final(reply.status)


def _refresh_token(granted: Granted) -> str:
    if not granted.refresh_token:
        raise LoginFailed(
            "the vendor issued no refresh token, so the login would end in an hour or so: ask for one as its page says, with "
            "scope: offline_access, or a query in authorize_url such as ?access_type=offline&prompt=consent"
        )
    return granted.refresh_token
