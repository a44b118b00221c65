"""What a sender's documentation says about its requests, as data: which header, what is signed, how it is written."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, field

from gateway.signatures.keys import DIGESTS, HMACS, PUBLIC_KEYS
from gateway.signatures.message import BODIES, uses

ALGORITHMS: Final = (*HMACS, *PUBLIC_KEYS, *DIGESTS)

#: In place of the name of a field: the fields of the header have none, and are called by their positions.
NAMELESS: Final = "*"

Way = Literal["signature", "token", "bearer", "basic", "url_secret", "jwt", "none"]


class Signature(Struct, frozen=True, kw_only=True):
    """Where a signature is, what it covers, and how it is written."""

    #: Lower case. Exactly one of ``header`` and ``body`` is set.
    header: str = ""
    #: A path in the payload.
    body: str = ""
    algorithm: str = "sha256"
    #: hex, hex-any-case or base64.
    encoding: str = "hex"
    #: What is signed: ``{timestamp}.{body}``.
    signed: str = "{body}"
    #: Before each signature; one without it is ignored.
    prefix: str = ""
    #: The header is a list of ``name=value``: the names of the signatures and of the timestamp, if it has one. Or it is
    #: a list of bare values: ``*``, and ``1`` if the first of them is the timestamp.
    field: str = ""
    timestamp_field: str = ""
    separator: str = ","
    #: What divides several signatures in one header; empty: there is only one.
    divider: str = ""
    #: How the secret is written: text, base64 or hex.
    key: str = "text"
    key_prefix: str = ""
    #: The parameter of the signed address that holds the hash (SHA-256, hex) of a body that is not a form.
    body_hash: str = ""
    #: Whether the sender may sign its address with or without the port.
    is_port_optional: bool = False
    #: Where a request names the certificate of its key, ``header:NAME`` or ``payload:PATH``; empty: the secret is the key.
    certificate: str = ""
    #: The addresses that such a certificate may have; ``*`` is letters, digits and hyphens.
    certificate_from: tuple[str, ...] = ()
    #: The path of the payload that has to be one of the secrets.
    signed_for: str = ""

    @property
    def has_room(self) -> bool:
        """Whether one request can have several signatures."""
        return bool(self.divider or self.field) and not self.body


class Timestamp(Struct, frozen=True, kw_only=True):
    """When the sender signed; trusted because the signature covers it."""

    #: One of these three says where it is: a header, a path in the payload, or a field of the signature's header.
    header: str = ""
    payload: str = ""
    in_field: bool = False
    unit: str = "s"
    #: Into the past and the future, seconds.
    tolerance_s: float = 300.0


class Token(Struct, frozen=True, kw_only=True):
    """A JSON Web Token that the sender has signed with a key of its own."""

    #: Lower case.
    header: str = "authorization"
    #: The address of the keys, or the keys themselves: a JWKS, or PEM.
    jwks: str = ""
    #: What it may be for, and by whom; any of each. Empty: anything.
    audience: tuple[str, ...] = ()
    issuer: tuple[str, ...] = ()
    #: The claim with the SHA-256 of the body, in base64; empty: the token says nothing about the body.
    body_hash: str = ""
    #: By how much two clocks may differ, seconds.
    leeway_s: float = 60.0

    @property
    def is_fetched(self) -> bool:
        """Whether ``jwks`` is an address."""
        return self.jwks.startswith(("http://", "https://"))


class Scheme(Struct, frozen=True, kw_only=True):
    """One way for a sender to prove who it is."""

    way: Way = "signature"
    signature: Signature = field(default_factory=Signature)
    timestamp: Timestamp | None = None
    #: The header that holds ``{id}``.
    id_header: str = ""
    #: For ``token``: the header that holds it, or the field of the query, or its path in the payload.
    header: str = ""
    query: str = ""
    payload: str = ""
    #: For ``basic``: the user's name.
    user: str = ""
    #: For ``jwt``.
    jwt: Token = field(default_factory=Token)
    #: Other names for headers, by the name that everything else uses: ``svix-id`` may come as ``webhook-id``.
    aliases: tuple[tuple[str, str], ...] = ()
    #: The operator accepts that the signature does not cover the body.
    unsigned_body: bool = False

    @property
    def raw_aliases(self) -> Mapping[bytes, bytes]:
        """``aliases`` as the fields of a request have them."""
        return {name.encode("latin-1"): other.encode("latin-1") for name, other in self.aliases}

    @property
    def is_asymmetric(self) -> bool:
        """Whether only the sender can sign."""
        return self.way == "jwt" or (self.way == "signature" and self.signature.algorithm in PUBLIC_KEYS)

    @property
    def is_fetching(self) -> bool:
        """Whether a verdict may depend on something that is fetched."""
        return bool(self.jwt.is_fetched if self.way == "jwt" else self.signature.certificate)

    @property
    def signs(self) -> bool:
        """Whether a request cannot be changed by who has seen it."""
        return self.way == "signature" or (self.way == "jwt" and bool(self.jwt.body_hash))

    @property
    def needs_secret(self) -> bool:
        return self.way not in ("none", "jwt")

    @property
    def covers_body(self) -> bool:
        return self.way != "signature" or bool(uses(self.signature.signed) & {*BODIES, "form", "lines"})

    @property
    def covers_timestamp(self) -> bool:
        if self.timestamp is None or self.way != "signature":
            return True
        used = uses(self.signature.signed)
        return "timestamp" in used or (bool(self.timestamp.payload) and bool(used & BODIES))

    @property
    def secret_header(self) -> str:
        """The header that shows the secret itself, apart from ``authorization``, which is never kept; empty: none."""
        if self.way == "jwt":
            return "" if self.jwt.body_hash or self.jwt.header == "authorization" else self.jwt.header
        return self.header if self.way == "token" else ""

    @property
    def is_in_address(self) -> bool:
        """Whether the secret is a part of the address: then it comes with every request, whatever that asks."""
        return self.way == "url_secret" or (self.way == "token" and bool(self.query))

    @property
    def reads_content(self) -> bool:
        """Whether the body has to be decompressed before anything is known of its sender."""
        stamp = self.timestamp.payload if self.timestamp else ""
        used = uses(self.signature.signed) if self.way == "signature" else frozenset()
        knobs = self.signature
        named = knobs.body or knobs.signed_for or knobs.certificate.startswith("payload:")
        return bool(self.payload or named or stamp or used & {"content", "form", "payload", "lines"})

    @property
    def headers(self) -> frozenset[str]:
        """The headers it reads. They travel on with verbatim bytes; those of a token or login do not."""
        if self.way == "jwt":
            return frozenset({self.jwt.header} if self.jwt.body_hash else ())
        stamp, knobs = self.timestamp.header if self.timestamp else "", self.signature
        certificate = knobs.certificate.removeprefix("header:") if knobs.certificate.startswith("header:") else ""
        own = (knobs.header, certificate, stamp, self.id_header, *(other for _, other in self.aliases))
        return frozenset(filter(None, own))
