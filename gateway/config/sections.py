"""The compiled entries of a file, by name and by section."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gateway import presets
from gateway.config.schema.entries import EntryKeys
from gateway.routing.entries import Entries, Entry, Fetch, Sections

#: Each entry as it is written, with what it was compiled to: itself and the elements of its ``send``.
Compiled = Sequence[tuple[EntryKeys, Sequence[Entry]]]


def by_name(entries: Compiled) -> Mapping[str, Entry]:
    """All of them, elements of ``send`` too."""
    return MappingProxyType({each.name: each for _, found in entries for each in found})


def sections(entries: Compiled) -> Sections:
    """The sections that route events."""
    return Sections(
        always=section("always", entries),
        routed=section("routes", entries),
        unmatched=section("unmatched", entries),
        invalid=section("invalid", entries),
    )


def own_sections(entries: Compiled) -> Sections:
    """Those for events of the gateway itself."""
    return sections([(keys, found) for keys, found in entries if found[0].names_source(presets.OWN)])


def fetches(entries: Compiled) -> Mapping[str, Sequence[Fetch]]:
    """What entries look up before they send, by name; without those that look nothing up."""
    return MappingProxyType({each.name: each.fetches for _, found in entries for each in found if each.fetches})


def with_hours(entries: Compiled) -> frozenset[str]:
    """The names of those whose deliveries wait until their hours open."""
    return frozenset(each.name for _, found in entries for each in found if each.waits_for_hours)


def section(name: str, entries: Compiled) -> Entries:
    """The entries of one section, without the elements of their ``send``."""
    return Entries([found[0] for keys, found in entries if keys.section == name])


def timed(entries: Compiled) -> frozenset[str]:
    """The names of those that do not always send at once."""
    return frozenset(each.name for _, found in entries for each in found if each.timing or each.gathers)
