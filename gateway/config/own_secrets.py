"""What one destination alone is sent, written into the file: only its answers can repeat it."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from gateway.config.schema.entries import EntryKeys
from gateway.config.schema.file import FileKeys
from gateway.hiding.requests import secret_values
from gateway.render import is_literal
from gateway.routing.destinations import Destination


def own_secrets(
    written: FileKeys, destinations: Iterable[Destination], known: Collection[str]
) -> Mapping[str, Collection[str]]:
    """By destination, what may be a secret in its url and headers and in the headers of entries, unless it is ``known``."""
    found = {each.name: set(each.secrets) for each in destinations}
    for keys in written.entries:
        for name, value in _headers(keys):
            if name in found:
                found[name].add(value)
    return {name: frozenset(secrets.difference(known)) for name, secrets in found.items() if secrets.difference(known)}


def _headers(keys: EntryKeys) -> Iterator[tuple[str, str]]:
    """Each destination of an entry with the secret values of its literal headers."""
    for message in (keys, *(keys.send or ())):
        literal = [(name, each.text) for name, each in message.headers.items() if is_literal(each.text)]
        for value in secret_values(literal):
            yield from ((to.text, value) for to in message.to or ())
