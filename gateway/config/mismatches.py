"""Conditions that the samples of a source never meet: a value of another type, a field that is elsewhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from gateway.config.alternatives import in_one_text
from gateway.event import tracks
from gateway.event.conditions import Change, Check, Clause, Condition
from gateway.event.operators import OPERATORS, ORDERED
from gateway.event.paths import EACH, MISSING, Each, Facts, Path, PathRefused, as_written, elements, lookup, parse_path
from gateway.event.values import as_json, as_number, number
from gateway.wording import closest, folded

#: Characters of the shortest name that is taken for a misspelt one.
_SHORTEST: Final = 4

#: Roots whose fields are not the sender's records.
_OF_REQUESTS: Final = ("event", "headers", "query", "vars")
#: Roots of what samples do not show.
UNSAMPLED: Final = ("headers", "query", "vars", *tracks.ROOTS)
#: Names for the size of a value, which other languages have as a field of it.
_MEASURES: Final = frozenset({"length", "size", "count"})

#: The values of a field in each sample, with the sample's type.
Values = Sequence[tuple[str, object]]

_KINDS: Final[Mapping[type, str]] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


def mismatched(field: str, condition: Condition, values: Values) -> tuple[str, str] | None:
    """Why a condition does not mean for any sample what it seems to mean, and what to write; None if it may."""
    found = [(event_type, value) for event_type, value in values if value is not MISSING and value is not None]
    if joined := in_one_text(field, condition, [value for _, value in found]):
        return joined
    if isinstance(condition, Change):
        compared = (*(condition.was or ()), *(condition.now or ()))
        if not compared:
            return None
        condition = Clause(path=condition.path, values=compared, text=condition.text)
    if isinstance(condition, Clause):
        kinds = {_KINDS[type(each)] for each in condition.values}
        if None in condition.values or any(_KINDS[type(value)] in kinds for _, value in found):
            return None
        return next((_unequal(field, condition, event_type, value) for event_type, value in found), None)
    if isinstance(condition, Check) and not condition.number and OPERATORS[condition.operator].operand.kind is ORDERED:
        return _not_a_number(field, condition, found)
    return None


def _unequal(field: str, condition: Clause, event_type: str, value: object) -> tuple[str, str]:
    if isinstance(value, list):
        written = condition.text.partition(": ")[2]
        message = f"{field} is a list in the sample {event_type}, and is never equal to a single value"
        return message, f"write {field}: {{contains: {written}}}"
    kind = _KINDS[type(condition.values[0])]
    message = f"{field} is {_KINDS[type(value)]} in the sample {event_type}, and is never equal to {kind}"
    match value:
        case bool() | int() | float():
            return message, f"write {str(value).lower()}{', without quotes' if kind == 'a text' else ''}"
        case str():
            return message, f'write "{value[:40]}", in quotes'
    return message, "name one of its fields"


def _not_a_number(field: str, condition: Check, found: Values) -> tuple[str, str] | None:
    """A text that shows a number, and is compared with one."""
    if not found or any(number(each) is None for each in condition.operands):
        return None
    if not all(isinstance(value, str) and number(as_number(value)) is not None for _, value in found):
        return None
    listed = ", ".join(map(as_json, condition.operands))
    operands = listed if len(condition.operands) == 1 else f"[{listed}]"
    message = f"{field} is a text in the sample {found[0][0]}, which {condition.operator} never compares with a number"
    return message, f"write {field}: {{number: true, {condition.operator}: {operands}}}"


def nearest(field: str, samples: Sequence[Facts]) -> str:
    """What to write for a field that no sample has."""
    above, dot, word = field.rpartition(".")
    if dot and word in OPERATORS:
        return f"write {above}: {{{word}: ...}}, or name a field that exists"
    if sized := measured(field, samples):
        return f"write if: ({sized} | length) > 2"
    path = parse_path(field)
    for facts in samples:
        through = _through_lists(facts, path)
        if through != path and any(value is not MISSING for value in elements(facts, through)):
            return f"write {as_written(through)} for any element of the list"
    found = elsewhere(field, samples) or misspelt(field, samples) or _deeper(field, samples)
    return found or "name a field that exists"


def misspelt(field: str, samples: Sequence[Facts]) -> str:
    """The field that was meant by a path which no sample has, for one name of it that is misspelt; empty if there is none."""
    right = meant(field, samples)
    return f'did you mean "{written_as_field(right)}"?' if right else ""


def meant(field: str, samples: Sequence[Facts]) -> Path:
    """The path of that field, as far as a sample has it."""

    def close_to(name: str, names: Sequence[str]) -> str:
        return closest(name, names, closeness=0.75)

    return _meant(parse_path(field), samples, close_to)


def better(field: str, samples: Sequence[Facts]) -> str:
    """What a template should read instead of a field that no sample has; empty if nothing is like it."""
    sized = measured(field, samples)
    return (
        f"write {sized} | length"
        if sized
        else elsewhere(field, samples) or misspelt(field, samples) or _deeper(field, samples)
    )


def in_template(field: str, samples: Sequence[Facts]) -> str:
    """The same where a value is printed, also for a field of a list, which its elements have."""
    path = _parsed(field)
    for facts in samples:
        through = _through_lists(facts, path)
        if (
            EACH not in path
            and through.count(EACH) == 1
            and any(value is not MISSING for value in elements(facts, through))
        ):
            at = through.index(EACH)
            whole, rest = written_as_field(through[:at]), through[at + 1 :]
            if len(rest) == 1:
                return f'write {whole} | map("{rest[0]}") | join(", ")'
            return f"write {written_as_field((*through[:at], '0', *rest))} for the first element"
    return better(field, samples)


#: Where a field is looked for that is below another root, in this order; any other root comes after them.
_HOMES: Final = ("attrs", "payload")


def elsewhere(field: str, samples: Sequence[Facts]) -> str:
    """``did you mean "payload.pusher.name"?`` for ``attrs.pusher.name`` or ``pusher.name``; empty if a sample has it, or none has it anywhere."""
    path = home(field, samples)
    return f'did you mean "{written_as_field(path)}"?' if path else ""


def home(field: str, samples: Sequence[Facts]) -> Path:
    """Where samples have a field that is below another root than it is written; empty if one has it there, or none anywhere."""
    path = parse_path(field)
    if any(_has(facts, path) for facts in samples):
        return ()
    roots = [*_HOMES, *(root for facts in samples for root in facts if root not in (*_HOMES, *_OF_REQUESTS))]
    is_rooted = any(path[0] in facts for facts in samples)
    for below in (path[1:],) if is_rooted else (path, path[1:]):
        for root in dict.fromkeys(roots) if below else ():
            if any(_has(facts, (root, *below)) for facts in samples):
                return (root, *below)
    if len(path) == 1:
        return next(filter(None, (_below(facts, path[0]) for facts in samples)), ())
    is_known = any(_has(facts, path[: 1 + is_rooted]) for facts in samples)
    return () if is_known else _end_of(path[is_rooted:], samples)


def _deeper(field: str, samples: Sequence[Facts]) -> str:
    """``did you mean "payload.data.object.id"?`` for ``payload.data.id``; empty if a sample has it, or there are several such."""
    path = _below_maps(field, samples)
    return f'did you mean "{written_as_field(path)}"?' if path else ""


def _below_maps(field: str, samples: Sequence[Facts]) -> Path:
    """The path of that field; empty if there is none, or several."""
    path = _parsed(field)
    if EACH in path or any(_has(facts, path) for facts in samples):
        return ()
    found = set[Path]()
    for facts in samples:
        end = next((end for end in range(len(path) - 1, 0, -1) if _has(facts, path[:end])), 0)
        if end:
            found |= set(_nearest(facts, path[:end], path[end:]))
    return next(iter(found)) if len(found) == 1 else ()


def _nearest(facts: Facts, above: Path, below: Path) -> Sequence[Path]:
    """The paths that lead to ``below`` through as few maps as possible."""
    level = [above]
    while level:
        level = [
            (*path, key)
            for path in level
            if isinstance(value := lookup(facts, [str(each) for each in path]), Mapping)
            for key in value
            if isinstance(key, str)
        ]
        if found := [(*path, *below) for path in level if _has(facts, (*path, *below))]:
            return found
    return []


def in_loop(field: str, around: Sequence[tuple[str, str]], samples: Sequence[Facts]) -> str:
    """``did you mean "item.title"?`` for ``product.title`` in a loop whose elements have it; empty if none has.

    ``around``: the variable and the list of each loop.
    """
    below = field.partition(".")[2]
    for variable, values in around if below else ():
        path = (*_parsed(values), EACH, *_parsed(below))
        if any(_has(facts, path) for facts in samples):
            return f'did you mean "{variable}.{below}"?'
    return ""


def _parsed(field: str) -> Path:
    try:
        return parse_path(field)
    except PathRefused:
        return ("",)


def spelled(field: str, samples: Sequence[Facts]) -> str:
    """The field as the samples write it, if they have it with other capitals or marks between words."""
    found: Path = ()
    for segment in _parsed(field):
        above = [value for facts in samples for value in (elements(facts, found) if found else [facts])]
        names = [name for value in above if isinstance(value, Mapping) for name in value]
        found = (*found, segment if segment in names else next(filter(partial(_is_like, segment), names), segment))
    return written_as_field(found)


def in_samples(field: str, samples: Sequence[Facts]) -> str:
    """The same, below the root where samples have it."""
    found = spelled(field, samples)
    return written_as_field(home(found, samples) or _below_maps(found, samples)) or found


def below_a_root(field: str, samples: Sequence[Facts]) -> str:
    """``did you mean "payload.pusher.name"?`` for ``pusher.name``, of which samples have the first name at least; empty if none has."""
    path = _parsed(field)
    found = next((root for root in _HOMES if any(_has(facts, (root, *path)) for facts in samples)), "")
    if not found and (right := _end_of(path, samples)):
        return f'did you mean "{written_as_field(right)}"?'
    found = found or next((root for root in _HOMES if any(_has(facts, (root, path[0])) for facts in samples)), "")
    return f'did you mean "{written_as_field((found, *path))}"?' if found else ""


def _end_of(path: Path, samples: Sequence[Facts]) -> Path:
    """Where samples have the end of a path that begins where the sender's request does, which a source may split."""
    for start in range(1, len(path) - 1):
        for root in _HOMES:
            end = (root, *path[start:])
            is_named = sum(isinstance(each, str) and not each.isdecimal() for each in end) > _LEAST
            if is_named and any(_has(facts, end) for facts in samples):
                return end
    return ()


