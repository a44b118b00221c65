"""``${NAME}``, ``${NAME:-default}``, ``${NAME:number}``, ``${file:/path}`` and ``$${`` inside values.

They are resolved after parsing, so a value can never become YAML; in a template it stays literal text. Values from
outside are treated as secrets: problems show the reference, never the value.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final

from msgspec import Struct, field

from gateway.config.text.disk import Values
from gateway.render import actions
from gateway.render.texts import line_breaks

#: A reference, the escape, or a ``${`` that is neither.
_REFERENCE: Final = re.compile(
    r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::number|:-(?P<default>[^}]*))?|file:(?P<file>[^}]+))\}|\$\{"
)
_NUMBER: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*:number\}")
_MAX_FILE_BYTES: Final = 64 * 1024


#: A variable as other programs refer to it, or as it is written too loosely; and a field in a JavaScript template.
_NEARLY: Final = re.compile(
    r"\{?\s*(?:(?:(?:\w+\.)?env[.:]|secrets\.|vars\.)\s*)?(?P<name>[A-Z_][A-Z0-9_]*)\s*(?::\?[^}]*)?(?:\}\}?|\Z)"
)
#: A default as a shell writes it without its colon, or another program without its hyphen.
_DEFAULT: Final = re.compile(r"\s*(?P<name>[A-Z_][A-Z0-9_]*)\s*[:|-][^}]*\}")
_FIELD: Final = re.compile(r"\{?\s*(?P<field>(?:attrs|envelope|event|github|headers|payload|query|vars)\.[^}\n]*)\}")


def _meant(text: str, at: int) -> str:
    """What to write for the ``${`` that ends at ``at``. Part of a value could be part of a secret, and is not repeated."""
    if at == len("${") and (found := _NEARLY.fullmatch(text, at)):
        return f"${{{found['name']}}}"
    if found := _FIELD.match(text, at):
        field = found["field"].strip()
        return f"{{{{ {actions.expression(field) or field} }}}}"
    if (found := _NEARLY.match(text, at)) and text[at] == "{":
        return f"${{{found['name']}}}"
    if text[at : at + 1] == "{":
        return "{{ payload.name }} for a field of the event, or ${NAME} for a variable"
    if at == len("${") and (found := _DEFAULT.fullmatch(text, at)):
        return f"${{{found['name']}:-...}}"
    return "${NAME}, ${NAME:-default}, ${NAME:number} or ${file:/path}"


class ReferenceRefused(ValueError):
    """A reference is malformed or misplaced; ``at``: which character it begins with."""

    def __init__(self, message: str, hint: str, at: int = 0) -> None:
        self.message, self.hint, self.at = message, hint, at
        super().__init__(f"{message}: {hint}")


class Resolved(Struct, frozen=True):
    """A text with its references replaced."""

    text: str
    #: Whether any part of it came from outside.
    is_foreign: bool = False
    #: Unset variables and unreadable files; the text has the stand-in instead.
    missing: tuple[str, ...] = ()
    #: The values from outside, in the order of the references.
    values: tuple[str, ...] = ()
    #: Where each reference ends, in the text with references and in this one.
    ends: tuple[tuple[int, int], ...] = ()

    def breaks(self, written: str, breaks: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Where the file begins its next lines, as offsets in this text; ``breaks``: in the ``written`` one."""
        if not self.ends or not ("\n" in self.text or breaks):
            return breaks
        return tuple(map(self._moved, line_breaks(written) if breaks is None else breaks))

    def _moved(self, offset: int) -> int:
        last = bisect_right(self.ends, offset, key=itemgetter(0))
        before, here = self.ends[last - 1] if last else (0, 0)
        return here + offset - before


class References(Struct, frozen=True):
    """Where values come from. An empty variable or file counts as not set."""

    environ: Mapping[str, str]
    #: The files of ``${file:...}``.
    values: Values
    #: The text used for a missing value, which is reported as well.
    stand_in: str = ""

    def resolve(self, text: str) -> Resolved:
        """Replace every reference. Raises ReferenceRefused for a ``${`` that is not one."""
        return self._replace(text, str)

    def resolve_in_template(self, text: str) -> Resolved:
        """Replace every reference with template source that prints its value literally.

        Raises ReferenceRefused for a reference inside ``{{ }}``, ``{% %}`` or ``{# #}``, where it would be source.
        """
        if "${" in text:
            _refuse_in_tags(text)
        return self._replace(text, _inert)

    def _replace(self, text: str, write: Callable[[str], str]) -> Resolved:
        if "${" not in text:
            return Resolved(text)
        pieces = _Pieces()
        end = here = 0
        for found in _REFERENCE.finditer(text):
            value = self._value(found, pieces)
            written = text[end : found.start()] + (write(value) if found[0] != "$${" else "${")
            pieces.written.append(written)
            end, here = found.end(), here + len(written)
            pieces.ends.append((end, here))
        resolved = "".join((*pieces.written, text[end:]))
        return Resolved(resolved, pieces.is_foreign, tuple(pieces.missing), tuple(pieces.values), tuple(pieces.ends))

    def _value(self, found: re.Match[str], pieces: "_Pieces") -> str:
        if found[0] == "${":
            meant = _meant(found.string, found.end())
            raise ReferenceRefused(
                "this ${ does not begin a valid reference",
                f"write {meant}; or $${{ for a literal ${{",
                found.start(),
            )
        if found[0] == "$${":
            return ""
        pieces.is_foreign = True
        if found["file"]:
            return self._file(found["file"], pieces)
        value = self.environ.get(found["name"], "")
        if value:
            pieces.values.append(value)
            return value
        if found["default"] is None:
            pieces.missing.append(found["name"])
            return self.stand_in
        return found["default"]

    def _file(self, name: str, pieces: "_Pieces") -> str:
        try:
            content = self.values.read(name, _MAX_FILE_BYTES + 1)
            if len(content) > _MAX_FILE_BYTES:
                pieces.missing.append(f"file:{name} (more than 64 KiB)")
                return self.stand_in
            value = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
            if value:
                pieces.values.append(value)
                return value
            # Whoever writes it may have only begun.
            pieces.missing.append(f"file:{name} (empty)")
        except OSError as error:
            why = (error.strerror or "cannot be read").lower()
            pieces.missing.append(f"file:{name} ({why})")
        except ValueError:
            pieces.missing.append(f"file:{name} (not UTF-8 text)")
        return self.stand_in


def is_number(text: str) -> bool:
    """Whether a text is exactly one ``${NAME:number}``: where any type is allowed, its value is a number."""
    return _NUMBER.fullmatch(text) is not None


class _Pieces(Struct):
    written: list[str] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    is_foreign: bool = False
    missing: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


def _refuse_in_tags(text: str) -> None:
    tags = _tags(text)
    raw = next((start for start, _ in tags if _RAW.match(text, start)), None)
    if raw is not None:
        raise ReferenceRefused("a text with {% raw %} cannot contain ${...}", "remove one of them", raw)
    for found in _REFERENCE.finditer(text):
        _, end = tags[before - 1] if (before := bisect_left(tags, (found.start(), 0))) else (0, 0)
        if found.start() < end:
            message = f"{found[0]} is inside braces, where only template source is allowed"
            raise ReferenceRefused(message, "move it outside", found.start())
        if found[0] != "$${" and text.endswith("{", 0, found.start()):
            # Together with this brace, the value or what follows an empty value could open a tag.
            message = f'{found[0]} directly follows a "{{"'
            raise ReferenceRefused(message, "put something between them", found.start())


def _inert(value: str) -> str:
    """Template source that prints ``value``: none of its braces can open a tag."""
    return value.replace("{", '{{ "{" }}')


# --- where a template has tags ---

_CLOSERS: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_RAW: Final = re.compile(r"\{%[-+]?\s*raw\b")
_OPENING: Final = re.compile(r"\{\{|\{%|\{#")
_STRING: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_BRACKETS: Final = {")": "(", "]": "[", "}": "{"}


def literal_text(template: str) -> str:
    """A template without its tags."""
    pieces, end = [], 0
    for start, tag_end in _tags(template):
        pieces.append(template[end:start])
        end = tag_end
    return "".join((*pieces, template[end:]))


def _tags(text: str) -> tuple[tuple[int, int], ...]:
    """The spans of the tags of a template, as Jinja's lexer finds them: strings and brackets inside are skipped."""
    spans = []
    opening = _OPENING.search(text)
    while opening:
        end = _tag_end(text, opening.end(), _CLOSERS[opening[0]])
        spans.append((opening.start(), end))
        opening = _OPENING.search(text, end)
    return tuple(spans)


def _tag_end(text: str, at: int, closer: str) -> int:
    if closer == "#}":
        end = text.find(closer, at)
        return len(text) if end < 0 else end + 2
    brackets: list[str] = []
    while at < len(text):
        if not brackets and text.startswith(closer, at):
            return at + 2
        if text[at] in "'\"":
            string = _STRING.match(text, at)
            if string is None:
                return len(text)
            at = string.end()
            continue
        if text[at] in "([{":
            brackets.append(text[at])
        elif brackets and text[at] in _BRACKETS and brackets[-1] == _BRACKETS[text[at]]:
            brackets.pop()
        at += 1
    return len(text)
