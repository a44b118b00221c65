"""Requests that are checked with what was fetched: the keys of a token, the certificate that a request names. Pure."""

import base64
import hashlib
import hmac
import re
from functools import cache
from typing import Final

from gateway.signatures.credentials import KeyRefused
from gateway.signatures.keys import PublicKey
from gateway.signatures.request import Awaits, Reading, Stop
from gateway.signatures.schemes import Signature, Token

_BEARER: Final = re.compile(r"bearer +", re.IGNORECASE)


def check_token(token: Token, reading: Reading, now: float) -> None:
    """Raises Stop unless the request shows a token that a key of the sender has signed, or Awaits for its keys."""
    # Only a configuration with such a source pays for the library.
    from gateway.signatures import tokens

    text = reading.header(token.header.encode()).decode("latin-1")
    if token.header == "authorization":
        begin = _BEARER.match(text)
        if begin is None:
            raise Stop("authorization is not a bearer token")
        text = text[begin.end() :]
    document = reading.documents.get(token.jwks) if token.is_fetched else token.jwks.encode()
    if document is None:
        raise Awaits(token.jwks, "the sender's keys are not at hand")
    try:
        found = tokens.claims(
            text, document, audience=token.audience, issuer=token.issuer, now=now, leeway_s=token.leeway_s
        )
    except tokens.UnknownKey:
        if token.is_fetched:
            raise Awaits(token.jwks, "the token's key is none of the sender's", is_known=True) from None
        raise Stop("the token's key is none of the sender's") from None
    except KeyRefused as error:
        raise Awaits(token.jwks, f"the sender's keys cannot be used: {error}") from None
    reading.note(f"token in {token.header}: signed by the sender")
    if not token.body_hash:
        if "exp" not in found:
            raise Stop("the token never expires: anyone who has seen it could use it forever")
        return
    said = found.get(token.body_hash)
    own = base64.b64encode(hashlib.sha256(reading.request.body).digest())
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), own):
        raise Stop(f"{token.body_hash} of the token is not the hash of the body")
    reading.note(f"{token.body_hash}: the hash of the body")


def certified_key(signature: Signature, reading: Reading, now: float) -> PublicKey:
    """The key of the certificate that a request names. Raises Stop for one that is not the sender's, or Awaits for it."""
    from gateway.signatures import public

    kind, _, name = signature.certificate.partition(":")
    written = reading.header(name.lower().encode()) if kind == "header" else reading.payload(name.split("."))
    url = written.decode("latin-1")
    if not any(_address(each).fullmatch(url) for each in signature.certificate_from):
        raise Stop("the certificate is at an address that is not the sender's")
    document = reading.documents.get(url)
    if document is None:
        raise Awaits(url, "the sender's certificate is not at hand")
    try:
        found = public.of_certificate(document, signature.algorithm)
    except KeyRefused as error:
        raise Awaits(url, f"the sender's certificate cannot be used: {error}") from None
    if not found.since <= now <= found.until:
        raise Stop("the certificate is not valid at this time")
    reading.note(f"certificate: {url}")
    return PublicKey(found.verifies, signature.encoding)


@cache
def _address(pattern: str) -> re.Pattern[str]:
    return re.compile(r"[A-Za-z0-9-]{1,64}".join(map(re.escape, pattern.split("*"))))
