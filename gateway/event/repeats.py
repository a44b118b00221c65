"""Ids that do not identify: one id under which many different bodies arrive, all but the first as duplicates."""

from collections import OrderedDict
from typing import Final

#: Different bodies under one id that are worth a notice. A sender that counts its attempts in the body makes a few.
MANY: Final = 20
#: What people are told, of a source and a number of bodies.
ID_REPEATED: Final = (
    "{bodies} different bodies have arrived from {source} under one id, and all but the first were taken for duplicates: "
    'check id of the source, which must name a field that differs, in braces: "{{payload.id}}".'
)
#: Events whose duplicates are remembered; the constant id of a source is always among them.
_EVENTS: Final = 1024


class Repeats:
    """Counts the different bodies of duplicates. Bounded, whatever is received."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, set[bytes]] = OrderedDict()
        #: The sources that were reported, with the revision of the configuration.
        self._reported: set[tuple[str, str]] = set()

    def add(self, event_id: str, digest: bytes) -> int:
        """The number of different bodies under the id of an event, up to MANY; 0 if there is no further one."""
        known = self._bodies.setdefault(event_id, set())
        self._bodies.move_to_end(event_id)
        if len(self._bodies) > _EVENTS:
            self._bodies.popitem(last=False)
        if digest in known or len(known) >= MANY:
            return 0
        known.add(digest)
        return len(known)

    def is_news(self, source: str, revision: str) -> bool:
        """Whether a source has not been reported yet with this revision of the configuration."""
        is_new = (source, revision) not in self._reported
        self._reported.add((source, revision))
        return is_new
