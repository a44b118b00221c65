"""Texts in single braces, with which a source says where names and ids are: ``{payload.kind}.{payload.action|lower}``."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from msgspec import Struct

from gateway.event.paths import MISSING, Facts, PathRefused, lookup, split_path

_FIELD: Final = re.compile(r"\{([^{}|]+)((?:\|\w+)*)\}")

_MODIFIERS: Final[Mapping[str, Callable[[str], str]]] = {
    #: The part after the last separator: ``App\\Models\\Tenant\\Contact`` -> ``Contact``.
    "last": lambda text: text[max(map(text.rfind, "\\/.:")) + 1 :],
    "lower": str.lower,
    #: Only a text with a dot, which is already a whole type.
    "dotted": lambda text: text if "." in text else "",
}

#: Not the value but the last segment of the path, if there is something: ``{payload.postback|named}`` -> ``postback``.
_NAMED: Final = "named"

#: The roots that names and ids read.
_READABLE: Final = ("payload", "headers", "query", "envelope")
#: A field as a template of Jinja prints it.
_OF_JINJA: Final = re.compile(r"\{\{-?\s*([\w.-]+)\s*(?:\|[^{}]*)?\}\}")


def in_single_braces(written: str) -> str:
    """A template of Jinja as a source writes it: ``{payload.kind}`` for ``{{ payload.kind }}``, and for ``{{ kind }}``."""
    single = _OF_JINJA.sub(lambda found: f"{{{_from_root(found[1])}}}", written)
    return "{payload.type}" if "{{" in single else single


def _from_root(path: str) -> str:
    root, dot, below = path.partition(".")
    if root in _READABLE or (dot and root in ("attrs", "event", "vars")):
        return path
    return f"payload.{below if root == 'body' and dot else path}"


def template_problem(source: str) -> tuple[str, str] | None:
    """What is wrong with a ``{path|modifier}`` template, and what to write; None if nothing is."""
    if "{{" in source:
        return "one brace on each side is enough", f'write "{in_single_braces(source)}"'
    for found in _FIELD.finditer(source):
        try:
            root = split_path(found[1])[0]
        except PathRefused as refused:
            return f'"{found[1]}" {refused}', refused.hint
        if root not in _READABLE:
            return (
                f'"{found[1]}" is neither part of the payload nor a header nor a field of the query',
                'write "{payload.type}" or "{headers.x-event}"',
            )
        if found[1].startswith("query.") and found[1].count(".") > 1:
            return (
                f'a field of the query has no parts: "{found[1]}"',
                f'write "{{{".".join(found[1].split(".")[:2])}}}"',
            )
        unknown = next((name for name in found[2].split("|")[1:] if name not in (*_MODIFIERS, _NAMED)), None)
        if unknown is not None:
            return f'unknown modifier "{unknown}"', f"known: {', '.join((*_MODIFIERS, _NAMED))}"
    rest = _FIELD.sub("", source)
    if "{" in rest or "}" in rest or not source:
        return f'"{source}" has a brace without a field', "write {payload.type}"
    return None


class _Field(Struct, frozen=True):
    path: tuple[str, ...]
    modifiers: tuple[Callable[[str], str], ...]
    #: Whether it stands for its own name, if it is there at all.
    is_named: bool = False

    def text(self, value: object) -> str:
        """What is printed of the value at its path."""
        if self.is_named:
            return self.path[-1]
        if not isinstance(value, str):
            if not isinstance(value, int) or isinstance(value, bool):
                return ""
            value = str(value)
        text = value.strip()
        for modify in self.modifiers:
            text = modify(text)
        return text


class Template(Struct, frozen=True):
    """``{path|modifier}`` with literal texts: these and fields, in order; renders to nothing if one of the fields has no text."""

    parts: tuple[str | _Field, ...]

    @classmethod
    def compile(cls, source: str) -> Self:
        parts: list[str | _Field] = []
        end = 0
        for match in _FIELD.finditer(source):
            parts.append(source[end : match.start()])
            names = match[2].split("|")[1:]
            modifiers = tuple(_MODIFIERS[name] for name in names if name != _NAMED)
            parts.append(_Field(split_path(match[1]), modifiers, is_named=_NAMED in names))
            end = match.end()
        parts.append(source[end:])
        return cls(tuple(part for part in parts if part != ""))

    @property
    def paths(self) -> Sequence[tuple[str, ...]]:
        """What it reads."""
        return [part.path for part in self.parts if isinstance(part, _Field)]

    @property
    def reads_request(self) -> bool:
        """Whether it uses a header, the query or the envelope, which events of a request share."""
        return any(path[0] in ("headers", "query", "envelope") for path in self.paths)

    def render(self, facts: Facts) -> str:
        texts = []
        for part in self.parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value: object = facts
            for segment in part.path:
                # As ``lookup``, which every event would ask for each of these paths.
                value = value.get(segment, MISSING) if type(value) is dict else lookup(value, (segment,))
            if value is MISSING or not (text := part.text(value)):
                return ""
            texts.append(text)
        return "".join(texts)
