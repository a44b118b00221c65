"""What an entry keeps of the answers that it gets (``remember``), and what it is given of earlier ones (``recall``)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct, field

from gateway.destinations import NO_JSON
from gateway.destinations.answers import answer_of
from gateway.event.paths import MISSING, Facts, lookup
from gateway.model import Reply, Text
from gateway.render import Renderer
from gateway.routing.keys import key_text
from gateway.store.memory import MOST_BYTES, Remembered, Subject
from gateway.wording import duration

#: By the root that templates have them under: values by name; none if nothing is remembered.
Recollection = Mapping[str, Mapping[str, object]]
#: What is remembered, as values by name.
Known = Mapping[Subject, Mapping[str, object]]
NOTHING: Final[Recollection] = MappingProxyType({})


class Found(Struct, frozen=True, kw_only=True):
    """What an attempt is given."""

    #: By the root that templates have it under.
    values: Recollection = field(default_factory=dict)
    #: The same for people, a line each.
    lines: Sequence[str] = ()
    has_waited: bool = False
    #: Of the event, parsed for this; None: it was not, or it is null.
    payload: object = None
    #: Why it cannot be known what to recall: the attempt fails with it.
    error: Exception | None = None

    def recalled(self) -> Recollection:
        """The values. Raises ``error``."""
        if self.error is not None:
            raise self.error
        return self.values


NOTHING_FOUND: Final = Found()


class Recall(Struct, frozen=True, kw_only=True):
    """Values of an earlier answer, for the templates of a message."""

    #: The root that templates have them under.
    name: str
    #: What they were remembered as.
    subject_name: str
    per: Renderer[Text]
    #: How long a delivery waits for them, seconds.
    wait_s: float = 0.0
    #: Stands for what is remembered where nobody can know it: in ``check``, and in ``explain`` of a sample.
    example: Mapping[str, object] = MappingProxyType({})

    def subject(self, facts: Facts) -> Subject | None:
        """What it asks for; None: the event has no key, so there is nothing. Raises RenderError."""
        return _subject(self.subject_name, self.per, facts)


#: What a message recalls for one event; None: the event has no key for it.
Asked = Sequence[tuple[Recall, Subject | None]]


class Remember(Struct, frozen=True, kw_only=True):
    """Which values of its answers a message keeps."""

    name: str
    per: Renderer[Text]
    #: By name: the path of a value, ``("json", "id")``, ``("headers", "location")`` or ``("text",)``.
    values: Mapping[str, tuple[str, ...]]
    for_s: float

    def remembering(self, facts: Facts) -> "Remembering":
        """What it keeps for one event. Raises RenderError."""
        return Remembering(self, _subject(self.name, self.per, facts))


class Remembering(Struct, frozen=True):
    """What is kept of the answer to one event."""

    what: Remember
    #: None: the event has no key, so nothing is kept.
    subject: Subject | None

    @property
    def promise(self) -> str:
        """What will be kept, in words."""
        if self.subject is None:
            return f"will remember nothing as {self.what.name}: the event has no key for it"
        paths = ", ".join(f"{name} ({'.'.join(path)})" for name, path in self.what.values.items())
        return f"will be remembered as {said(self.subject)} for {duration(self.what.for_s)}: {paths}"

    def of(self, reply: Reply) -> tuple[Remembered | None, str]:
        """All values of an answer, or none of them; and what became of them, in words. Total."""
        if self.subject is None:
            return None, f"nothing is remembered as {self.what.name}: the event has no key for it"
        answer = answer_of(reply)
        found = {"json": answer.json, "headers": reply.headers, "text": answer.text}
        values = {name: lookup(found, path) for name, path in self.what.values.items()}
        for name, value in values.items():
            if value is MISSING or value is None or value is NO_JSON or value == "":
                path = ".".join(self.what.values[name])
                return None, f"nothing is remembered as {said(self.subject)}: the answer has no {path}"
        try:
            stored = msgspec.json.encode(values)
        except RecursionError:
            return None, f"nothing is remembered as {said(self.subject)}: its values are nested too deeply"
        if len(stored) > MOST_BYTES:
            why = f"its values take {len(stored):,} bytes, and at most {MOST_BYTES:,} are kept"
            return None, f"nothing is remembered as {said(self.subject)}: {why}"
        kept = Remembered(subject=self.subject, values=stored, for_s=self.what.for_s)
        return kept, f"remembered as {said(self.subject)} for {duration(self.what.for_s)}: {_listed(values)}"


def _subject(name: str, per: Renderer[Text], facts: Facts) -> Subject | None:
    key = key_text(per(facts).text.strip())
    return None if key is None else (name, key)


def said(subject: Subject) -> str:
    """A subject in words: ``crm-id of 451``."""
    name, key = subject
    return f"{name} of {key}"


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {msgspec.json.encode(value).decode('utf-8', 'replace')}" for name, value in values.items()
    )


def recollect(asked: Asked, known: Known | None) -> Recollection:
    """What is remembered for a message; ``known``: None: examples stand for it."""
    if known is None:
        return {each.name: each.example for each, _ in asked}
    return {each.name: known[subject] for each, subject in asked if subject is not None and subject in known}


def recollected(recalls: Sequence[Recall], values: Recollection) -> Facts:
    """The roots that a message recalls, those of which nothing is remembered too."""
    return {each.name: values.get(each.name, {}) for each in recalls}


def described(asked: Asked, known: Known | None) -> Sequence[str]:
    """What each recall of a message gives, a line each; ``known``: None: examples stand for it."""
    return [_described(each, subject, known) for each, subject in asked]


def _described(recall: Recall, subject: Subject | None, known: Known | None) -> str:
    if subject is None:
        return f"{recall.name}: nothing, since the event has no key for {recall.subject_name}"
    if known is None:
        return f"{recall.name}: whatever is remembered as {said(subject)}; shown with examples"
    values = known.get(subject)
    if values is None:
        return f"{recall.name}: nothing is remembered as {said(subject)}"
    return f"{recall.name}: {said(subject)}: {_listed(values)}"
