"""A sender's question before it sends events: is this your address? Pure; answered only once the request is verified."""

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from gateway.event.paths import MISSING, lookup, split_path
from gateway.model import Secret

#: Characters of the longest challenge that is answered; real ones are far shorter.
LONGEST_CHALLENGE: Final = 2048

_KINDS: Final = ("query_echo", "json_echo", "hmac_reply", "constant")
_KEYS: Final = ("method", "when", "token", "of", "challenge", "answer", "verify")


class Answer(Struct, frozen=True, kw_only=True):
    """An answer in the sender's own words: to a handshake, of which nothing is stored, or to an event that is stored."""

    status: int = 200
    content_type: str
    body: bytes


class Handshake(Struct, frozen=True, kw_only=True):
    """One question that a preset knows, and how to answer it."""

    method: str
    #: It is this question if all of these hold: path and value, under the roots ``payload`` and ``query``.
    when: tuple[tuple[tuple[str, ...], object], ...]
    #: Where the sender shows the token that the operator gave it; empty: the request's signature is enough.
    token: tuple[str, ...]
    #: Path of the value that is echoed or signed; empty: none.
    value: tuple[str, ...]
    #: ``text``: the value as it came; else JSON whose texts may hold ``{of}``, ``{hmac:hex}`` and ``{hmac:base64}``.
    answer: object
    #: The block that verifies a GET without a token.
    verify: Mapping[str, Any] | None

    @classmethod
    def compile(cls, declared: Mapping[str, Any]) -> Self:
        """From a preset: ``{query_echo | json_echo | hmac_reply | constant: {...}}``.

        Raises ValueError for an unknown key, or if nothing would be checked.
        """
        [(kind, said)] = declared.items()
        if unknown := {kind} - set(_KINDS) or set(said) - set(_KEYS):
            raise ValueError(f"{kind}: unknown {', '.join(sorted(unknown))}; known: {', '.join((*_KINDS, *_KEYS))}")
        method = said.get("method", "GET" if kind == "query_echo" else "POST")
        token = f"query|{said['token']}" if "token" in said else ""
        if method == "GET" and not token and "verify" not in said:
            raise ValueError(
                f"{kind}: a GET needs a token or a verify block: otherwise anyone could have a text of their choice signed"
            )
        value = said.get("of") or said.get("challenge", "")
        return cls(
            method=method,
            when=tuple((_path(path, kind), wanted) for path, wanted in said.get("when", {}).items()),
            token=tuple(token.split("|")) if token else (),
            value=_path(value, kind) if value else (),
            answer="text" if kind == "query_echo" else said.get("answer", "text"),
            verify=said.get("verify"),
        )

    def asks(self, facts: Mapping[str, object]) -> bool:
        """Whether a request is this question; ``facts`` has ``payload`` and ``query``."""
        return all(lookup(facts, path) == wanted for path, wanted in self.when) and (
            not self.value or _text(facts, self.value) is not None
        )

    def shows_token(self, facts: Mapping[str, object], tokens: Sequence[Secret]) -> bool:
        """Whether it shows one of the tokens, if it has to."""
        if not self.token:
            return True
        given = (_text(facts, self.token) or "").encode("utf-8", "surrogateescape")
        known = [token.reveal().encode("utf-8", "surrogateescape") for token in tokens]
        # A list: every one is compared, whichever matches.
        equal = [hmac.compare_digest(given, each) for each in known if each]
        return any(equal)

    def reply(self, facts: Mapping[str, object], secrets: Sequence[Secret]) -> Answer:
        """The answer, signed with the first of the secrets if it has to be."""
        value = _text(facts, self.value) or ""
        if self.answer == "text":
            return Answer(content_type="text/plain; charset=utf-8", body=value.encode("utf-8", "replace"))
        key = secrets[0].reveal().encode("utf-8", "surrogateescape") if secrets else b""
        digest = hmac.digest(key, value.encode("utf-8", "replace"), "sha256")
        words = {
            "{of}": value,
            "{challenge}": value,
            "{hmac:hex}": digest.hex(),
            "{hmac:base64}": base64.b64encode(digest).decode(),
        }
        return Answer(content_type="application/json", body=msgspec.json.encode(_filled(self.answer, words)))


def _path(path: str, kind: str) -> tuple[str, ...]:
    if kind == "query_echo":
        return "query", path.removeprefix("query.")
    root, _, rest = path.partition(".")
    return ("query", rest) if root == "query" else split_path(path)


def _text(facts: Mapping[str, object], path: Sequence[str]) -> str | None:
    value = lookup(facts, path)
    if value is MISSING or not isinstance(value, str) or len(value) > LONGEST_CHALLENGE:
        return None
    return value


def _filled(tree: object, words: Mapping[str, str]) -> object:
    if isinstance(tree, dict):
        return {key: _filled(value, words) for key, value in tree.items()}
    if not isinstance(tree, str):
        return tree
    for name, text in words.items():
        if name in tree:
            # One field per text: what was filled in is never scanned again.
            return tree.replace(name, text)
    return tree
