"""Signatures as senders document them: names of algorithms, and what is signed, as ``verify`` has them."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.schema.reading import Reading, Words, shape_of, shaped
from gateway.config.schema.values import words
from gateway.config.text.reader import Node, Scalar
from gateway.signatures import ALGORITHMS
from gateway.signatures.message import SignedRefused, parts
from gateway.wording import folded

#: Names of algorithms in other documentations, folded.
_ALGORITHMS: Final[Mapping[str, str]] = {
    **{f"hs{bits}": f"sha{bits}" for bits in (1, 256, 512)},
    **dict.fromkeys(("rsa", "rs256", "rsawithsha256", "sha256withrsa", "sha256rsa", "rsasha2256"), "rsa-sha256"),
    **dict.fromkeys(
        ("ecdsa", "es256", "ecdsasha256", "ecdsawithsha256", "p256", "prime256v1", "secp256r1"), "ecdsa-p256"
    ),
    **dict.fromkeys(("eddsa", "ed25519sha512"), "ed25519"),
    "hmac": "sha256",
}
_HMAC: Final = re.compile(r"(?:hmac(?:with)?)?(sha(?:1|256|512))(?:hmac|hex|digest)?")


def algorithm_like(text: str) -> str:
    """What to write for the name of an algorithm that ``verify`` does not know."""
    name = folded(text)
    hmac = _HMAC.fullmatch(name)
    right = hmac[1] if hmac else _ALGORITHMS.get(name) or next((a for a in ALGORITHMS if folded(a) == name), "")
    if right and "hmac" in name:
        return f"write {right}, which is an HMAC"
    return f"write {right}" if right else f"known: {', '.join(ALGORITHMS)}"


#: A field as other notations have it.
_FIELD: Final = re.compile(
    r"\$\{\{?\s*([A-Za-z_]\w*)\s*\}?\}|\{\{?\s*([A-Za-z_]\w*)\s*\}?\}|\$([A-Za-z_]\w*)|(\b[A-Za-z_]\w*\b)"
)
_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("rawbody", "requestbody", "payload", "rawpayload", "data", "msg", "message"), "body"),
    **dict.fromkeys(("ts", "t", "time", "webhooktimestamp", "requesttimestamp"), "timestamp"),
    **dict.fromkeys(("msgid", "messageid", "webhookid"), "id"),
    "secretkey": "secret",
}


def _as_fields(text: str) -> str:
    """What is signed with its fields as ``verify`` has them; empty if not all of them are known."""
    if re.search(r"\$\{[A-Z]", text):
        # A variable of the environment.
        return ""
    right = _FIELD.sub(lambda found: f"{{{_name(next(filter(None, found.groups())))}}}", text)
    try:
        fields = [each for each in parts(right) if isinstance(each, tuple)]
    except SignedRefused:
        return ""
    return right if fields else ""


def _name(written: str) -> str:
    return _NAMES.get(folded(written), folded(written))


@shaped(shape_of(words))
def signed(reading: Reading, node: Node, label: str) -> Words | None:
    """What is signed: a text with fields in braces, such as ``{timestamp}.{body}``."""
    if isinstance(node, Scalar) and not _is_fit(node.text) and (right := _as_fields(node.text)):
        hint = f'write signed: "{right}"'
        reading.error(node, f'{label}: "{node.text}" has a field that is not in single braces', hint)
        return None
    return words(reading, node, label)


def _is_fit(text: str) -> bool:
    if "${" in text:
        return False
    try:
        return any(isinstance(each, tuple) for each in parts(text))
    except SignedRefused:
        return False
