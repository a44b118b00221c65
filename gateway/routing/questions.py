"""Who a request is from, and whether it is a question that its sender asks before it sends events. Pure."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from gateway.errors import BodyTooLarge, SignatureRefused, UnknownSource, Unparsable
from gateway.event.payload import kept_headers, parse_body, query_fields
from gateway.hiding.addresses import masked_path
from gateway.model import Secret
from gateway.routing.authentic import judge
from gateway.routing.config import Config
from gateway.routing.sources import Source
from gateway.signatures import Refused, Request, Wanted
from gateway.signatures.handshakes import Answer, Handshake


class Asked(Struct, frozen=True, kw_only=True):
    """A question and its answer."""

    answer: Answer
    #: What becomes a secret of the source if the answer is given; None: nothing does.
    secret: Secret | None = None


#: Why a handshake with another token than its source's is refused, and the answer to its sender.
WRONG_PROOF: Final = "the verify token of a handshake is missing or wrong"
_WRONG_TOKEN: Final = "verify token missing or wrong"  # noqa: S105  an answer, not a secret


def source_at(config: Config, path: str) -> tuple[Source, bytes]:
    """The source that listens at ``path``, and the secret that follows its own path. Raises UnknownSource.

    Slashes that are doubled or at the end do not count.
    """
    source = config.doors.get(path)
    if source is not None and not source.verifier.takes_path_secret:
        return source, b""
    path = "/" + "/".join(filter(None, path.split("/")))
    source = config.doors.get(path)
    if source is not None and not source.verifier.takes_path_secret:
        return source, b""
    base, _, secret = path.rpartition("/")
    source = config.doors.get(base)
    if source is None or not source.verifier.takes_path_secret or not secret:
        raise UnknownSource(f"no source listens at {masked_path(path)}")
    return source, unquote_to_bytes(secret)


def asked(source: Source, request: Request, now: float) -> Asked | None:
    """The question that a request asks, unless that needs the source's own verification. Raises SignatureRefused."""
    if source.ping and request.method in source.methods and source.ping.fullmatch(request.body):
        return Asked(answer=Answer())
    asking = [pair for pair in source.handshakes if pair[0].method == request.method and pair[0].proof != "source"]
    if not asking:
        return None
    facts = _facts(request, _payload(request) if any(each.reads_payload for each, _ in asking) else {})
    for handshake, verifier in asking:
        if not handshake.asks(facts):
            continue
        if source.verifier.is_in_address:
            # Whoever calls the address has it.
            judge(source, source.verifier.verify(request, now))
        if handshake.proof == "token" and not handshake.shows_token(facts, source.handshake_tokens or source.secrets):
            raise SignatureRefused(WRONG_PROOF, _WRONG_TOKEN)
        verdict = verifier.verify(request, now) if verifier else None
        if isinstance(verdict, Refused | Wanted):
            raise SignatureRefused(f"a handshake: {verdict.reason}")
        return _answered(source, handshake, facts, is_proven=handshake.proof != "none" or source.verifier.is_in_address)
    return None


def asked_by_event(source: Source, request: Request, payload: object) -> Asked | None:
    """The question that an authentic request asks."""
    facts: Mapping[str, object] = {}
    for handshake, _ in source.handshakes:
        if handshake.proof != "source" or handshake.method != request.method:
            continue
        facts = facts or _facts(request, payload)
        if handshake.asks(facts):
            return _answered(source, handshake, facts, is_proven=not source.verifier.is_open)
    return None


def _answered(source: Source, handshake: Handshake, facts: Mapping[str, object], *, is_proven: bool) -> Asked:
    secret = Secret(handshake.challenge(facts)) if handshake.is_secret else None
    return Asked(answer=handshake.reply(facts, source.secrets, is_proven=is_proven), secret=secret)


def _facts(request: Request, payload: object) -> Mapping[str, object]:
    query = query_fields(request.query.decode("latin-1"))
    return {"payload": payload, "query": query, "headers": kept_headers(request.headers, ())}


def _payload(request: Request) -> object:
    types = [value.decode("latin-1") for name, value in request.headers if name == b"content-type"]
    try:
        return parse_body(request.content, types[0] if types else "")
    except (Unparsable, BodyTooLarge):
        return {}
