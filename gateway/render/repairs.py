"""What a tag that Jinja refuses is when everything in it that other languages write differently is put right at once.

Pure; empty where that is not a tag of Jinja, either.
"""

import re
from collections.abc import Callable, Collection
from typing import Final

from jinja2 import Environment, TemplateSyntaxError

from gateway.event import tracks
from gateway.event.paths import ROOTS
from gateway.render import forms, go
from gateway.render.filters import FILTERS

#: Only parses.
_ENVIRONMENT: Final = Environment(autoescape=False)  # noqa: S701  nothing is rendered with it
#: Characters of a tag that are looked at: an expression is short, and a remedy quotes it.
LONGEST: Final = 300

_TEXT: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
#: Each text is one such character while the rest is rewritten.
_FIRST: Final = 0xE000
_QUOTED: Final = "[\ue000-\uf8ff]"
_CURLY: Final = str.maketrans("“”„‟«»‘’‚‛", '""""""' + "''''")
_WORDS: Final = r"(?!(?:and|or|not|in|is|if|else|true|false|none)\b)"
_STEP: Final = r"(?:\.\w+|\[[^\[\]]*\])"
_VALUE: Final = rf"(?:{_QUOTED}|-?\d+(?:\.\d+)?|(?<![\w.]){_WORDS}[A-Za-z_]\w*{_STEP}*)"
_LEFT: Final = rf"(?:{_VALUE}|\([^()]*\))"
#: Names that every template knows.
_KNOWN: Final = ROOTS.union(
    tracks.ROOTS,
    ("true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "omit", "loop"),
    ("attrs", "envelope", "delivery", "invalid", "events", "count", "by", "first", "last"),
)
#: A tag that declares names.
_DECLARING: Final = re.compile(r"\{%-?\s*(?:for|set|macro|with|import|from)\b(.*?)(?:\bin\b|%\})", re.DOTALL)

_COMPARING: Final = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "ge": ">=", "lt": "<", "lte": "<=", "le": "<="}
_ENDS: Final = {
    **dict.fromkeys(("fi", "endunless", "end_if", "esac"), "endif"),
    **dict.fromkeys(("endforeach", "endeach", "end_for", "done", "next"), "endfor"),
}


def declared(text: str) -> frozenset[str]:
    """The names that the loops, assignments and macros of a template may declare."""
    return frozenset(name for found in _DECLARING.findall(text) for name in re.findall(r"[A-Za-z_]\w*", found))


def completed(content: str) -> str:
    """A tag as a template of its own: with the end of its block, or with its beginning."""
    if not content.startswith("%"):
        return f"{{{{ {content} }}}}"
    word = content[1:].split(maxsplit=1)[0] if content[1:].strip() else ""
    tag = f"{{% {content[1:]} %}}"
    if word in ("elif", "else"):
        return f"{{% if true %}}{tag}{{% endif %}}"
    has_end = word in ("if", "for", "macro", "with") or (word == "set" and "=" not in content)
    return f"{tag}{{% end{word} %}}" if has_end else tag


def is_of_jinja(content: str) -> bool:
    """Whether Jinja can read a tag; not whether what it names exists."""
    if content.removeprefix("%").strip() in ("endif", "endfor", "endset", "endwith", "endmacro"):
        return True
    try:
        _ENVIRONMENT.parse(completed(content))
    except (TemplateSyntaxError, RecursionError, ValueError):
        return False
    return True


def repaired(content: str, known: Collection[str] = ()) -> str:
    """A tag by its content, which begins with ``%`` if it is one of statements: as Jinja has it, without its braces.

    ``known``: names beyond those of every template.
    """
    if len(content) > LONGEST:
        return ""
    word, _, rest = content.partition(" ")
    if word in ("%if", "%elif") and rest:
        written = _expression(rest, known)
        return _checked(content, f"{word} {written}")
    if content.startswith("%"):
        return _checked(content, _statement(content[1:].strip(), known))
    return _checked(content, _expression(content, known))


def _checked(content: str, written: str) -> str:
    return written if written != content and written and is_of_jinja(written) else ""


def in_braces(content: str) -> str:
    """``{% if attrs.id %}`` for ``%if attrs.id``."""
    return f"{{% {content[1:]} %}}" if content.startswith("%") else f"{{{{ {content} }}}}"


# --- tags of statements ---

_EACH: Final = re.compile(
    r"(?:for\s*each|for|each)\s*(?P<open>\()?\s*(?:const\s+|let\s+|var\s+)?(?P<one>\w+)\s+(?:of|in)\s+(?P<list>.+)",
    re.DOTALL,
)
_AS: Final = re.compile(
    r"(?:for\s*each|for|each)\s*(?P<open>\()?\s*(?P<list>.+?)\s+as\s+(?:\|)?\$?(?P<one>\w+)(?:\s*=>\s*\$?(?P<value>\w+))?\|?\)?",
    re.DOTALL,
)
_ALONE: Final = re.compile(rf"(?:for\s*each|for|each)\s+(?P<list>[A-Za-z_]\w*{_STEP}+)")
_ELSE_IF: Final = re.compile(r"(?:else\s+if|elsif|elseif)\s+(?P<asked>.+)", re.DOTALL)
_TWO_WORDS: Final = re.compile(r"end\s+(?P<of>if|for|set|with|macro)")


