"""Jinja's syntax errors in plain words: where the tag is, what is wrong with it and what to write."""

import re
from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from gateway.render import repairs
from gateway.render.tags import Mistake, block_left_open
from gateway.render.texts import TemplateText
from gateway.render.unknown import did_you_mean

_TAG: Final = re.compile(r"\{\{-?(?P<printed>.*?)-?\}\}|\{%[-+]?(?P<done>.*?)[-+]?%\}", re.DOTALL)


class _Tag(Struct, frozen=True):
    """A tag: its first character, and what it has inside; of statements, that begins with ``%``."""

    at: int
    content: str


def fault(text: TemplateText, line: int, message: str, known: Collection[str], *, is_bare: bool) -> Mistake | None:
    """What is wrong with the tag on a line of which Jinja says ``message``; None if no tag there is at fault.

    ``known``: names that the template may use; ``is_bare``: it is one expression, whose truth counts.
    """
    if _OF_BLOCKS.match(message) and (block := _block(text)) is not None:
        return block
    words, hint = in_plain_words(message, is_bare=is_bare)
    tag = _at_fault(text, line, message)
    if tag is None:
        return None
    names = {*known, *repairs.declared(text.text)}
    written = repairs.repaired(tag.content, names)
    if "=~" in tag.content:
        words = words.replace("= is not a comparison", "=~ is not an operator")
    return Mistake(tag.at, words, f"write {repairs.in_braces(written)}" if written else hint)


def _block(text: TemplateText) -> Mistake | None:
    return block_left_open(text.text, lambda offset: text.at(offset).line)


def _at_fault(text: TemplateText, line: int, message: str) -> _Tag | None:
    """The first tag on a line that Jinja cannot read; else the one that its message names."""
    tags = [
        _Tag(tag.start(), tag["printed"].strip() if tag["done"] is None else f"%{tag['done'].strip()}")
        for tag in _TAG.finditer(text.text)
        if text.line(tag.start()) <= line <= text.line(tag.end() - 1)
    ]
    named = re.search(r"unknown tag '(\w+)'", message)
    return next(
        (
            each
            for each in tags
            if (named and each.content.startswith(f"%{named[1]}")) or not repairs.is_of_jinja(each.content)
        ),
        None,
    )


#: The tags that a template can have.
_TAGS: Final = (
    *("if", "elif", "else", "endif", "for", "endfor", "set", "endset", "macro", "endmacro", "with", "endwith"),
    *("include", "import", "from", "raw", "endraw"),
)

#: Jinja's words about a tag without its end, and an end or a middle without its tag.
_OF_BLOCKS: Final = re.compile(r"Unexpected end of template|Encountered unknown tag '(?:end\w+|else|elif)'")
#: Jinja's syntax errors: its message, what it means, and what to write instead.
_SAID: Final[Sequence[tuple[str, str, str]]] = (
    (r"expected an expression, got 'end of print statement'", "there is nothing between {{{{ and }}}}", "name a field: {{{{ attrs.id }}}}"),
    (r"expected an expression, got 'end of statement block'", "there is nothing before %}}", "name a field: {{% if attrs.id %}}"),
    (r"expected token 'in', got .*", '{{% for %}} needs "in"', "write {{% for one in attrs.groups %}}"),
    (r"expected token '[^']*', got '='", "= is not a comparison", "write =="),
    (r"unexpected char '&'.*", "& is not an operator", "write and; to join two texts, write ~"),
    (r"expected token 'name', got '\|'", "a | must be followed by a filter", "for either of two conditions, write or"),
    (r"unexpected char '!'.*", "! is not an operator", "write not"),
    (r"unexpected char [\"'](['\"])[\"'].*", "the text that begins with {0} is never closed", "add a {0} at its end"),
    (r"unexpected char '([‘’‚‛“”„‟«»])'.*", "{0} is not a quote that templates know", 'write " or \''),
    (r"unexpected char '(.)'.*", "{0} is not allowed here", ""),
    (r"unexpected 'end of (?:print statement|statement block)'", "a value is missing at the end", "name a field, or write a value"),
    (r"unexpected '(?:\}|%\}|end of print statement)', expected '(.)'", "a {0} is missing", "add it"),
    (r"unexpected '\)'", "this ) has no matching (", "remove it"),
    (r"unexpected '\]'", "this ] has no matching [", "remove it"),
    (r"unexpected '\}'", "this }} has no matching {{", "remove it"),
    (r"unexpected end of template\. .*needs to be closed is '(\w+)'", "{{% {0} %}} is never closed", "add {{% end{0} %}}"),
    (rf"encountered unknown tag '({'|'.join(_TAGS)})'.*", "{{% {0} %}} has no matching tag", "remove it"),
    (r"encountered unknown tag '(\w+)'.*", "unknown tag {{% {0} %}}", ""),
    (r"expected token 'end of (?:print statement|statement block)', got '(?:eq|EQ)'", "eq is not an operator", "write =="),
    (r"expected token 'end of (?:print statement|statement block)', got '(?:ne|NE)'", "ne is not an operator", "write !="),
    (r"expected token 'end of (?:print statement|statement block)', got '(gt|ge|gte|lt|le|lte)'", "{0} is not an operator", "write >, >=, < or <="),
    (r"expected token 'end of (?:print statement|statement block)', got '(contains|includes|has|CONTAINS)'", "{0} is not an operator", 'write in, the other way round: "vip" in attrs.tags'),
    (r"expected token 'end of (?:print statement|statement block)', got '(matches|LIKE|like|regex)'", "{0} is not an operator", "write a condition under where: {{regex: ...}} or {{glob: ...}}"),
    (r"expected token 'end of (?:print statement|statement block)', got '(AND|OR|NOT|IN)'", "{0} is not an operator", "write it in lower case"),
    (r"expected token 'end of statement block', got '(.*)'", 'unexpected "{0}" in this tag', "remove it, or write an operator before it"),
    (r"expected name or number", "a . must be followed by the name of a field", "write attrs.name; to join two texts, write ~"),
    (r"expected token '(.)', got '(.*)'", 'a {0} is missing before "{1}"', "add it"),
    (r"expected token 'end of print statement', got '(.*)'", 'unexpected "{0}" after the end of the expression', "remove it, or write an operator before it"),
)  # fmt: skip


def in_plain_words(message: str, *, is_bare: bool) -> tuple[str, str]:
    """What is wrong and what to write, from Jinja's message."""
    sentence = (message[:1].lower() + message[1:]).rstrip(".")
    if is_bare and sentence == "expected an expression, got 'end of print statement'":
        return "the expression is empty", 'write a condition: attrs.type == "lead"; or remove the key'
    for pattern, words, remedy in _SAID:
        if found := re.fullmatch(pattern, sentence, re.DOTALL):
            hint = did_you_mean(found[1], _TAGS) if "unknown tag" in words else remedy.format(*found.groups())
            return _without_types(words.format(*found.groups())), hint
    return sentence.replace("end of print statement", "}}").replace("end of statement block", "%}"), ""


def _without_types(words: str) -> str:
    """Jinja says what kind a text or a number is, and not the text or the number."""
    words = words.replace('unexpected "string"', "unexpected text")
    words = re.sub(r'unexpected "(?:integer|float)"', "unexpected number", words)
    return words.replace('before "string"', "before a text").replace('before "integer"', "before a number")
