"""A sender's question before it sends events: is this your address? Pure; what is asked and answered is data.

A handshake is ``{kind: {key: value}}``, in a preset and under ``handshake:`` of a source alike:

- ``probe``: a request that only has to be answered with 200.
- ``query_echo``, ``header_echo``, ``json_echo``: the ``challenge`` in a field of the query, a header or the payload goes
  back.
- ``hmac_reply``: the value ``of`` goes back, signed with the secret.
- ``constant``: the same ``answer`` every time.

``method`` and ``when`` (path and value) say which requests ask it. ``token`` is where the sender shows the token that the
operator gave it; ``verify`` is a block as of a source, or ``none``. ``answer`` is ``text``, ``none`` or JSON, and
``headers`` are those of the answer; in the texts of both, ``{challenge}``, ``{hmac:hex}`` and ``{hmac:base64}`` are filled
in. ``becomes: secret`` makes the challenge a secret of the source.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

import msgspec
from msgspec import Struct

from gateway.event.paths import lookup, split_path
from gateway.model import Secret
from gateway.wording import HEADER_NAME

#: Bytes of the longest challenge that is answered; real ones are far shorter.
LONGEST_CHALLENGE: Final = 2048
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "OPTIONS")

#: The method of each kind, unless it says another.
KINDS: Final = {
    "probe": "HEAD",
    "query_echo": "GET",
    "header_echo": "GET",
    "json_echo": "POST",
    "hmac_reply": "POST",
    "constant": "POST",
}
KEYS: Final = ("method", "when", "token", "challenge", "of", "answer", "headers", "verify", "becomes")
#: The root of a path that names none.
_ROOTS: Final = {"query_echo": "query", "header_echo": "headers"}
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
#: Headers that belong to the connection, to the body, or to what a browser may do with the answer.
_RESERVED: Final = re.compile(
    r"connection|content-.*|date|keep-alive|server|set-cookie|transfer-encoding|upgrade|location|access-control-.*"
    r"|x-content-type-options|trailer|te",
    re.IGNORECASE,
)

_Path = tuple[str, ...]

#: What proves that a question comes from the sender: its token, a block of its own, the verification of the source, or
#: nothing.
Proof = Literal["token", "block", "source", "none"]


class HandshakeRefused(ValueError):
    """A handshake makes no sense: the key that is wrong, why, and the remedy."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        self.key, self.message, self.hint = key, message, hint
        super().__init__(f"{key}: {message}  ({hint})")


