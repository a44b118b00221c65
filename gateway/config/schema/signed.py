"""Signatures as senders document them: names of algorithms, and what is signed, as ``verify`` has them."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from gateway.config.schema.foreign import shown
from gateway.config.schema.instead import header_in
from gateway.config.schema.reading import Reading, Words, shape_of, shaped
from gateway.config.schema.values import words
from gateway.config.text.reader import Map, Node, Pair, Scalar
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


#: Encodings in other documentations, folded.
_ENCODINGS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("hex", "hexadecimal", "hexdigest", "hexlower", "lowerhex", "base16"), "hex"),
    **dict.fromkeys(("hexupper", "upperhex", "uppercasehex", "hexuppercase"), "hex-any-case"),
    **dict.fromkeys(("base64", "b64", "base64std", "base64standard"), "base64"),
    **dict.fromkeys(("base64url", "base64urlsafe", "urlsafebase64", "b64url"), "base64url"),
}


def encoding_like(text: str) -> str:
    """What to write for the name of an encoding that ``verify`` does not know; empty if nothing is like it."""
    right = _ENCODINGS.get(folded(text))
    return f"write {right}" if right else ""


# --- a signature, part by part ---

#: The keys of a signature that are written as they are, where they are no keys of what is around it.
_PARTS: Final = ("body", "encoding", "signed", "prefix", "fields", "list", "key_prefix", "body_hash")
_HEADERS: Final = ("header", "signature_header", "signature-header")
#: Keys whose value is an algorithm, and those that say it themselves or whose value may be the way to verify.
_NAMED: Final = ("algorithm", "algo", "alg", "hash", "digest")
HMACS: Final = ("hmac", "hmac_sha256", "hmac-sha256", "hmac_sha1", "hmac_sha512", "sha256")
KINDS: Final = ("type", "method", "scheme")
#: The keys of ``verify``, and those of a source, that are parts of a signature.
IN_VERIFY: Final = (*HMACS, *KINDS, *_NAMED, *_HEADERS[1:])
#: What senders and other products call what is signed.
SIGNED_NAMES: Final = ("format", "signed_payload", "payload", "template", "message", "content", "string_to_sign")
IN_SOURCE: Final = (*HMACS, *_NAMED, *_HEADERS, "signature", "encoding", "signed", "prefix")


#: An algorithm that is none of those that are known here.
UNKNOWN: Final = "..."


def known_only(parts: Mapping[str, str]) -> str:
    """What to say of the parts of a signature: the algorithms that are known, if its own is none of them."""
    return f", where algorithm is one of {', '.join(ALGORITHMS)}" if parts.get("algorithm") == UNKNOWN else ""


#: What most senders sign that send a time.
SIGNED: Final = '"{timestamp}.{body}"'


def signature_in(
    around: Map, own: Collection[str], kinds: Collection[str] = ()
) -> tuple[Mapping[str, str], frozenset[str]]:
    """The parts of a signature among the keys of a map that are none of its ``own``, as YAML, and these keys.

    ``kinds``: keys that say the way to verify here.
    """
    others = {*own, *(each for each in KINDS if each not in kinds)}
    pairs = [pair for pair in around.pairs if pair.key.text not in others]
    found: dict[str, str] = {}
    for pair in pairs:
        found |= _parts(pair)
    if found and not {"header", "body"} & found.keys():
        found = {"header": "x-signature", **found}
    names = {*_PARTS, *_HEADERS, *_NAMED, *HMACS, *KINDS, "signature"}
    order = [*dict.fromkeys(("header", "algorithm", *found))]
    return {key: found[key] for key in order if key in found}, frozenset(
        pair.key.text for pair in pairs if pair.key.text in names or (pair.key.text in SIGNED_NAMES and _parts(pair))
    )


def lacking(parts: Mapping[str, str], signature: Node | None) -> Mapping[str, str]:
    """The parts that a signature as it is written does not have."""
    return {key: value for key, value in parts.items() if key not in as_pairs(signature)}


def _parts(pair: Pair) -> Mapping[str, str]:
    name, node = pair.key.text, pair.value
    text = node.text if isinstance(node, Scalar) else ""
    if name == "signature" or (name in HMACS and isinstance(node, Map)):
        inner = (
            signature_in(node, (), KINDS)[0] if isinstance(node, Map) else {"header": header_in(text) or "x-signature"}
        )
        return {"algorithm": "sha256", **inner} if name in HMACS else inner
    if name in _HEADERS:
        return {"header": text} if _HEADER.fullmatch(text) else {"header": "x-signature"}
    if name in _NAMED:
        return {"algorithm": _algorithm(text) or UNKNOWN}
    if name in KINDS:
        return {"algorithm": _algorithm(text) or "sha256"}
    if name in HMACS:
        header = header_in(text)
        return {"algorithm": _algorithm(text) or _algorithm(name) or "sha256", **({"header": header} if header else {})}
    if name in ("signed", *SIGNED_NAMES):
        right = text if _is_fit(text) else _as_fields(text) if "{" in text else ""
        return {"signed": f'"{right}"'} if right else {}
    return {name: shown(node)} if name in _PARTS else {}


def is_signed(pair: Pair) -> bool:
    """Whether a key says what is signed: ``payload: "{timestamp}.{body}"``."""
    return "signed" in _parts(pair)


def _algorithm(text: str) -> str:
    found = _WRITTEN.fullmatch(algorithm_like(text))
    return found[1] if found else ""


_WRITTEN: Final = re.compile(r"write ([a-z0-9-]+).*")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")


def as_map(parts: Mapping[str, str]) -> str:
    """``{header: x-signature, algorithm: sha256}``."""
    return f"{{{', '.join(f'{key}: {value}' for key, value in parts.items())}}}"


def listed(parts: Mapping[str, str]) -> str:
    """The same without its braces."""
    return as_map(parts)[1:-1]


def as_pairs(node: Node | None) -> Mapping[str, Node]:
    """The pairs of a map; none of anything else."""
    return {pair.key.text: pair.value for pair in node.pairs} if isinstance(node, Map) else {}


def as_shown(node: Node | None) -> Mapping[str, str]:
    """The pairs of a map as YAML."""
    return {key: shown(value) for key, value in as_pairs(node).items()}


# --- what is signed ---

#: A field as other notations have it.
_FIELD: Final = re.compile(
    # A header, by its name alone if that cannot be anything else.
    r"\$?\{\{?\s*(?:(?:request\.)?headers?(?:[.:]|\[[\"']?))(?P<header>[A-Za-z][\w-]*)(?:[\"']?\])?\s*\}?\}"
    r"|\{\{?\s*(?P<dashed>[A-Za-z]\w*(?:-\w+)+)\s*\}?\}"
    r"|\$\{\{?\s*([A-Za-z_]\w*)\s*\}?\}|\{\{?\s*([A-Za-z_]\w*)\s*\}?\}|\$([A-Za-z_]\w*)|(\b[A-Za-z_]\w*\b)"
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
    right = _FIELD.sub(_field, text)
    try:
        fields = [each for each in parts(right) if isinstance(each, tuple)]
    except SignedRefused:
        return ""
    return right if fields else ""


def _field(found: re.Match[str]) -> str:
    if header := found["header"] or found["dashed"]:
        return f"{{header:{header}}}"
    return f"{{{_name(next(filter(None, found.groups())))}}}"


def _name(written: str) -> str:
    return _NAMES.get(folded(written), folded(written))


@shaped(shape_of(words))
def signed(reading: Reading, node: Node, label: str) -> Words | None:
    """What is signed: a text with fields in braces, such as ``{timestamp}.{body}``."""
    if isinstance(node, Scalar) and not _is_fit(node.text) and (right := _as_fields(node.text)):
        hint = f'write signed: "{right}"'
        reading.error(node, f'{label}: "{node.text}" has a field in the notation of another product', hint)
        return None
    return words(reading, node, label)


def _is_fit(text: str) -> bool:
    if "${" in text:
        return False
    try:
        return any(isinstance(each, tuple) for each in parts(text))
    except SignedRefused:
        return False
