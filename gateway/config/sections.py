"""The compiled entries of a file, by name and by section."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gateway import presets
from gateway.config.schema.entries import EntryKeys
from gateway.routing.entries import Entries, Entry, Sections

#: Each entry as it is written, with what it was compiled to: itself and the elements of its ``send``.
Compiled = Sequence[tuple[EntryKeys, Sequence[Entry]]]


def by_name(entries: Compiled) -> Mapping[str, Entry]:
    """All of them, elements of ``send`` too."""
    return MappingProxyType({each.name: each for _, found in entries for each in found})


def sections(entries: Compiled) -> Sections:
    """The sections that route events."""
    return Sections(
        always=section("always", entries), routed=section("routes", entries), unmatched=section("unmatched", entries)
    )


def own_sections(entries: Compiled) -> Sections:
    """Those for events of the gateway itself."""
    return sections([(keys, found) for keys, found in entries if _takes_own(found[0])])


def section(name: str, entries: Compiled) -> Entries:
    """The entries of one section, without the elements of their ``send``."""
    return Entries([found[0] for keys, found in entries if keys.section == name])


def _takes_own(entry: Entry) -> bool:
    return entry.rule.sources is not None and presets.OWN in entry.rule.sources