class Answer(Struct, frozen=True, kw_only=True):
    """An answer in the sender's own words: to a handshake, of which nothing is stored, or to an event that is stored."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Handshake(Struct, frozen=True, kw_only=True):
    """One question that a sender may ask, and how to answer it."""

    kind: str
    method: str
    #: It is this question if all of these hold: path and value, under the roots ``payload``, ``query`` and ``headers``.
    when: tuple[tuple[_Path, object], ...] = ()
    #: Where the sender shows the token that the operator gave it; empty: it shows none.
    token: _Path = ()
    #: Path of the value that is echoed or signed; empty: none.
    value: _Path = ()
    #: ``text``: the value as it came; ``none``: no body; else JSON with ``{challenge}`` and the like in its texts.
    answer: object = "none"
    headers: tuple[tuple[str, str], ...] = ()
    #: A block that verifies this question only.
    verify: Mapping[str, Any] | None = None
    proof: Proof = "source"
    #: Whether the challenge becomes a secret of the source.
    is_secret: bool = False

    @classmethod
    def compile(cls, declared: Mapping[str, Any]) -> Self:
        """From ``{kind: {...}}``. Raises HandshakeRefused for an unknown key, or if nothing would be checked."""
        kind, said = _kind_of(declared)
        challenge = said.get("of") if kind == "hmac_reply" else said.get("challenge")
        if kind not in ("probe", "constant") and not challenge:
            key = "of" if kind == "hmac_reply" else "challenge"
            raise HandshakeRefused(key, f"{kind} does not say where the challenge is", f"add {key}: {_example(kind)}")
        compiled = cls(
            kind=kind,
            method=said.get("method", KINDS[kind]),
            when=tuple((_path(path, kind, "when"), wanted) for path, wanted in (said.get("when") or {}).items()),
            token=_path(said["token"], kind, "token") if said.get("token") else (),
            value=_path(challenge, kind, "challenge") if challenge else (),
            answer=said.get("answer", "text" if kind.endswith("_echo") else "none"),
            headers=tuple((name.lower(), text) for name, text in (said.get("headers") or {}).items()),
            verify=said["verify"] if isinstance(said.get("verify"), Mapping) else None,
            proof=_proof(kind, said),
            is_secret=said.get("becomes") == "secret",
        )
        compiled._refuse_gaps()
        return compiled

    def _refuse_gaps(self) -> None:
        if self.method not in METHODS:
            raise HandshakeRefused("method", f'"{self.method}" is not a method', f"one of {', '.join(METHODS)}")
        if self.kind == "hmac_reply" and self.proof == "none":
            message = "without a token or a verify block, anyone could have a text of their choice signed"
            raise HandshakeRefused("verify", message, "write token: or verify:")
        if self.kind == "hmac_reply" and self.answer in ("text", "none"):
            message, hint = "hmac_reply has no answer to put the digest into", 'write answer: {token: "{hmac:hex}"}'
            raise HandshakeRefused("answer", message, hint)
        if self.kind == "constant" and self.answer in ("text", "none") and not self.headers:
            raise HandshakeRefused("answer", "constant has no answer", "write answer: {type: 1}")
        if self.method == "HEAD" and self.answer != "none":
            raise HandshakeRefused("answer", "the answer to a HEAD has no body", "write method: GET, or kind probe")
        if self.is_secret and not self.value:
            raise HandshakeRefused("becomes", "nothing arrives that could become a secret", "add challenge:")
        for name, _ in self.headers:
            if not _HEADER.fullmatch(name) or _RESERVED.fullmatch(name):
                raise HandshakeRefused("headers", f'the header "{name}" cannot be set here', "remove it")

    @property
    def reads_payload(self) -> bool:
        """Whether the body has a part in it."""
        return any(path[:1] == ("payload",) for path in (self.value, self.token, *(path for path, _ in self.when)))

    @property
    def secret_names(self) -> tuple[frozenset[str], frozenset[str]]:
        """The lower-case names of the headers and of the fields of the query that show a secret."""
        paths = [self.token, *([self.value] if self.is_secret else [])]
        headers = frozenset(path[1] for path in paths if path and path[0] == "headers")
        return headers, frozenset(path[1].lower() for path in paths if path and path[0] == "query")

    def asks(self, facts: Mapping[str, object]) -> bool:
        """Whether a request is this question; ``facts`` has ``payload``, ``query`` and ``headers``."""
        return all(lookup(facts, path) == wanted for path, wanted in self.when) and (
            not self.value or _text(facts, self.value) is not None
        )

    def shows_token(self, facts: Mapping[str, object], tokens: Sequence[Secret]) -> bool:
        """Whether it shows one of the tokens."""
        given = (_text(facts, self.token) or "").encode("utf-8", "surrogateescape")
        known = [token.reveal().encode("utf-8", "surrogateescape") for token in tokens]
        # A list: every one is compared, whichever matches.
        equal = [hmac.compare_digest(given, each) for each in known if each]
        return any(equal)

    def challenge(self, facts: Mapping[str, object]) -> str:
        """The value that is echoed or signed; empty: there is none."""
        return (_text(facts, self.value) or "") if self.value else ""

    def reply(self, facts: Mapping[str, object], secrets: Sequence[Secret], *, is_proven: bool) -> Answer:
        """The answer, signed with the first of the secrets if it has to be.

        Whoever has not proven to be the sender gets everything as plain text, which no browser runs.
        """
        value = self.challenge(facts)
        words = {"{of}": value, "{challenge}": value}
        if self.kind == "hmac_reply":
            key = secrets[0].reveal().encode("utf-8", "surrogateescape") if secrets else b""
            digest = hmac.digest(key, value.encode("utf-8", "replace"), "sha256")
            words |= {"{hmac:hex}": digest.hex(), "{hmac:base64}": base64.b64encode(digest).decode()}
        filled = [(name, _filled(text, words)) for name, text in self.headers]
        headers = tuple(
            (name, text) for name, text in filled if isinstance(text, str) and _HEADER_VALUE.fullmatch(text)
        )
        if self.answer == "none":
            return Answer(headers=headers)
        if self.answer == "text":
            return Answer(body=value.encode("utf-8", "replace"), headers=headers)
        body = msgspec.json.encode(_filled(self.answer, words))
        return (
            Answer(content_type="application/json", body=body, headers=headers)
            if is_proven
            else Answer(body=body, headers=headers)
        )


def _kind_of(declared: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if len(declared) != 1:
        raise HandshakeRefused("", f"it is one of {', '.join(KINDS)}, not {len(declared)} of them", "write a list")
    [(kind, said)] = declared.items()
    said = said or {}
    if kind not in KINDS:
        raise HandshakeRefused(kind, f"unknown {kind}; known: {', '.join(KINDS)}", "name one of these")
    if unknown := set(said) - set(KEYS):
        raise HandshakeRefused(kind, f"unknown {', '.join(sorted(unknown))}; known: {', '.join(KEYS)}", "correct it")
    return kind, said


def _proof(kind: str, said: Mapping[str, Any]) -> Proof:
    if said.get("token"):
        return "token"
    if isinstance(said.get("verify"), Mapping):
        return "block"
    # These ask by a request like any other, which the sender signs like any other.
    is_like_an_event = kind in ("json_echo", "hmac_reply", "constant") and said.get("method", "POST") == "POST"
    return "source" if is_like_an_event and said.get("verify") != "none" else "none"


def _example(kind: str) -> str:
    return {"query_echo": "hub.challenge", "header_echo": "x-hook-challenge"}.get(kind, "payload.challenge")


def _path(path: str, kind: str, key: str) -> _Path:
    root, _, rest = path.partition(".")
    if root == "payload" and rest:
        return split_path(path)
    if root not in ("query", "headers") or not rest:
        if kind not in _ROOTS:
            hint = f"write payload.{path}, query.{path} or headers.{path}"
            raise HandshakeRefused(key, f'"{path}" is not a part of the request', hint)
        root, rest = _ROOTS[kind], path
    if root == "headers" and not HEADER_NAME.fullmatch(rest):
        raise HandshakeRefused(key, f'"{rest}" is not a valid header name', "use letters, digits and -")
    return root, rest.lower() if root == "headers" else rest


def _text(facts: Mapping[str, object], path: Sequence[str]) -> str | None:
    value = lookup(facts, path)
    if not isinstance(value, str) or not 0 < len(value.encode("utf-8", "replace")) <= LONGEST_CHALLENGE:
        return None
    return value


def _filled(tree: object, words: Mapping[str, str]) -> object:
    if isinstance(tree, dict):
        return {key: _filled(value, words) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(each, words) for each in tree]
    if not isinstance(tree, str):
        return tree
    for name, text in words.items():
        if name in tree:
            # One field per text: what was filled in is never scanned again.
            return tree.replace(name, text)
    return tree
