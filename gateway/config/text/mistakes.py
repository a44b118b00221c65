"""Common YAML mistakes: explained in plain words, with the corrected line."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import yaml

from gateway.config.text import blocks, comments, indentation, variables
from gateway.config.text.compared import all_but, compared, excluded
from gateway.config.text.nested import nested
from gateway.config.text.quotes import quote_inside, quoted
from gateway.config.text.spots import Mistake, Spot, text_of
from gateway.event.braces import in_single_braces

#: The start of ``key: value`` or ``- value`` on a line, up to the value.
_KEY: Final = r"""^(?P<before>\s*(?:-\s+)*(?:[\w.\-]+:\s+)?)"""
_BARE_REFERENCE: Final = re.compile(
    r"""(?P<before>[{\[,:]\s*)(?P<value>(?:[^\s"'{}\[\],:]|:(?=\S))*)(?P<reference>\$\{(?:\{[^}]*\})?[^}]*\})"""
)
_BRACES_VALUE: Final = re.compile(
    r"(?P<key>[\w.\-]+:)\s+(?P<value>[^\s\"'|>{\[][^\"'{},]*\{\{.*?\}\}[^,}\s]*|\{\{.*?\}\}[^,}#]*)"
)


def explain(error: yaml.YAMLError, lines: Sequence[str]) -> Mistake:
    """The most likely mistake behind a parser's error."""
    spot = _spot(error, lines)
    certain = (
        _tab(spot)
        or blocks.mistake_in(spot.line, lines)
        or blocks.without_sign(spot.began_line, lines)
        or indentation.unindented_text(spot.line, lines)
        or quote_inside(spot)
    )
    certain = certain or _fields_in_text(spot) or comments.in_flow(spot, lines) or _quote_left_open(spot, lines)
    certain = certain or indentation.dash_without_space(spot, lines) or indentation.misindented(spot, lines)
    if certain is not None:
        return certain
    found = (recognize(spot) for recognize in _MISTAKES)
    unknown = Mistake(
        spot.line, spot.column, "this is not valid YAML", "check the line above, too; put texts in quotes"
    )
    return next((mistake for mistake in found if mistake is not None), unknown)


def _spot(error: yaml.YAMLError, lines: Sequence[str]) -> Spot:
    mark = getattr(error, "problem_mark", None)
    began = getattr(error, "context_mark", None) or mark
    line, column = _position(mark, lines)
    began_line, began_column = _position(began, lines)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    section = next(filter(None, (_SECTION.match(text_of(lines, number)) for number in range(line, 0, -1))), None)
    texts = text_of(lines, line), text_of(lines, began_line)
    return Spot(line, column, began_line, began_column, problem, *texts, section[1] if section else "")


_SECTION: Final = re.compile(r"([\w-]+):")


def _position(mark: yaml.Mark | None, lines: Sequence[str]) -> tuple[int, int]:
    if mark is None:
        return 1, 1
    line = min(mark.line + 1, max(1, len(lines)))
    return line, min(mark.column + 1, len(text_of(lines, line)) + 1)


# --- one function per mistake; None: not this one ---


def _tab(spot: Spot) -> Mistake | None:
    indentation = re.match(r"\s*", spot.text)
    if indentation is None or "\t" not in indentation[0]:
        return None
    return Mistake(
        spot.line, indentation[0].index("\t") + 1, "YAML does not allow tabs for indentation", "indent with spaces"
    )


#: Keys whose templates have single braces, and those of paths without any, by section.
_SINGLE: Final = frozenset({("sources", "type"), ("sources", "id"), ("sources", "per")})
_BARE: Final = frozenset(
    {
        *(("sources", key) for key in ("split", "redact", "paths", "fields")),
        ("destinations", "order_by"),
        ("routes", "by"),
    }
)
_ONE_PATH: Final = re.compile(r"\{\{-?\s*([\w.\[\]*-]+)\s*-?\}\}")


def _without_braces(section: str, key: str, value: str) -> str:
    """The value in quotes, with the braces that a key has in its section."""
    if (section, key) in _SINGLE:
        return quoted(in_single_braces(value.strip()))
    path = _ONE_PATH.fullmatch(value.strip())
    return path[1] if path and (section, key) in _BARE else quoted(value)


def bare_braces(line: int, column: int, lines: Sequence[str], path: Sequence[str] = ()) -> Mistake | None:
    """``path: {{ x }}``: YAML reads these braces as a map in a map; ``path``: the section, and the keys below it."""
    text = text_of(lines, line)
    if not text[column - 1 :].startswith("{{"):
        return None
    if without_sign := blocks.without_sign(line, lines):
        return without_sign
    value = re.match(r"(?:\{\{.*?\}\}[^,{}#]*)+", text[column - 1 :])
    key = re.search(r"([\w.\-]+:)\s*$", text[: column - 1])
    value_written = value[0] if value else "{{ ... }}"
    if value_written.count("]") > value_written.count("[") and "[" in text[: column - 1]:
        # It ends the list that the value is in.
        value_written = value_written[: value_written.rindex("]")]
    named = key[1] if key else ""
    right = _without_braces(path[0], path[-1], value_written) if path else quoted(value_written)
    written = f"{named} {variables.reference_for(f'{named} {value_written}') or right}".strip()
    return Mistake(line, column, "a value that starts with {{ needs quotes", f"write {written}")


_BRACKETED_KEY: Final = re.compile(r"[{,]\s*(?P<key>[A-Za-z_][\w.\-]*\[[^\]\s]*\](?:[^\s:,{}]|:(?=\S))*):\s")


def _bracketed_key(spot: Spot) -> Mistake | None:
    """``{payload.items[0].sku: a}``: inside of { } the bracket opens a list."""
    found = next((each for each in _BRACKETED_KEY.finditer(spot.text) if each.start("key") < spot.column), None)
    if found is None:
        return None
    message = "inside { } and [ ], a key with brackets needs quotes"
    return Mistake(spot.line, found.start("key") + 1, message, f"write {quoted(found['key'])}: ...")


def _braces(spot: Spot) -> Mistake | None:
    found = _BRACES_VALUE.search(spot.text)
    if found is None:
        return None
    column, path = found.start("value") + 1, (spot.section, found["key"][:-1])
    return bare_braces(spot.line, column, [""] * (spot.line - 1) + [spot.text], path) or Mistake(
        spot.line,
        column,
        "inside { } and [ ], a value that contains {{ needs quotes",
        f"write {found['key']} {_without_braces(*path, found['value'])}",
    )


#: A text without quotes in which fields or a variable stand beside other text: ``{timestamp}.{body}``, ``Bearer ${TOKEN}``.
_FIELDS_IN_TEXT: Final = re.compile(
    r"""(?:^|[:,\[{-])\s+(?P<value>(?:[^\s"'{}\[\],#&*!|>%@`:-](?:[^"'{}\[\],#:]|:(?=\S))*?)?\$?\{[\w.|:/-]+\}(?:[^"'{}\[\],#]*\$?\{[\w.|:/-]+\})*[^"'{}\[\],#\s]*)"""
)
_ONE_FIELD: Final = re.compile(r"\$?\{[^{}]*\}")
_IN_QUOTES: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""")


def _fields_in_text(spot: Spot) -> Mistake | None:
    """The parser stops within such a text, or after its first field."""
    masked = _IN_QUOTES.sub(lambda found: '"' * len(found[0]), spot.text)
    for found in _FIELDS_IN_TEXT.finditer(masked):
        value, start = found["value"], found.start("value")
        if start < spot.column <= found.end() + 1 and not _ONE_FIELD.fullmatch(value):
            message = "a text with { } in it needs quotes here"
            return Mistake(spot.line, start + 1, message, f"write {quoted(value)}")
    return None


def _bare_reference(spot: Spot) -> Mistake | None:
    found = _BARE_REFERENCE.search(spot.text)
    if found is None or "expected" not in spot.problem:
        return None
    rest = re.match(r"[^\s,}\]]*", spot.text[found.end() :])
    variable = re.fullmatch(r"\$\{\{\s*(?:env\.|secrets\.)?([A-Z_][A-Z0-9_]*)\s*\}\}", found["reference"])
    reference = f"${{{variable[1]}}}" if variable else found["reference"]
    value = (found["value"] + reference + (rest[0] if rest else "")).strip("‘’“”")
    message = f"inside {{ }} and [ ], a value that contains {found['reference']} needs quotes"
    return Mistake(spot.line, found.start("value") + 1, message, f'write "{value}"')


_RESERVED: Final = {"@": "", "`": "", "%": "", "*": "an alias", "&": "an anchor", "!": "a tag"}


def _comparison(line: int, column: int, text: str) -> Mistake | None:
    if name := excluded(text, column):
        hint = f"remove it, and write where: {{{all_but([name])}}}"
        return Mistake(line, column, f'"!{name}" excludes a type, which a pattern cannot do', hint)
    found = compared(text, column)
    return found and Mistake(line, column, f'"{found[0]}" is not an operator here', f"write {found[1]}")


def reserved_sign(line: int, column: int, lines: Sequence[str]) -> Mistake | None:
    """A value whose first character is reserved in YAML."""
    if without_sign := blocks.without_sign(line, lines):
        return without_sign
    if (mistake := _comparison(line, column, text_of(lines, line))) is not None:
        return mistake
    before, value = text_of(lines, line)[: column - 1], _plain(text_of(lines, line), column)
    if value[:1] not in _RESERVED:
        return None
    if f"{before}{value[0]}".endswith("{%"):
        return _jinja_tag(line, column - 1, lines)
    key = re.search(r"([\w.\-]+:\s)\s*$", before)
    sign, meaning = value[0], _RESERVED[value[0]]
    message = (
        f'YAML reads a value that starts with "{sign}" as {meaning}'
        if meaning
        else f'a value that starts with "{sign}" needs quotes'
    )
    variable = _TAG_OF_VARIABLE.fullmatch(value.strip())
    name = variable["name"].upper() if variable else variables.named_anywhere(value.strip())
    written = f'"${{{name}}}"' if name else quoted(value)
    return Mistake(line, column, message, f"write {key[1] if key else ''}{written}")


#: A value from elsewhere, as other programs tag it: ``!secret name``, ``!ENV ${NAME}``.
_TAG_OF_VARIABLE: Final = re.compile(
    r"!(?:secret|env|env_var)\s+['\"]?\$?\{?(?P<name>[A-Za-z_]\w*)\}?['\"]?", re.IGNORECASE
)


def _plain(text: str, column: int) -> str:
    """The value without quotes that begins at a column: up to a comment, or to the end of its place in braces."""
    value = re.split(r"#|\n", text[column - 1 :], maxsplit=1)[0]
    before = re.sub(r"\"[^\"]*\"|'[^']*'", "", text[: column - 1])
    if before.count("{") + before.count("[") <= before.count("}") + before.count("]"):
        return value
    depth = 0
    for at, sign in enumerate(value):
        depth += (sign in "{[") - (sign in "}]")
        if depth < 0 or (sign == "," and not depth):
            return value[:at]
    return value


def _jinja_tag(line: int, column: int, lines: Sequence[str]) -> Mistake:
    """``text: {% if x %}...``: YAML reads the brace as the start of a map."""
    text = text_of(lines, line)
    key = re.search(r"([\w.\-]+:\s)\s*$", text[: column - 1])
    hint = f"write {key[1] if key else ''}{quoted(text[column - 1 :])}"
    return Mistake(line, column, "a value that starts with {% needs quotes", hint)


def _reserved(spot: Spot) -> Mistake | None:
    """The parser names the place where the value started, or where it ended."""
    if not spot.problem.startswith(("found character that cannot", "did not find expected alphabetic")):
        return None
    return reserved_sign(spot.began_line, spot.began_column, [""] * (spot.began_line - 1) + [spot.began_text])


def _tag(spot: Spot) -> Mistake | None:
    beginnings = ("did not find expected tag URI", "did not find the expected '>'", "did not find expected whitespace")
    if not spot.problem.startswith(beginnings):
        return None
    return reserved_sign(spot.began_line, spot.began_column, [""] * (spot.began_line - 1) + [spot.began_text])


def _question_mark(spot: Spot) -> Mistake | None:
    if not spot.problem.startswith("mapping keys are not allowed"):
        return None
    return Mistake(
        spot.line, spot.column, 'YAML reads a "?" followed by a space as the start of a key', "put the text in quotes"
    )


def _two_colons(spot: Spot) -> Mistake | None:
    found = re.match(_KEY + r"(?P<value>[^\s\"'{\[|>].*?:(?:\s.*|))$", spot.text)
    if found is None or not spot.problem.startswith("mapping values"):
        return None
    key = found["before"].strip().removeprefix("- ").strip()
    if not key:
        return None
    hint = f"write {key} {quoted(found['value'])}"
    return Mistake(spot.line, spot.column, 'a text that contains ": " needs quotes', hint)


def _nested(spot: Spot) -> Mistake | None:
    if not spot.problem.startswith(("mapping values", "did not find expected ','")) or not (found := nested(spot.text)):
        return None
    return Mistake(spot.line, found[0], "a map on the line of its key needs { }", f"write {found[1]}")


def _text_after_quote(spot: Spot) -> Mistake | None:
    found = re.match(_KEY + r"(?P<value>(?:\"[^\"]*\"|'[^']*'|\[[^\]]*\])\s*[^\s#,:\]}].*)$", spot.text)
    if found is None or "expected key" not in spot.problem:
        return None
    hint = f"put the whole value in quotes: {quoted(found['value'])}"
    return Mistake(spot.line, spot.column, "the value ended before this", hint)


def _open_quote(spot: Spot) -> Mistake | None:
    if not spot.problem.startswith(("found unexpected end of stream", "found unexpected document")):
        return None
    quote = spot.began_text[spot.began_column - 1 : spot.began_column] or "quote"
    message = f"the {quote} that opens here is never closed"
    return Mistake(spot.began_line, spot.began_column, message, f"add a {quote} at the end of the text")


#: Where a value in quotes begins: at the start of a line, or after what ends something else.
_OPENING: Final = re.compile(r"""(?:^|(?<=[\s\[{,:-]))["']""")
#: A value in quotes, from its first quote to its last, and whatever comes between two of them.
_CLOSED: Final[Mapping[str, re.Pattern[str]]] = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*"'),
    "'": re.compile(r"'(?:[^']|'')*'"),
}
#: Lines from the one where the parser gave up back to the quote that ended a text too late.
_NEAR: Final = 3


def _quote_left_open(spot: Spot, lines: Sequence[str]) -> Mistake | None:
    """A text that was ended by the first quote of another one, far below the line where it begins."""
    if not spot.problem.startswith(("did not find expected key", "did not find expected ',' or")):
        return None
    for line in range(spot.line - 1, max(spot.began_line - 1, 0), -1):
        column = _left_open(text_of(lines, line))
        if not column:
            continue
        quote = text_of(lines, line)[column - 1]
        # The next such quote ended the text.
        end = next((each for each in range(line + 1, spot.line + 1) if quote in text_of(lines, each)), 0)
        if end >= spot.line - _NEAR and end:
            message = f"the {quote} that opens here is not closed on its line"
            return Mistake(line, column, message, f"add a {quote} at the end of the text")
    return None


def _left_open(text: str) -> int:
    """The column of a quote that opens on a line and is not closed on it; 0 if there is none."""
    at = 0
    while (found := _OPENING.search(text, at)) is not None:
        closed = _CLOSED[found[0]].match(text, found.start())
        if closed is None:
            return found.start() + 1
        at = closed.end()
    return 0


def _escape(spot: Spot) -> Mistake | None:
    if spot.problem.startswith(("did not find expected hexdecimal", "found invalid Unicode")):
        message = "this escape is not a valid character"
        return Mistake(spot.line, spot.column, message, "write \\x41, \\u263A or \\U0001F600, or use single quotes")
    if not spot.problem.startswith("found unknown escape"):
        return None
    bad = spot.text[spot.column - 1 : spot.column]
    bad = bad if bad != "\\" else spot.text[spot.column - 1 : spot.column + 1]
    message = f'"{bad}" is not a valid escape: in double quotes a backslash starts one'
    return Mistake(spot.line, spot.column, message, "use single quotes, where a backslash is literal, or double it")


def _open_bracket(spot: Spot) -> Mistake | None:
    found = re.search(r"expected ',' or '([\]}])'", spot.problem)
    if found is None:
        return None
    opened = {"]": "[", "}": "{"}[found[1]]
    message = f"the {opened} that opens here is not closed where it should be"
    hint = f"write a {found[1]} or a comma before line {spot.line}, column {spot.column}"
    return Mistake(spot.began_line, spot.began_column, message, hint)


def _block_header(spot: Spot) -> Mistake | None:
    if spot.problem.startswith("found an indentation indicator equal to 0"):
        return Mistake(spot.line, spot.column, "a text block cannot be indented by 0", 'write "|" alone')
    if not spot.problem.startswith("did not find expected comment or line break"):
        return None
    if (mistake := _comparison(spot.began_line, spot.began_column, spot.began_text)) is not None:
        return mistake
    sign = spot.began_text[spot.began_column - 1 : spot.began_column]
    message = f'after "{sign}", the text must start on the next line'
    return Mistake(spot.began_line, spot.began_column, message, "move the text to the next line, or put it in quotes")


def _no_value(spot: Spot) -> Mistake | None:
    found = spot.text[spot.column - 1 : spot.column]
    if not found or not spot.problem.startswith("did not find expected node content"):
        return None
    return Mistake(
        spot.line,
        spot.column,
        f"a value is expected here, and {found} cannot start one",
        "put it in quotes, or write a value",
    )


#: Tried in this order, specific mistakes before general ones.
_MISTAKES: Final[Sequence[Callable[[Spot], Mistake | None]]] = (
    _bracketed_key,
    _reserved,
    _open_quote,
    _escape,
    _tag,
    _question_mark,
    _nested,
    _two_colons,
    indentation.too_deep,
    _bare_reference,
    _braces,
    _text_after_quote,
    indentation.no_colon,
    _block_header,
    _open_bracket,
    _no_value,
    indentation.unaligned,
)
