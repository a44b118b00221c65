"""What an entry sends for several events at once, compiled: ``digest`` and ``debounce``."""

import math

from gateway.config import checks
from gateway.config.fields import Fields
from gateway.config.messages import compiled
from gateway.config.schema.entries import CONTENTS, EntryKeys
from gateway.config.schema.reading import Reading
from gateway.destinations.escapes import no_escape
from gateway.render import Templates
from gateway.routing.gathering import Debounce, Digest
from gateway.routing.hours import Returning

#: Keys that say when something is sent; an entry has at most one of them.
_ONE_OF = ("delay", "digest", "debounce")


class GatheringCompiler:
    """Compiles what gathers, checked against the fields that events have."""

    def __init__(self, reading: Reading, fields: Fields) -> None:
        self._reading = reading
        self._fields = fields

    def gathers(self, keys: EntryKeys, sources: tuple[str, ...], templates: Templates) -> Digest | Debounce | None:
        """What an entry does with several events; None: it sends each by itself. ``templates``: those of its events."""
        written = [key for key in _ONE_OF if key in keys.written]
        if len(written) > 1:
            message = f'"{keys.called}" has both "{written[0]}" and "{written[1]}"'
            self._reading.error(keys.key_at(written[1]), message, "keep one: each of them says when it is sent")
        for key in written:
            if key != "delay":
                checks.sent_nowhere(self._reading, keys, key)
        return self._digest(keys, sources) if keys.digest is not None else self._debounce(keys, templates)

    def _digest(self, keys: EntryKeys, sources: tuple[str, ...]) -> Digest | None:
        written = keys.digest
        assert written is not None
        given = [key for key in ("every", "at") if key in written.written]
        if len(given) != 1:
            found = "both every and at" if given else "neither every nor at"
            message = f'digest of "{keys.called}" has {found}'
            self._reading.error(written.place, message, "write {every: 15m} or {at: mon 09:00}")
        elif "zone" in written.written and given == ["every"]:
            message = f'zone of the digest of "{keys.called}" has no effect without at'
            self._reading.error(written.key_at("zone"), message, "remove it")
        for each in keys.send or (keys,):
            if each.to != () and not any(content in each.written for content in CONTENTS):
                message = f'"{each.called}" has no content: a digest has no event of its own to send'
                self._reading.error(each.place, message, 'write text: "{{ count }} new contacts", body or template')
        if written.every is None and written.moment is None:
            return None
        day, minutes = written.moment or (None, 0)
        returning = Returning(day=day, at_min=minutes, zone=written.zone or "UTC") if written.moment else None
        return Digest(every_s=written.every, at=returning, most=written.most, by=self._by(keys, sources))

    def _by(self, keys: EntryKeys, sources: tuple[str, ...]) -> tuple[str, ...]:
        by = keys.digest.by if keys.digest else None
        if by is None:
            return ()
        if "{" in by.text:
            message = f'by of the digest of "{keys.called}" must be the path of a field'
            self._reading.error(by.node, message, "write by: attrs.source_id")
            return ()
        is_known = self._fields.check(by.node, sources, self._fields.roots(sources))
        return checks.path_to_one(self._reading, by) if is_known else ()

    def _debounce(self, keys: EntryKeys, templates: Templates) -> Debounce | None:
        written = keys.debounce
        if written is None or written.per is None or written.for_s is None:
            return None
        if written.at_most is not None and written.at_most < written.for_s:
            message = f'debounce of "{keys.called}": at_most is shorter than for'
            self._reading.error(written.at("at_most"), message, "make it at least as long")
        per = compiled(self._reading, templates.text, written.per, no_escape)
        if "{{" not in written.per.text:
            message = f'"debounce" of "{keys.called}" has the same key for every event, so only the last event of all would be sent'
            self._reading.error(written.at("per"), message, 'name a field: per: "{{ attrs.id }}"')
        at_most_s = math.inf if written.at_most is None else written.at_most
        return None if per is None else Debounce(per=per, quiet_s=written.for_s, at_most_s=at_most_s)