#: Names that a path and a field elsewhere have in common at least.
_LEAST: Final = 2
#: Fields by which people know a thing, the best first.
_NAMES: Final = ("name", "title", "label", "subject", "sku", "email", "id")


def usual_name(values: str, samples: Sequence[Facts]) -> str:
    """A field by which people know the elements of a list; ``name`` if samples do not show them."""
    path = (*_parsed(values), EACH)
    found = [each for facts in samples for each in elements(facts, path) if isinstance(each, Mapping)]
    names = [name for each in found for name in each if isinstance(name, str)]
    return next((name for name in _NAMES if name in names), names[0] if names else "name")


def _is_like(segment: str | Each, name: str) -> bool:
    return isinstance(segment, str) and folded(segment) == folded(name)


def _below(facts: Facts, name: str | Each) -> Path:
    """The shortest path to a field of that name in the maps of attrs or the payload; empty if none has it."""
    places: list[tuple[Path, object]] = [((root,), facts.get(root)) for root in _HOMES]
    for path, place in places:
        for key, value in place.items() if isinstance(place, Mapping) else ():
            if key == name:
                return (*path, key)
            places.append(((*path, key), value))
    return ()


def measured(field: str, samples: Sequence[Facts]) -> str:
    """The value of which ``attrs.items.length`` wants to know the size; empty if it is not about one, or the field exists."""
    above, _, name = field.rpartition(".")
    is_size = name in _MEASURES and above and not any(_has(facts, parse_path(field)) for facts in samples)
    return above if is_size else ""


