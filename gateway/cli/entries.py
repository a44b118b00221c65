"""Why each entry of routes.yaml matches an event or does not, clause by clause, for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
import msgspec

from gateway.cli.terminal import local
from gateway.wording import printable

#: Longest value shown next to its clause, characters.
_LONGEST_SEEN: Final = 120
#: Longest clause that takes part in aligning the values, characters.
_WIDEST: Final = 56


def fired_before(held_back: Mapping[str, Any]) -> str:
    """Why a route with ``once`` did not send an event."""
    when = local(held_back["fired_at"])
    return f"fired already for the key {held_back['key']}: {held_back['event_id']}, {when}"


def changed(tracked: Mapping[str, Any] | None) -> Iterator[str]:
    """What an event changed in its record, a line each; nothing if its source remembers none."""
    if tracked is None:
        return
    if not tracked["changes"]:
        known = (
            "none of the known fields of its record"
            if tracked["before"]
            else "unknown: this is the first event about its record"
        )
        yield f"changed  {known}"
    for each in tracked["changes"]:
        yield printable(f"changed  {each['name']}: {_short(each['before'])} -> {_short(each['after'])}")


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_SEEN else f"{text[:_LONGEST_SEEN]}…"


def lines(considered: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every entry of an explanation, by section, with its clauses."""
    width = max((len(_called(entry)) for entry in considered), default=0)
    clauses = [text for entry in considered for text, _ in _clauses(entry["clauses"], 0)]
    column = max((len(text) for text in clauses if len(text) <= _WIDEST), default=0)
    section = ""
    for entry in considered:
        if entry["section"] != section:
            section = entry["section"]
            yield f"\n{section}"
        yield from _entry_lines(entry, width, column)


def _called(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']} ({entry['place']})"


def _entry_lines(entry: Mapping[str, Any], width: int, column: int) -> Iterator[str]:
    from gateway.rehearsal.explained import in_words

    mark = _mark(held=entry["taken"]) if entry["considered"] else " -  "
    clauses = list(_clauses(entry["clauses"], 0))
    head = f"  {mark} {_called(entry):<{width}}"
    if len(clauses) == 1 and not entry["taken"]:
        # Most entries are about other events: they get one line each.
        yield f"{head}  {_clause_line(*clauses[0], column)}"
        return
    yield f"{head}  {printable(in_words(entry))}".rstrip()
    for text, clause in clauses:
        yield f"         {_mark(held=clause['held'])} {_clause_line(text, clause, column)}"


def _clause_line(text: str, clause: Mapping[str, Any], column: int) -> str:
    return f"{printable(text):<{column}}  {_seen(clause)}".rstrip()


def _mark(*, held: bool) -> str:
    return click.style("yes", fg="green") + " " if held else click.style("no", fg="red") + "  "


def _clauses(clauses: Sequence[Mapping[str, Any]], depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each clause with its text, followed by those inside it, indented."""
    for clause in clauses:
        yield "  " * depth + clause["text"], clause
        yield from _clauses(clause.get("inner", ()), depth + 1)


def _seen(clause: Mapping[str, Any]) -> str:
    """``attrs.type: "lead"``, ``attrs.type: missing``, or why the expression failed."""
    if "error" in clause:
        return printable(f"fails, which counts as yes: {clause['error']}")
    if "field" not in clause:
        return ""
    value = "missing" if clause["missing"] else _short(clause["seen"])
    return printable(f"{clause['field']}: {value}")
