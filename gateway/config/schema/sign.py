"""The keys of ``sign``: how a destination's requests are signed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.config.schema import values
from gateway.config.schema.keys import Section, key, nested
from gateway.config.schema.reading import Reading, Shape, shaped
from gateway.config.schema.remedies import Remedy
from gateway.config.schema.secrets import SECRETS, Written, read_secrets
from gateway.config.schema.verify import InHeaderKeys, SignatureKeys, TimestampKeys
from gateway.config.text.reader import Node

_PREFIX: Final = re.compile(r"^(?:v1a?,)?wh(?:sec|sk)_")
#: Characters of what is worth hiding: fewer would hide words.
_SHORTEST: Final = 7


@shaped(SECRETS)
def _secrets(reading: Reading, node: Node, label: str) -> tuple[Written, ...] | None:
    found = read_secrets(reading, node, label)
    # A receiver may repeat one without the word that it begins with.
    texts = (each.secret.reveal() for each in found)
    reading.secrets.update(rest for text in texts if (rest := _PREFIX.sub("", text)) != text and len(rest) > _SHORTEST)
    return found or None


@dataclass(frozen=True, kw_only=True)
class SignKeys(Section):
    noun = "sign"
    instead_of_text = 'sign: {secret: "${SIGN_SECRET}"}'
    together: ClassVar[Shape] = {"anyOf": [{"required": ["secret"]}, {"required": ["key"]}]}
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("verify", "scheme"), "signature"),
        **dict.fromkeys(("secrets", "token"), "secret"),
        **dict.fromkeys(("keys", "private_key"), "key"),
    }
    secret: tuple[Written, ...] | None = key(
        _secrets,
        "what the receiver verifies with, one or a list: each signs, or until the day that goes with it, "
        "{value: ..., until: 2026-12-31}",
    )
    private: tuple[Written, ...] | None = key(
        _secrets,
        'a private Ed25519 key (whsk_..., or PEM), or a list; receivers verify with its public half: "${file:sign.pem}"',
        name="key",
    )
    preset: str | None = key(
        values.preset("write signature: as the receiver documents it"),
        "sign as a known sender does: github, stripe ...; Standard Webhooks if left out",
        usual="standard-webhooks",
    )
    signature: SignatureKeys | None = key(
        nested(SignatureKeys),
        "a scheme of your own instead, with the keys of verify: {header: x-acme-signature, prefix: sha256=}",
    )
    timestamp: TimestampKeys | None = key(
        nested(TimestampKeys), "where the time of the attempt goes; signed must cover it"
    )
    id: InHeaderKeys | None = key(nested(InHeaderKeys), "the header for {id}, which is the same in every attempt")