def _meant(path: Path, samples: Sequence[Facts], close_to: Callable[[str, Sequence[str]], str]) -> Path:
    """The path with the first name that a sample lacks put right; empty if any has it, or none has one like it."""
    if any(_has(facts, path) for facts in samples):
        return ()
    for facts in samples:
        at = next((end for end in range(1, len(path)) if not _has(facts, path[: end + 1])), 0)
        for place in elements(facts, path[:at]) if at else ():
            names = [each for each in place if isinstance(each, str)] if isinstance(place, Mapping) else []
            if right := close_to(str(path[at]), names):
                meant = (*path[:at], right, *path[at + 1 :])
                return meant if _has(facts, meant) else meant[: at + 1]
    return ()


def written_as_field(path: Path) -> str:
    """A path as conditions and templates both read it: there, ``a.b-c`` is a subtraction and ``a.0`` an element."""
    return "".join(map(_step, path)).removeprefix(".")


def _step(segment: str | Each) -> str:
    if isinstance(segment, Each):
        return "[*]"
    if segment.isdecimal():
        return f"[{segment}]"
    return f".{segment}" if re.fullmatch(r"\w+", segment) else f"['{segment}']"


def _has(facts: Facts, path: Path) -> bool:
    return any(value is not MISSING for value in elements(facts, path))


