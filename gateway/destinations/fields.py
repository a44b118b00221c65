"""Which field of a chat's message is what, so that a value is written for the field that it ends up in."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from gateway.destinations.markup import Dialect, Writer, address, data, name, said
from gateway.destinations.previews import Message

_NONE: Final[Mapping[str, Writer]] = MappingProxyType({})


class Fields(Struct, frozen=True, kw_only=True):
    """The fields of one vendor's message, from its page.

    A field is found by what holds it and by its key: the type of the object (``button``), else the key under which the
    object is (``author``), else any holder (empty). Everything else is a text with the message's usual markup.
    """

    #: The vendor's page.
    page: str
    #: A text of the message.
    text: Dialect
    known: Mapping[tuple[str, str], Writer]
    #: Keys under which every text is of one kind: ``{"metadata": data}``.
    below: Mapping[str, Writer] = _NONE
    #: Whether an address that is empty is left out.
    leaves_out_addresses: bool = True
    #: The key by which an object says its type.
    tag: str = "type"
    #: The fields of a message that has markup of another kind, by its own keys.
    variant: Callable[[Message], "Fields | None"] = lambda _message: None

    def written(self, value: object) -> object:
        """The message with every value inert in its field. Raises BuildError."""
        fields = (self.variant(value) if isinstance(value, dict) else None) or self
        return fields.part(value)

    def part(self, value: object) -> object:
        """A part of such a message, likewise."""
        return self._written(value, "", "", "", None)

    def texts(self, value: object) -> Iterator[tuple[Writer, str]]:
        """Every text of a message, with what writes it."""
        fields = (self.variant(value) if isinstance(value, dict) else None) or self
        return fields.texts_of_part(value, "", "", "", None)

    def texts_of_part(
        self, value: object, kind: str, parent: str, key: str, one: Writer | None
    ) -> Iterator[tuple[Writer, str]]:
        """Every text of a part, by the type of its holder, the key under which that is, and its own key."""
        match value:
            case str():
                yield one or self._writer(kind, parent, key), value
            case dict():
                tag = str(value.get(self.tag, ""))
                for name, each in value.items():
                    yield from self.texts_of_part(each, tag, key, name, one or self.below.get(name))
            case list():
                for each in value:
                    yield from self.texts_of_part(each, kind, parent, key, one)

    def _written(self, value: object, kind: str, parent: str, key: str, one: Writer | None) -> object:
        if isinstance(value, dict):
            return self._object(value, key, one)
        if isinstance(value, list):
            return [self._written(each, kind, parent, key, one) for each in value]
        # Marks are not ASCII, and an empty text has none.
        if not isinstance(value, str) or value.isascii():
            return value
        return (one or self._writer(kind, parent, key))(value)

    def _object(self, value: Mapping[str, object], parent: str, one: Writer | None) -> dict[str, object]:
        tag = value.get(self.tag)
        kind = said(tag) if isinstance(tag, str) else ""
        below, leaves_out = self.below, self.leaves_out_addresses
        made: dict[str, object] = {}
        for marked, each in value.items():
            key = marked if marked.isascii() else said(marked)
            if not isinstance(each, str):
                made[key] = self._written(each, kind, parent, key, one or below.get(key))
            elif not each.isascii():
                made[key] = (one or below.get(key) or self._writer(kind, parent, key))(each)
            elif each or not leaves_out or self._writer(kind, parent, key) is not address:
                # An empty address is one that the event did not have.
                made[key] = each
        return made

    def _writer(self, kind: str, parent: str, key: str) -> Writer:
        known = self.known
        own = known.get((kind, key)) if kind else None
        return own or known.get((parent, key)) or known.get(("", key)) or self.text


def table(*, addresses: str = "", names: str = "", plain: str = "") -> dict[tuple[str, str], Writer]:
    """``Fields.known`` for fields without markup, as words: ``author.name`` is the ``name`` of what is under ``author``."""
    words = {address: addresses, name: names, data: plain}
    found = ((each.rpartition("."), writer) for writer, text in words.items() for each in text.split())
    return {(holder, key): writer for (holder, _, key), writer in found}
