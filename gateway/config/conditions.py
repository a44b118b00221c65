"""Compiles ``where`` and ``conditions`` to what is matched."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from gateway.config.schema.conditions import Field, Is, Nested, Where, together
from gateway.config.schema.reading import Reading, Words
from gateway.errors import Place
from gateway.event.conditions import Change, Combined, Condition, combined, constant
from gateway.event.paths import Path

#: Lines of one entry with every name replaced by its lines: names inside names grow fast.
MAX_LINES: Final = 10_000


def _groups(line: Field | Nested | Is) -> Sequence[Where]:
    return line.groups if isinstance(line, Nested) else ()


def _size(line: Field | Nested | Is) -> int:
    return 1 + sum(_size(each) for group in line.groups for each in group) if isinstance(line, Nested) else 1


class ConditionCompiler:
    """Checks maps of conditions against the fields that exist, and replaces names by their conditions."""

    def __init__(self, reading: Reading, named: Mapping[str, Where]) -> None:
        self._reading = reading
        self._named = named
        self._left = 0
        self._tracked: Collection[Path] = ()
        #: Cycles already reported: each of their members leads into them.
        self._cycles: set[frozenset[str]] = set()

    def compile(
        self, where: Where, check_field: Callable[[Field], None], tracked: Collection[Path] = ()
    ) -> tuple[Condition, ...]:
        """The conditions to match; reports every problem with a path or a name.

        ``tracked``: where the fields are that the sources remember.
        """
        self._left = MAX_LINES
        self._tracked = tracked
        return self._lines(where, check_field, ())

    def required(self, where: Where) -> Sequence[Field]:
        """The lines about a field that must hold in any case."""
        found: list[Field] = []
        for line in where:
            match line:
                case Field():
                    found.append(line)
                case Nested(how="all", groups=groups):
                    found += [field for group in groups for field in self.required(group)]
                case Is(names=(name,)):
                    found += self.required(self._named.get(name.text, ()))
        return found

    def constants(self, where: Where) -> Iterator[tuple[Place, str, bool]]:
        """The innermost lines that hold for every event or for none: place, text, and whether they always hold.

        Only for conditions that compiled without a problem.
        """
        for line in where:
            inner = [found for group in _groups(line) for found in self.constants(group)]
            yield from inner
            verdict = self._verdict(line)
            if verdict is not None and not inner:
                match line:
                    case Nested(place=place, text=text):
                        yield place, text, verdict
                    case Field(path=path, conditions=conditions):
                        yield path.place, ", ".join(each.text for each in conditions), verdict

    def _verdict(self, line: Field | Nested | Is) -> bool | None:
        match line:
            case Field(conditions=conditions):
                return combined("all", map(constant, conditions))
            case Nested(how=how, groups=groups):
                return combined(how, map(self._verdict_of_all, groups))
            case Is(names=names):
                return combined("any", (self._verdict_of_all(self._named[name.text]) for name in names))

    def _verdict_of_all(self, where: Where) -> bool | None:
        return combined("all", map(self._verdict, where))

    def _lines(
        self, where: Where, check_field: Callable[[Field], None], around: tuple[str, ...]
    ) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for line in where:
            match line:
                case Field(conditions=conditions):
                    check_field(line)
                    found += self._placed(conditions)
                case Nested(_, how, groups, text):
                    inner = tuple(self._group(group, check_field, around) for group in groups)
                    found.append(Combined(how=how, conditions=inner, text=text))
                case Is(names, text):
                    inner = tuple(self._is(name, check_field, around) for name in names)
                    found.append(Combined(how="any" if len(inner) > 1 else "all", conditions=inner, text=text))
        return tuple(found)

    def _placed(self, conditions: Iterable[Condition]) -> Iterator[Condition]:
        """With the path of what became of a field below what is remembered."""
        for each in conditions:
            match each:
                case Change(path=path):
                    root = next((root for root in self._tracked if path[: len(root)] == root), path[:1])
                    yield replace(each, below=path[len(root) :])
                case Combined(conditions=inner):
                    yield replace(each, conditions=tuple(self._placed(inner)))
                case _:
                    yield each

    def _group(self, where: Where, check_field: Callable[[Field], None], around: tuple[str, ...]) -> Condition:
        return together(self._lines(where, check_field, around))

    def _is(self, name: Words, check_field: Callable[[Field], None], around: tuple[str, ...]) -> Condition:
        nothing = Combined(how="any", conditions=(), text=name.shown)
        if self._left < 0:
            return nothing
        self._left -= sum(map(_size, self._named.get(name.text, ())))
        if self._left < 0:
            message = f"with its named conditions written out, this has more than {MAX_LINES:,} lines"
            self._reading.error(name.node, message, "use fewer conditions inside conditions")
            return nothing
        if name.text not in self._named:
            self._reading.refuse_unknown("condition", name.node, name.shown, self._named)
            return nothing
        if name.text in around:
            self._refuse_cycle(name, around[around.index(name.text) :])
            return nothing
        return self._group(self._named[name.text], check_field, (*around, name.text))

    def _refuse_cycle(self, name: Words, cycle: tuple[str, ...]) -> None:
        if frozenset(cycle) not in self._cycles:
            self._cycles.add(frozenset(cycle))
            path = " > ".join((*cycle, name.text))
            self._reading.error(
                name.node, f"this condition refers to itself: {path}", 'replace one "is:" with its conditions'
            )