def lacks(facts: Facts, path: Path) -> bool:
    """Whether nothing is at a path. Of what is null or empty, it is not known what it can hold."""
    found: list[object] = [facts]
    for segment in path:
        if any(_is_unknown(each, segment) for each in found):
            return False
        found = [value for each in found for value in elements(each, (segment,)) if value is not MISSING]
    return not found


def _is_unknown(value: object, segment: str | Each) -> bool:
    if isinstance(value, list) and isinstance(segment, str):
        return segment.isdecimal()
    return value is None or value in ({}, []) or (segment is EACH and not isinstance(value, list))


def typo(field: str, samples: Sequence[Facts]) -> str:
    """The path that was meant if a name of one has two letters swapped, or one too many, too few or wrong inside.

    Empty if a sample has the path, or none has one like it. A name that only ends differently (``phone2``,
    ``updated_at``) is one of its own.
    """

    def close_to(name: str, names: Sequence[str]) -> str:
        return next((each for each in names if _is_typo(name, each)), "")

    return written_as_field(_meant(parse_path(field), samples, close_to))


def _is_typo(written: str, meant: str) -> bool:
    shorter, longer = sorted((written, meant), key=len)
    if written == meant or len(shorter) < _SHORTEST or len(longer) > len(shorter) + 1:
        return False
    if sorted(written) == sorted(meant):
        return True
    same = (one == other for one, other in zip(shorter, longer, strict=False))
    at = next((number for number, each in enumerate(same) if not each), len(shorter))
    is_number = longer[at].isdigit() or shorter[at : at + 1].isdigit()
    rest = shorter[at + 1 :] if len(longer) == len(shorter) else shorter[at:]
    return at > 0 and not is_number and bool(rest) and longer[at + 1 :] == rest


def _through_lists(facts: Facts, path: Path) -> Path:
    """The path with ``[*]`` wherever it enters a list without saying which element."""
    found: Path = ()
    for segment in path:
        values = elements(facts, found) if found else [facts]
        is_list = any(isinstance(value, list) for value in values)
        if is_list and segment is not EACH and not (isinstance(segment, str) and segment.isdecimal()):
            found = (*found, EACH)
        found = (*found, segment)
    return found
