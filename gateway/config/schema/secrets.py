"""Secrets that may be several, for the days of a rotation: one, or a list, each with the day on which it ends."""

from dataclasses import dataclass

from gateway.config.schema import values
from gateway.config.schema.keys import Section, key, read_section
from gateway.config.schema.reading import Reading, Shape, Words
from gateway.config.text.reader import Items, Map, Node
from gateway.model import Secret


@dataclass(frozen=True, kw_only=True)
class SecretKeys(Section):
    noun = "a secret"
    value: Secret | None = key(values.secret, 'the secret itself: "${OLD_SECRET}"', required=True)
    until: Words | None = key(values.words, "the day from which it is no longer used: 2026-12-31", required=True)


@dataclass(frozen=True, slots=True)
class Written:
    """One secret as it is in the file."""

    secret: Secret
    node: Node
    #: The day it expires, as written; None: never.
    until: Words | None = None


SECRETS: Shape = {
    "anyOf": [
        values.TEXT,
        {"type": "array", "items": {"anyOf": [values.TEXT, {"$ref": SecretKeys}]}, "minItems": 1},
    ]
}


def read_secrets(reading: Reading, node: Node, label: str) -> tuple[Written, ...]:
    """The secrets that can be read; a problem was reported for each of the others, and where there is none."""
    nodes = node.nodes if isinstance(node, Items) else (node,)
    if not nodes:
        reading.error(node, f"{label} is an empty list", "write at least one secret")
    found = [_secret(reading, each, label) for each in nodes]
    return tuple(each for each in found if each is not None)


def _secret(reading: Reading, node: Node, label: str) -> Written | None:
    if not isinstance(node, Map):
        secret = values.secret(reading, node, label)
        return None if secret is None else Written(secret, node)
    keys = read_section(reading, node, SecretKeys, f"an element of {label}")
    if keys is None or keys.value is None:
        return None
    return Written(keys.value, keys.written["value"].value, keys.until)
