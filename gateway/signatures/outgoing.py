"""Signing what goes to a destination, by the schemes that verify what comes from a source."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import BuildError
from gateway.model import HttpRequest, Secret
from gateway.signatures.checks import Check, key_for
from gateway.signatures.credentials import Credential
from gateway.signatures.keys import ENCODERS, DigestKey, HmacKey, PrivateKey, SigningKey, private_key_of
from gateway.signatures.request import Reading, Request, Stop
from gateway.signatures.schemes import Scheme
from gateway.signatures.signing import CannotSign, Signed, with_signatures

#: How Standard Webhooks marks the two halves of a pair.
_PUBLIC, _PRIVATE = "whpk_", "whsk_"
#: What every request has anyway.
_ON_EVERY_REQUEST: Final = frozenset({"webhook-id"})


class Way(Struct, frozen=True, kw_only=True):
    """One scheme with the operator's keys for it."""

    scheme: Scheme
    credentials: tuple[Credential, ...]
    #: Whether they are private keys, whose public halves verify.
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs each attempt, in one or more ways. Raises KeyRefused for a secret that cannot be a key of its scheme."""

    ways: tuple[Way, ...] = field(hash=False)
    #: ``Standard Webhooks``; empty: the scheme is declared in the file.
    title: str = ""
    _signing: tuple[tuple[Check, tuple[tuple[Credential, SigningKey], ...]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        made = tuple((Check.of(each.scheme, (), ""), tuple(_keys(each))) for each in self.ways)
        object.__setattr__(self, "_signing", made)

    @property
    def headers(self) -> frozenset[str]:
        """The lower-case names of the headers that it sets, apart from those of every request."""
        schemes = [each.scheme for each in self.ways]
        stamps = [each.timestamp.header for each in schemes if each.timestamp]
        named = {*(each.signature.header for each in schemes), *stamps, *(each.id_header for each in schemes)}
        return frozenset(filter(None, named)) - _ON_EVERY_REQUEST

    @property
    def changes_body(self) -> bool:
        """Whether the signature or its time is a part of the body, so that no two attempts send the same one."""
        schemes = [each.scheme for each in self.ways]
        return any(each.signature.body or (each.timestamp and each.timestamp.payload) for each in schemes)

    @property
    def public_keys(self) -> Sequence[str]:
        """What receivers verify with, where signatures are made with private keys: ``whpk_...``, or base64 or hex."""
        pairs = [(check.scheme, key) for check, keys in self._signing for _, key in keys]
        return [_shown(scheme, key) for scheme, key in pairs if isinstance(key, PrivateKey)]

    @property
    def words(self) -> str:
        """``as Standard Webhooks``, and the public keys that receivers need."""
        keys = self.public_keys
        scheme = f"as {self.title}" if self.title else "by a scheme of the file"
        return scheme + (f", verified with {' or '.join(keys)}" if keys else "")

    def sign(self, request: HttpRequest, message_id: str, now: float) -> HttpRequest:
        """The request signed with every key that is still in use. ``now`` is the wall clock, seconds since the epoch.

        Raises BuildError if no key is in use any more, or if a scheme cannot sign such a request.
        """
        made: dict[str, str] = {}
        body = request.body
        in_use = [(check, keys) for check, each in self._signing if (keys := _in_use(each, now))]
        if not in_use:
            raise BuildError("cannot be signed: every secret under sign is past its day; add a new one, then replay")
        for check, keys in in_use:
            signed = _signed(check, keys, request, message_id, now)
            knobs, body = check.scheme.signature, signed.body
            for name, value in signed.headers:
                # Two ways that share a header, as those of Standard Webhooks do, share its list.
                is_shared = name == knobs.header and name in made
                made[name] = f"{made[name]}{knobs.divider}{value}" if is_shared else value
        kept = tuple((name, value) for name, value in request.headers if name not in made)
        return replace(request, headers=(*kept, *made.items()), body=body)


def _in_use(keys: Sequence[tuple[Credential, SigningKey]], now: float) -> Sequence[SigningKey]:
    return [key for credential, key in keys if not credential.is_past(now)]


def _signed(check: Check, keys: Sequence[SigningKey], request: HttpRequest, message_id: str, now: float) -> Signed:
    url, _, query = _as_named(request).partition("?")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    asked = Request(method=request.method, query=query.encode(), headers=headers, body=request.body)
    try:
        signed = with_signatures(check, asked, now, message_id, keys, url.encode())
        if check.joints:
            _check_joints(check, replace(asked, body=signed.body), url, message_id)
    except (CannotSign, Stop) as error:
        raise BuildError(f"cannot be signed: {error}") from None
    return signed


def _as_named(request: HttpRequest) -> str:
    """The address by which its receiver knows it: with the host that the request names, if the file names another one."""
    host = dict(request.headers).get("host")
    return urlsplit(request.url)._replace(netloc=host).geturl() if host else request.url


def _check_joints(check: Check, request: Request, url: str, message_id: str) -> None:
    """Raise Stop for a request that no receiver accepts, because its signature would fit another one."""
    reading = Reading(request, url.encode())
    reading.id = message_id.encode()
    for joint in check.joints:
        joint.check(reading)


def _keys(way: Way) -> Sequence[tuple[Credential, SigningKey]]:
    return [(each, _key(way.scheme, each.secret, is_private=way.is_private)) for each in way.credentials]


def _key(scheme: Scheme, secret: Secret, *, is_private: bool) -> SigningKey:
    knobs = scheme.signature
    if is_private:
        prefix = _PRIVATE if knobs.key_prefix == _PUBLIC else knobs.key_prefix
        return private_key_of(secret, algorithm=knobs.algorithm, encoding=knobs.encoding, form=knobs.key, prefix=prefix)
    key = key_for(scheme, secret)
    assert isinstance(key, HmacKey | DigestKey)
    return key


def _shown(scheme: Scheme, key: PrivateKey) -> str:
    """The public half in the form that the scheme's receivers expect."""
    knobs = scheme.signature
    encode = ENCODERS["hex" if knobs.key == "hex" else "base64"]
    return knobs.key_prefix + encode(key.public).decode()
