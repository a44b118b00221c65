"""What a sender's documentation says about its requests, as data: which header, what is signed, how it is written."""

from typing import Final, Literal

from msgspec import Struct, field

from gateway.signatures.keys import DIGESTS, HMACS, PUBLIC_KEYS
from gateway.signatures.message import BODIES, uses

ALGORITHMS: Final = (*HMACS, *PUBLIC_KEYS, *DIGESTS)

#: In place of the name of a field: the fields of the header have none, and are called by their positions.
NAMELESS: Final = "*"

Way = Literal["signature", "token", "bearer", "basic", "url_secret", "none"]


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


class Timestamp(Struct, frozen=True, kw_only=True):
    """When the sender signed; trusted because the signature covers it."""

    #: One of these three says where it is: a header, a path in the payload, or a field of the signature's header.
    header: str = ""
    payload: str = ""
    in_field: bool = False
    unit: str = "s"
    #: Into the past and the future, seconds.
    tolerance_s: float = 300.0


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
    #: The operator accepts that the signature does not cover the body.
    unsigned_body: bool = False

    @property
    def is_asymmetric(self) -> bool:
        """Whether only the sender can sign."""
        return self.way == "signature" and self.signature.algorithm in PUBLIC_KEYS

    @property
    def covers_body(self) -> bool:
        return self.way != "signature" or bool(uses(self.signature.signed) & {*BODIES, "form"})

    @property
    def covers_timestamp(self) -> bool:
        if self.timestamp is None or self.way != "signature":
            return True
        used = uses(self.signature.signed)
        return "timestamp" in used or (bool(self.timestamp.payload) and bool(used & BODIES))

    @property
    def secret_header(self) -> str:
        """The header that shows the secret itself, apart from ``authorization``, which is never kept; empty: none."""
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
        return bool(self.payload or self.signature.body or stamp or used & {"content", "form", "payload"})

    @property
    def headers(self) -> frozenset[str]:
        """The headers it reads. They travel on with verbatim bytes; those of a token or login do not."""
        stamp = self.timestamp.header if self.timestamp else ""
        return frozenset(filter(None, (self.signature.header, stamp, self.id_header)))
