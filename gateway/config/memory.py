"""What entries remember of answers, and recall: checked over the whole file, since one entry recalls what another keeps."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from gateway.config import checks, headers
from gateway.config.messages import compiled
from gateway.config.schema.entries import EntryKeys, MessageKeys
from gateway.config.schema.file import FileKeys
from gateway.config.schema.memory import RecallKeys, RememberKeys
from gateway.config.schema.reading import Reading, Words
from gateway.config.text.reader import Node
from gateway.destinations.escapes import no_escape
from gateway.errors import Place
from gateway.event.paths import ROOTS
from gateway.render import FUNCTIONS, Templates
from gateway.routing.destinations import Destination
from gateway.routing.memory import Recall, Remember
from gateway.wording import suggest_or_list

#: What the path of a value begins with.
_PARTS: Final = ("json", "headers", "text")
_TAKEN: Final = frozenset({*ROOTS, *FUNCTIONS, "delivery", "omit"})


class Kept(Struct, frozen=True):
    """The names of the values that are remembered under one name, and where that is said first."""

    values: tuple[str, ...]
    place: Place


def kept(entries: Iterable[EntryKeys]) -> Mapping[str, Kept]:
    """What the entries of a file remember, by what they remember it as."""
    found: dict[str, Kept] = {}
    for keys in messages_of(entries):
        if keys.remember is not None and keys.remember.subject is not None:
            first = Kept(tuple(keys.remember.kept), keys.remember.place)
            found.setdefault(keys.remember.subject, first)
    return found


def messages_of(entries: Iterable[EntryKeys]) -> Iterable[MessageKeys]:
    return (message for entry in entries for message in (entry, *(entry.send or ())))


class MemoryCompiler:
    """Compiles ``remember`` and ``recall``."""

    def __init__(self, reading: Reading, written: FileKeys, destinations: Mapping[str, Destination]) -> None:
        self._reading = reading
        self._destinations = destinations
        self._kept = kept(written.entries)

    def recalls(self, keys: MessageKeys, roots: frozenset[str], templates: Templates) -> tuple[Recall, ...]:
        """What a message recalls; ``templates`` are those of its event alone."""
        made = (self._recall(name, each, keys, roots, templates) for name, each in keys.recall.items())
        found = tuple(each for each in made if each is not None)
        self._refuse_unknown_values(keys, {each.name: each for each in found})
        return found

    def _refuse_unknown_values(self, keys: MessageKeys, recalls: Mapping[str, Recall]) -> None:
        for path, place in headers.paths_in(keys):
            root, name, *_ = path.split(".")
            recall = recalls.get(root)
            if recall is not None and name not in recall.example:
                message = f'no value "{name}" is remembered as "{recall.subject_name}"'
                self._reading.error(place, message, suggest_or_list(name, recall.example))

    def _recall(
        self, name: str, written: RecallKeys, keys: MessageKeys, roots: frozenset[str], templates: Templates
    ) -> Recall | None:
        place = keys.name_at("recall", name)
        if not (name.isidentifier() and name.isascii()):
            self._reading.error(place, f'"{name}" cannot be a name in a template', "use letters, digits and _: contact")
        elif name in roots or name in _TAKEN:
            self._reading.error(place, f'"{name}" under recall would hide a built-in name', "rename it")
        if written.subject is None or written.per is None:
            return None
        known = self._kept.get(written.subject.text)
        if known is None and not written.subject.is_stand_in:
            remedy = suggest_or_list(written.subject.shown, self._kept) if self._kept else "no entry has remember yet"
            self._reading.error(written.subject.node, f'nothing is remembered as "{written.subject.shown}"', remedy)
        per = compiled(self._reading, templates.text, written.per, no_escape)
        if per is None or known is None:
            return None
        example = {each: f"{written.subject.text}.{each}" for each in known.values}
        return Recall(name=name, subject_name=written.subject.text, per=per, wait_s=written.wait_s, example=example)

    def remember(self, keys: MessageKeys, templates: Templates) -> Remember | None:
        """What a message keeps of its answer; None: nothing, or a problem was reported."""
        written = keys.remember
        if written is None:
            return None
        self._refuse_without_answer(keys)
        self._refuse_other_values(written)
        paths = {name: self._path(written, name, path) for name, path in written.kept.items()}
        if not written.kept and "values" in written.written:
            hint = "name one: values: {id: json.id}"
            self._reading.error(written.at("values"), f'"remember" of "{keys.called}" keeps no value', hint)
        if written.subject is None or written.per is None:
            return None
        per = compiled(self._reading, templates.text, written.per, no_escape)
        if per is None:
            return None
        return Remember(name=written.subject, per=per, values=paths, for_s=written.for_s)

    def _refuse_without_answer(self, keys: MessageKeys) -> None:
        place = keys.key_at("remember")
        names = [name.text for name in keys.to or () if name.text in self._destinations]
        if len(names) > 1:
            hint = "write a route, or an element of send, for each destination"
            message = f'"remember" of "{keys.called}" would keep the answers of {len(names)} destinations in one place'
            self._reading.error(place, message, hint)
        if keys.to == ():
            self._reading.error(place, f'"{keys.called}" is sent nowhere, so there is no answer', "remove remember")
        for name in names:
            if not self._destinations[name].kind.has_url:
                message = f'"{name}" gives no answer: it is of type {self._destinations[name].kind.name}'
                self._reading.error(place, message, "remove remember")

    def _refuse_other_values(self, written: RememberKeys) -> None:
        """All values of a key are replaced at once: who recalls them relies on each."""
        first = self._kept.get(written.subject or "")
        if first is None or set(first.values) == set(written.kept):
            return
        where = f"line {first.place.line}" + (
            f" of {first.place.file}" if first.place.file != written.place.file else ""
        )
        names = ", ".join(first.values)
        message = f'"{written.subject}" has the values {names} in {where}, and an answer replaces all of them'
        self._reading.error(written.at("values"), message, "name the same values, or remember these as something else")

    def _path(self, written: RememberKeys, name: str, path: Words) -> tuple[str, ...]:
        if not (name.isidentifier() and name.isascii()):
            place = written.name_at("values", name)
            self._reading.error(place, f'"{name}" cannot be a name in a template', "use letters, digits and _: id")
        segments = checks.path_to_one(self._reading, path)
        if not segments:
            return ()
        root, *rest = segments
        if root not in _PARTS:
            hint = f"write json.{path.shown}, headers.location or text"
            self._reading.error(path.node, f'"{path.shown}" is not a part of an answer', hint)
        elif "" in rest or (root == "headers" and (len(rest) != 1 or rest[0] != rest[0].lower())):
            hint = "write json.id, headers.location (in lower case) or text"
            self._reading.error(path.node, f'"{path.shown}" does not name a value of an answer', hint)
        elif root == "text" and rest:
            self._reading.error(
                path.node, f'"{path.shown}": the text of an answer has no parts', "write text, or json.id"
            )
        return segments


def recalled(keys: EntryKeys, names: Collection[str]) -> str:
    """What an entry recalls that is among these names; empty: nothing."""
    return next((name for each in messages_of([keys]) for name in each.recall if name in names), "")


def refuse_too_early(reading: Reading, place: Node | Place, called: str, name: str) -> None:
    """Report a condition that asks for what is recalled."""
    message = f'{called} asks for "{name}", which is recalled later: conditions are decided when the event is received'
    reading.error(place, message, f"ask in the message instead: {{% if {name} %}}...{{% endif %}}")
