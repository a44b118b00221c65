"""What is sent to a token endpoint, and what its answers mean (RFC 6749, 7523, 7636, 8628). Pure, and total on any answer."""

import base64
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from gateway.destinations.answers import http_date
from gateway.errors import GatewayError, TokenUnavailable
from gateway.hiding.masks import Masks
from gateway.model import HttpRequest, Reply
from gateway.oauth.settings import OAuth

#: Bytes of an answer that are read.
LONGEST_ANSWER: Final = 65_536
#: Characters of a token.
LONGEST_TOKEN: Final = 16_384
#: The longest that an access token is believed to last, seconds.
LONGEST_LIFE_S: Final = 30 * 86_400.0
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_CODE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

Form = tuple[tuple[str, str], ...]


class Refused(GatewayError):
    """The authorization server has refused, with a code of RFC 6749, 5.2."""

    def __init__(self, code: str, words: str, skew_s: float = 0.0) -> None:
        self.code = code
        #: How far the server's clock is ahead of ours, seconds, by the date of its answer.
        self.skew_s = skew_s
        super().__init__(f"{code}: {words}" if words else code)


class Granted(Struct, frozen=True, kw_only=True):
    """Tokens that were issued. Its repr hides them."""

    access_token: str
    #: Seconds; None: it does not say.
    lasts_s: float | None = None
    #: Empty: the one that was used stays valid, or there is none.
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Granted(lasts_s={self.lasts_s})"


# --- requests ---


def request(oauth: OAuth, url: str, form: Iterable[tuple[str, str]], *, says_id: bool = False) -> HttpRequest:
    """A request of the client, which it authenticates. ``says_id``: the body has its id in any case."""
    headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")]
    fields = [*form, *oauth.parameters]
    if oauth.client_secret and oauth.client_auth == "basic":
        # Both are encoded as in a form first (RFC 6749, 2.3.1).
        login = f"{quote(oauth.client_id, safe='')}:{quote(oauth.client_secret, safe='')}"
        headers.append(("authorization", f"Basic {base64.b64encode(login.encode()).decode()}"))
    elif oauth.client_id:
        fields.append(("client_id", oauth.client_id))
        fields += [("client_secret", oauth.client_secret)] if oauth.client_secret else []
    if says_id and all(name != "client_id" for name, _ in fields):
        fields.append(("client_id", oauth.client_id))
    return HttpRequest(method="POST", url=url, headers=tuple(headers), body=urlencode(fields).encode())


def client_form(oauth: OAuth) -> Form:
    """The form of a client that asks on its own behalf."""
    return (("grant_type", "client_credentials"), *_scope(oauth))


def refresh_form(refresh_token: str) -> Form:
    """The form that uses a refresh token. Its scope is that of the login."""
    return (("grant_type", "refresh_token"), ("refresh_token", refresh_token))


def assertion_form(oauth: OAuth, assertion: str) -> Form:
    """The form with a signed assertion."""
    is_claim_alone = oauth.assertion is not None and oauth.assertion.is_google
    return (("grant_type", JWT_BEARER), ("assertion", assertion), *(() if is_claim_alone else _scope(oauth)))


def _scope(oauth: OAuth) -> Form:
    return (("scope", oauth.scope),) if oauth.scope else ()


# --- answers ---


def granted(reply: Reply, host: str, *, now: float, secrets: Iterable[str] = ()) -> Granted:
    """The tokens in an answer. Raises Refused or TokenUnavailable, neither of which repeats one of ``secrets``."""
    answer = answered(reply, host, now=now, secrets=secrets)
    token = answer.get("access_token")
    if not isinstance(token, str) or not is_token(token):
        raise TokenUnavailable(f"{host} answered {reply.status} without an access token")
    kind = answer.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenUnavailable(f"{host} issued a token that is not a bearer token, and no other kind can be used")
    successor = answer.get("refresh_token")
    is_one = isinstance(successor, str) and is_token(successor)
    return Granted(
        access_token=token,
        lasts_s=seconds(answer.get("expires_in"), LONGEST_LIFE_S),
        refresh_token=str(successor) if is_one else "",
    )


def is_token(text: str) -> bool:
    """Whether a text can be a token in a header or a form, and is not too long for either."""
    return len(text) <= LONGEST_TOKEN and _TOKEN.fullmatch(text) is not None


def answered(reply: Reply, host: str, *, now: float, secrets: Iterable[str] = ()) -> dict[str, object]:
    """The object in an answer. Raises Refused or TokenUnavailable."""
    if len(reply.body) > LONGEST_ANSWER:
        raise TokenUnavailable(f"{host} answered {reply.status} with more than {LONGEST_ANSWER:,} bytes")
    try:
        answer = msgspec.json.decode(reply.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise TokenUnavailable(f"{host} answered {reply.status} without JSON: is that the token endpoint?")
    code = answer.get("error")
    if isinstance(code, str) and _CODE.fullmatch(code) and reply.status < 500 and reply.status != 429:
        raise Refused(code, _words(answer.get("error_description"), secrets), _skew_s(reply, now))
    if not 200 <= reply.status < 300:
        words = _words(answer.get("error_description") or code or answer.get("message"), secrets)
        raise TokenUnavailable(f"{host} answered {reply.status}{words and f': {words}'}")
    return answer


def _words(text: object, secrets: Iterable[str]) -> str:
    """The server's own words on one line, without what it was sent."""
    if not isinstance(text, str):
        return ""
    text = Masks(filter(None, secrets)).reason(text[:1000], "")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:200]


def seconds(value: object, most: float) -> float | None:
    """Seconds of an answer, 0 to ``most``; None if it has none. Some servers write them as a text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(max(value, 0), most))


def _skew_s(reply: Reply, now: float) -> float:
    date = http_date(reply.headers.get("date", ""))
    return 0.0 if date is None else date - now
