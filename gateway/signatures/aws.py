"""Signature Version 4 of AWS, as its user guide describes it under "Create a signed AWS API request".

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. libcurl signs, too, but not a
body that it reads by a callback, as it reads ours so that it cannot send it twice.
"""

import hashlib
import hmac
import posixpath
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from gateway.model import HttpRequest, Secret

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: Headers that something on the way may change or take out, so that AWS's own clients do not sign them either.
_UNSIGNED: Final = frozenset(
    {
        "accept-encoding",
        "authorization",
        "cache-control",
        "connection",
        "expect",
        "from",
        "keep-alive",
        "max-forwards",
        "pragma",
        "referer",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    }
)
_DATE, _TOKEN, _HASH = "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"
#: Services whose objects may be named ``a//b`` and ``a%2Fb``: their paths are signed as they are, and the hash of the body
#: has a header of its own.
_OF_OBJECTS: Final = frozenset({"s3", "s3-object-lambda", "s3-outposts", "s3express"})


class AwsSigner(Struct, frozen=True, kw_only=True):
    """Signs each attempt with an access key of AWS."""

    service: str
    region: str
    access_key_id: Secret
    secret_access_key: Secret
    #: Of a temporary key.
    session_token: Secret | None = None

    @property
    def headers(self) -> frozenset[str]:
        """The lower-case names of the headers that it sets."""
        return frozenset({"authorization", _DATE, _TOKEN, _HASH})

    @property
    def words(self) -> str:
        """``for execute-api of AWS in eu-central-1``."""
        return f"for {self.service} of AWS in {self.region}"

    def sign(self, request: HttpRequest, message_id: str, now: float) -> HttpRequest:  # noqa: ARG002  as every signer
        """The request with ``authorization`` and what goes with it; a query in AWS's spelling, ``%20`` for ``+``.

        ``now`` is the wall clock, seconds since the epoch.
        """
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        url = urlsplit(request.url)
        pieces = [_spelled(piece) for piece in url.query.split("&") if piece]
        digest = hashlib.sha256(request.body).hexdigest()
        headers = {name: value for name, value in request.headers if name not in self.headers}
        headers = {"host": _host(url.scheme, url.netloc), **headers, _DATE: moment}
        if self.session_token is not None:
            headers[_TOKEN] = self.session_token.reveal()
        if self.service in _OF_OBJECTS:
            headers[_HASH] = digest
        signed = sorted(name for name in headers if name not in _UNSIGNED)
        canonical = (
            request.method,
            self._path(url.path),
            "&".join("=".join(pair) for pair in sorted(pieces)),
            *(f"{name}:{_one_spaced(headers[name])}" for name in signed),
            "",
            ";".join(signed),
            digest,
        )
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        signature = self._signature(scope, f"{_ALGORITHM}\n{moment}\n{scope}\n{hashed}")
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={self.access_key_id.reveal()}/{scope}, "
            f"SignedHeaders={';'.join(signed)}, Signature={signature}"
        )
        sent = url._replace(query="&".join("=".join(pair) for pair in pieces)).geturl()
        return replace(request, url=sent, headers=tuple(headers.items()))

    def _path(self, path: str) -> str:
        if self.service in _OF_OBJECTS:
            return path or "/"
        return quote(_normalized(path), safe="/~")

    def _signature(self, scope: str, text: str) -> str:
        key = f"AWS4{self.secret_access_key.reveal()}".encode("utf-8", "surrogateescape")
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        return key.hex()


def _host(scheme: str, netloc: str) -> str:
    """The host as a request names it: without the port that its scheme has anyway."""
    return netloc.removesuffix({"https": ":443", "http": ":80"}.get(scheme, "\0"))


def _spelled(piece: str) -> tuple[str, str]:
    """Name and value of a field of the query, with everything escaped but the unreserved characters (RFC 3986, 2.3)."""
    name, _, value = piece.replace("+", " ").partition("=")
    return quote(unquote_to_bytes(name), safe="~"), quote(unquote_to_bytes(value), safe="~")


def _normalized(path: str) -> str:
    """A path without ``.``, ``..`` and empty segments, but with the slash at its end."""
    plain = posixpath.normpath(f"/{path.lstrip('/')}")
    return f"{plain}/" if path.endswith("/") and plain != "/" else plain


def _one_spaced(value: str) -> str:
    return re.sub(" +", " ", value).strip()