def _statement(text: str, known: Collection[str]) -> str:
    if text in _ENDS:
        return f"%{_ENDS[text]}"
    if ended := _TWO_WORDS.fullmatch(text):
        return f"%end{ended['of']}"
    if asked := _ELSE_IF.fullmatch(text):
        return f"%elif {_expression(asked['asked'], known)}"
    if found := _EACH.fullmatch(text) or _AS.fullmatch(text):
        values = found["list"].strip()
        values = values.removesuffix(")") if found["open"] and values.count(")") > values.count("(") else values
        values, key = _expression(values, known), found.groupdict().get("value")
        return f"%for {found['one']}, {key} in {values} | items" if key else f"%for {found['one']} in {values}"
    if found := _ALONE.fullmatch(text):
        return f"%for one in {found['list']}"
    if text.startswith("set ") and "=" in text:
        name, _, value = text.partition("=")
        return f"%{name.rstrip()} = {_expression(value.strip(), known)}"
    return ""


# --- expressions ---


def _expression(text: str, known: Collection[str]) -> str:
    if called := go.call(text):
        return called
    if re.search(_QUOTED, text):
        return text
    text = text if _TEXT.search(text) else text.translate(_CURLY)
    texts: list[str] = []

    def hidden(found: re.Match[str]) -> str:
        texts.append(found[0])
        return chr(_FIRST + len(texts) - 1)

    def put_back(written: str) -> str:
        return re.sub(_QUOTED, lambda found: texts[ord(found[0]) - _FIRST], written)

    written = _TEXT.sub(hidden, text)
    for rule in (_operators, _texts, _arguments, _equal):
        written = rule(written)
    written = _MATCHED.sub(lambda found: _matching(found, put_back), written)
    written = _BARE.sub(lambda found: _in_quotes(found, known), written)
    return re.sub(r"(?<=\S)  +", " ", put_back(written)).strip()


def _operators(text: str) -> str:
    text = re.sub(r"([!=])==", r"\1=", text).replace("<>", "!=")
    text = re.sub(r"\s*&&\s*", " and ", text)
    text = re.sub(r"\s*\|\|\s*", " or ", text)
    text = re.sub(r"!(?![=~])\s*", "not ", text)
    text = re.sub(r"(?<![\w.])(?:AND|OR|NOT|IN)(?!\w)", lambda found: found[0].lower(), text)
    return re.sub(
        rf"({_LEFT})\s+({'|'.join(_COMPARING)})\s+(?={_VALUE})",
        lambda found: f"{found[1]} {_COMPARING[found[2].lower()]} ",
        text,
        flags=re.IGNORECASE,
    )


_ENDING: Final = re.compile(
    rf"(?P<left>{_LEFT})\s+(?P<not>(?:does\s+)?not\s+)?(?P<end>starts?|begins?|ends?)[ _]?with\s+(?P<right>{_VALUE})",
    re.IGNORECASE,
)
_CONTAINING: Final = re.compile(
    rf"(?P<left>{_LEFT})\s+(?P<not>(?:does\s+)?not\s+)?(?:contains?|includes?|has)\s+(?P<right>{_VALUE})", re.IGNORECASE
)


def _texts(text: str) -> str:
    def ending(found: re.Match[str]) -> str:
        method = "endswith" if found["end"].lower().startswith("end") else "startswith"
        return f"{'not ' if found['not'] else ''}{found['left']}.{method}({found['right']})"

    text = _ENDING.sub(ending, text)
    return _CONTAINING.sub(
        lambda found: f"{found['right']} {'not ' if found['not'] else ''}in {found['left']}",
        text,
    )


_GIVEN: Final = re.compile(rf"\|\s*(?P<name>\w+)(?P<arguments>(?:\s+{_VALUE})+)")


def _arguments(text: str) -> str:
    """``| default "x"``, as Helm has it."""

    def given(found: re.Match[str]) -> str:
        arguments = ", ".join(re.findall(_VALUE, found["arguments"]))
        return f"| {found['name']}({arguments})" if found["name"] in FILTERS else found[0]

    return _GIVEN.sub(given, text)


def _equal(text: str) -> str:
    """A single ``=`` that names no argument of a call."""
    pieces, opened = list[str](), list[bool]()
    for at, sign in enumerate(text):
        if sign == "(":
            opened.append(bool(re.search(r"[\w\]]$", text[:at])))
        elif sign == ")" and opened:
            opened.pop()
        is_single = (
            sign == "="
            and text[at - 1 : at] not in ("=", "!", "<", ">", "~")
            and text[at + 1 : at + 2] not in ("=", "~")
        )
        pieces.append("==" if is_single and not (opened and opened[-1]) else sign)
    return "".join(pieces)


_MATCHED: Final = re.compile(rf"(?P<left>{_LEFT})\s*(?P<sign>=~|!~|\s(?:matches|MATCHES)\s)\s*(?P<right>{_QUOTED})")


def _matching(found: re.Match[str], put_back: Callable[[str], str]) -> str:
    r"""``attrs.phone =~ "^\\+49"``: a test of the beginning, the end or any part of a text, or a filter with its pattern."""
    value, quoted = found["left"], put_back(found["right"])
    pattern = re.sub(r"\\(\\|\"|')", r"\1", quoted[1:-1])
    written = forms.matching("search", value, pattern).removeprefix("write ")
    if written.startswith(forms.WHERE):
        written = f"({forms.found('search', value, pattern).removeprefix('write ')})"
    return (
        f"not {written}"
        if found["sign"] == "!~" and " " not in written
        else f"not ({written})"
        if found["sign"] == "!~"
        else written
    )


_BARE: Final = re.compile(r"(?P<sign>[=!]=)\s*(?P<word>[A-Za-z_]\w*(?:-[A-Za-z_]\w*)*)(?![\w.(\[])")


def _in_quotes(found: re.Match[str], known: Collection[str]) -> str:
    """``== lead``, where no variable is called so."""
    first = found["word"].partition("-")[0]
    return found[0] if first in _KNOWN or first in known else f'{found["sign"]} "{found["word"]}"'
