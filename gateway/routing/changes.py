"""The differences between two configurations by name, for the log and for a person who just saved the file."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType, NoneType
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple, replace

from gateway.errors import Place
from gateway.model import Secret
from gateway.routing import Config, Destination, Source
from gateway.wording import count, few

#: Number of names listed for each kind of change.
_NAMED: Final = 8
#: Types compared by value.
_PLAIN: Final = frozenset({str, bytes, int, float, bool, NoneType, Secret})
#: Types not compared: places do not matter, and classes are the same in every configuration.
_NOT_WRITTEN: Final = frozenset({Place, type})
#: A function's closure may lead back to the function.
_DEEPEST: Final = 40


def changed(old: Config, new: Config) -> str:
    """``1 route changed (new-lead), 1 destination added (crm)``, or ``nothing``; entries of all sections count as routes."""
    changes = [
        *_differences("source", _sources(old), _sources(new)),
        *_differences("destination", _destinations(old), _destinations(new)),
        *_differences("variable", _vars(old), _vars(new)),
        *_differences("route", (old.shadow or old).entries, (new.shadow or new).entries),
    ]
    if old.limits != new.limits:
        changes.append("limits changed")
    if old.peers != new.peers:
        changes.append("trusted proxies or shares changed")
    if old.retention != new.retention:
        changes.append("retention changed")
    if not changes and _order(old) != _order(new):
        changes.append("the order of routes changed")
    return ", ".join(changes) or "nothing"


def gone(old: Config, new: Config) -> AbstractSet[tuple[str, str]]:
    """(route, destination) of every delivery that ``old`` could send and ``new`` cannot."""
    return _pairs(old) - _pairs(new)


def renewed(old: Config, new: Config) -> Collection[str]:
    """The destinations of both to which something else is sent now."""
    entries = _changed_names(old.entries, new.entries)
    found = {
        *_changed_names(_destinations(old), _destinations(new)),
        *(to for name in entries for to in new.entries[name].messages),
    }
    return [name for name in new.destinations if name in found and name in old.destinations]


def _pairs(config: Config) -> AbstractSet[tuple[str, str]]:
    return {
        (name, destination)
        for name, entry in config.entries.items()
        for destination in entry.messages
        if destination in config.destinations
    }


def _sources(config: Config) -> Mapping[str, Source]:
    """The sources without the variables, which each of them carries."""
    return {name: replace(source, naming=replace(source.naming, vars={})) for name, source in config.sources.items()}


def _destinations(config: Config) -> Mapping[str, Destination]:
    """The destinations without what the look-ups of routes ask of them."""
    return {name: replace(each, lookups_s=0.0, group="") for name, each in config.destinations.items()}


def _vars(config: Config) -> Mapping[str, object]:
    return next((source.naming.vars for source in config.sources.values()), {})


def _order(config: Config) -> object:
    sections = config.sections
    return tuple(config.entries), len(sections.always), len(sections.routed), len(config.failed)


def _differences(noun: str, old: Mapping[str, object], new: Mapping[str, object]) -> Sequence[str]:
    groups = {
        "added": [name for name in new if name not in old],
        "changed": _changed_names(old, new),
        "removed": [name for name in old if name not in new],
    }
    return [_counted(noun, verb, names) for verb, names in groups.items() if names]


def _changed_names(old: Mapping[str, object], new: Mapping[str, object]) -> Sequence[str]:
    return [name for name in new if name in old and _essence(old[name]) != _essence(new[name])]


def _counted(noun: str, verb: str, names: Collection[str]) -> str:
    return f"{count(len(names), noun)} {verb} ({few(names, _NAMED)})"


def _essence(value: Any, depth: int = 0) -> object:
    """A value as it was written: values compiled from the same text are equal, wherever the text is.

    Templates and conditions compile to functions. A function is compared by what it closes over, which includes a
    template's text; any other object is compared by its class.
    """
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind in _NOT_WRITTEN or depth > _DEEPEST:
        return None
    depth += 1
    if kind is FunctionType:
        cells = value.__closure__ or ()
        return value.__qualname__, tuple([_essence(cell.cell_contents, depth) for cell in cells])
    if isinstance(value, Struct):
        return kind, tuple([_essence(each, depth) for each in astuple(value)])
    if is_dataclass(value):
        return kind, tuple([_essence(getattr(value, each.name), depth) for each in fields(value) if each.compare])
    match value:
        case Mapping():
            return tuple([(key, _essence(each, depth)) for key, each in value.items()])
        case AbstractSet():
            return frozenset([_essence(each, depth) for each in value])
        case list() | tuple():
            return tuple([_essence(each, depth) for each in value])
        case partial():
            return _essence((value.func, value.args, value.keywords), depth)
    return kind
