"""Advice for an expression that was written in the syntax of another product: what it is in Jinja.

It is looked for only in a template that is refused, so nothing that Jinja reads is ever taken for something else.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from gateway.render import actions, blocks, go, liquid, repairs, scripts, workflows
from gateway.render.texts import TemplateText

_TAG: Final = re.compile(r"\{\{\{?-?(.*?)-?\}\}|\{%-?(.*?)-?%\}", re.DOTALL)
#: What removes white space at the ends of a tag.
_DASHED: Final = re.compile(r"^-(?=\s)|(?<=\s)-$")
_PATH: Final = r"[A-Za-z_]\w*(?:\.\w+)*"

#: A path that already begins as it does here.
_ROOTED: Final = re.compile(r"\bpayload\.(?=(?:attrs|envelope|payload|vars)\.)")

#: The content of a tag, whose syntax it is, and what to write. Each group of the pattern is a field of the remedy.
_WRITTEN: Final = [
    (re.compile(pattern, re.DOTALL), language, remedy)
    for language, pattern, remedy in (
        # Handlebars and Mustache
        ("Handlebars", rf"#if ({_PATH})", "{{% if payload.{0} %}}...{{% endif %}}"),
        ("Handlebars", rf"#unless ({_PATH})", "{{% if not payload.{0} %}}...{{% endif %}}"),
        ("Handlebars", rf"#(?:each )?({_PATH})", "{{% for one in payload.{0} %}}{{{{ one.name }}}}{{% endfor %}}"),
        ("Handlebars", r"/(?:if|unless)", "{{% endif %}}"),
        ("Handlebars", r"/\w+", "{{% endfor %}}"),
        ("Handlebars", r"else if\s+(\w+)", "{{% elif payload.{0} %}}"),
        ("Handlebars", r"\^", "{{% if not payload.name %}}...{{% endif %}}"),
        ("Handlebars", r"@index", "{{{{ loop.index0 }}}}"),
        ("Handlebars", r"@(?:first|last)", "{{{{ loop.last }}}}"),
        ("Handlebars", r"this\.(\w+)", "{{% for one in payload.items %}}{{{{ one.{0} }}}}{{% endfor %}}"),
        ("Handlebars", r"this\b", "{{% for one in payload.items %}}{{{{ one }}}}{{% endfor %}}"),
        ("Handlebars", r">\s*(\w+)", '{{% include "{0}.txt.j2" %}}'),
        ("Handlebars", r"!(?:--|\s)", "{{# a comment #}}"),
        ("Handlebars", r"\{\s*([\w.]+)", "{{{{ {0} }}}}: every value is escaped for its place"),
        # JavaScript, as in the expressions of n8n and Make
        ("JavaScript", r"%else if (.+)", "{{% elif {0} %}}"),
        ("JavaScript", r"([\w.]+)\.map\((\w+) *=> *\2\.(\w+)\)", '{{{{ {0} | map("{2}") | join(", ") }}}}'),
        ("JavaScript", r"([^?|]+?)\s*\?\?\s*(.+)", "{{{{ {0} | default({1}, true) }}}}"),
        ("JavaScript", r"([\w.]+)\.toUpperCase\(\)", "{{{{ {0} | upper }}}}"),
        ("JavaScript", r"([\w.]+)\.toLowerCase\(\)", "{{{{ {0} | lower }}}}"),
        ("JavaScript", r"([\w.]+)\.toFixed\((\d+)\)", "{{{{ {0} | number({1}) }}}}"),
        ("JavaScript", r"JSON\.stringify\(([\w.]+)\)", "{{{{ {0} | tojson }}}}"),
        # Python
        ("Python", r"f([\"']).*", "the text itself, with each value in braces: No. {{{{ attrs.id }}}}"),
        # JSONPath
        ("JSONPath", rf"\$\.({_PATH})", "{{{{ payload.{0} }}}}"),
        ("JSONPath", r"%for\s+(\w+)\s+in\s+([\w.]+)\[\*?\]\s*\Z", "{{% for {0} in {1} %}}"),
        ("JSONPath", r"([\w.]+)\[\*?\]\s*\Z", "{{% for one in {0} %}}{{{{ one.name }}}}{{% endfor %}}"),
        ("JSONPath", r"([\w.]+)\[\*?\]\s*(\|.+)", "{{{{ {0} {1} }}}}"),
        ("JSONPath", r"([\w.]+)\[\*?\]\.(\w+)", '{{{{ {0} | map("{1}") | join(", ") }}}}'),
        # Twig
        ("Twig", r"%elseif (.+)", "{{% elif {0} %}}"),
        # Liquid
        ("Liquid", r"%capture (\w+)", "{{% set {0} %}}...{{% endset %}}"),
        ("Liquid", r"%endunless", "{{% endif %}}"),
        ("Liquid", r"%endcapture", "{{% endset %}}"),
        ("Liquid", r"%case (.+)", '{{% if {0} == "..." %}}...{{% elif {0} == "..." %}}...{{% endif %}}'),
        ("Liquid", r"%(?:comment|endcomment)\b.*", "{{# a comment #}}"),
        ("Liquid", r"%(?:render|include)\s+[\"']([\w/.-]+?)(?:\.liquid)?[\"']\s*,.*", '{{% include "{0}.txt.j2" %}}, which sees the same names'),
        ("Liquid", r"%render\s+[\"']([\w/.-]+?)[\"']", '{{% include "{0}.txt.j2" %}}'),
        ("Liquid", r"%(?:when|endcase|echo|liquid|increment|decrement|tablerow|break|continue)\b.*", "it with {{% if %}}, {{% for %}} and {{% set %}}"),
    )
]  # fmt: skip


def _python(content: str) -> str:
    if re.match(r"\{\s*\w+\s*:.*\bfor\b", content):
        return "{% for key, value in attrs | items %}{{ key }}: {{ value }}{% endfor %}"
    written = "" if content.startswith("%") or " for " not in content else scripts.comprehension(content)
    return written if written.startswith("{%") or not written else f"{{{{ {written} }}}}"


def _question(content: str) -> str:
    """A condition with ``?`` and ``:``, alone or in ``{% set %}``."""
    before, _, value = content.rpartition("= ") if content.startswith("%set ") else ("", "", content)
    written = "" if value.startswith("%") else scripts.ternary(value)
    if not written:
        return ""
    return f"{{% {before[1:]}= {written} %}}" if before else f"{{{{ {written} }}}}"


_CONDITION: Final = re.compile(r"%(if|elif)\s+(.+)", re.DOTALL)


def _actions(content: str) -> str:
    if asked := _CONDITION.fullmatch(content):
        return f"{{% {asked[1]} {written} %}}" if (written := actions.expression(asked[2])) else ""
    written = "" if content.startswith("%") else actions.expression(content)
    return f"{{{{ {written} }}}}" if written else ""


_ASSIGNED: Final = re.compile(r"%assign\s+(\w+)\s*=\s*(.+)", re.DOTALL)
_ASKED: Final = re.compile(r"%(unless|elsif|elif|if)\s+(.+)", re.DOTALL)


def _liquid(content: str) -> str:
    if found := _ASSIGNED.fullmatch(content):
        return f"{{% set {found[1]} = {liquid.expression(liquid.loop(found[2])) or '...'} %}}"
    if found := _ASKED.fullmatch(content):
        asked = liquid.condition(found[2])
        if found[1] == "unless":
            return f"{{% if {liquid.negated(found[2])} %}}...{{% endif %}}"
        return (
            f"{{% {'elif' if found[1] == 'elsif' else found[1]} {asked} %}}"
            if found[1] == "elsif" or asked != found[2]
            else ""
        )
    if content.startswith("%"):
        written = liquid.each(content[1:])
        return f"{{% {written} %}}" if written else ""
    written = liquid.expression(content) if "|" in content else liquid.condition(content)
    if written and written != content:
        return f"{{{{ {liquid.loop(written)} }}}}"
    return "a filter with its arguments in parentheses: | truncate(10)" if _ARGUMENTS.search(content) else ""


#: A filter with its arguments after a colon.
_ARGUMENTS: Final = re.compile(r"\|\s*\w+:(?!\w)")

#: Languages whose expressions are read as a whole: the content of a tag, and what to write; empty if it is none of theirs.
_READ: Final[Sequence[tuple[str, Callable[[str], str]]]] = (
    ("GitHub Actions", _actions),
    ("Python", _python),
    ("JavaScript", _question),
    ("Liquid", _liquid),
)

_BRACED: Final = re.compile(r"write \{\{ (.*?) \}\}", re.DOTALL)
_IN_BRACES: Final = re.compile(r"\A\{\{ (.*) \}\}(?= is written)", re.DOTALL)


def advice(text: TemplateText, line: int, *, is_bare: bool = False) -> tuple[int, str, str] | None:
    """The character, what is wrong and what to write, for the first tag in foreign syntax on or after a line, or before it.

    ``is_bare``: the text is one expression, which its author writes without braces.
    """
    found = list(_found(text, is_bare=is_bare))
    after = (each for each in found if text.line(each[0]) >= line)
    first = next(after, found[-1] if found else None)
    if first is not None and first[1].endswith(_OF_BLOCKS):
        # Jinja reads {{ range .Items }} as a field, and stumbles over its {{ end }}.
        first = next(each for each in found if each[1].endswith(_OF_BLOCKS))
    if first is None or not is_bare:
        return first
    return first[0], _IN_BRACES.sub(r"\1", first[1]), _BRACED.sub(r"write \1", first[2])


_BRACES_OF_VALUES: Final = "is a statement in the braces of a value"
#: What is said of tags that make a block together.
_OF_BLOCKS: Final = ("the syntax of Go", _BRACES_OF_VALUES)


def _found(text: TemplateText, *, is_bare: bool) -> Iterator[tuple[int, str, str]]:
    tags = list(_TAG.finditer(text.text))
    # A tag of statements begins with %, and one of three braces, Handlebars' own, with one of them.
    contents = [f"%{tag[2].strip()}" if tag[1] is None else _DASHED.sub("", tag[0][2:-2]).strip() for tag in tags]
    contents = [content if len(content) <= repairs.LONGEST else "" for content in contents]
    names = repairs.declared(text.text)
    of_go = [_repaired(each, names) for each in go.remedies(contents)]
    is_of_go = any(right and content != "else" for content, right in zip(contents, of_go, strict=True))
    braced = [_repaired(each, names) for each in blocks.statements([] if is_bare or is_of_go else contents)]
    for at, (tag, content) in enumerate(zip(tags, contents, strict=True)):
        shown = " ".join(tag[0].split())
        if content == "%end" and of_go[at]:
            yield tag.start(), f"{shown} does not say what it ends", f"write {of_go[at]}"
        elif of_go[at] and not braced:
            right = _ROOTED.sub("", _block(text.text, tags, contents, of_go, at))
            yield tag.start(), f"{shown} is written in the syntax of Go", f"write {right}"
        elif braced and braced[at]:
            yield tag.start(), f"{shown} {_BRACES_OF_VALUES}", f"write {_block(text.text, tags, contents, braced, at)}"
        elif known := _read(content, names):
            language, remedy = known
            right = _with_value(remedy, contents[at + 1 :]) if language == "Handlebars" else _repaired(remedy, names)
            yield tag.start(), f"{shown} is written in the syntax of {language}", f"write {_ROOTED.sub('', right)}"


def _block(text: str, tags: Sequence[re.Match[str]], contents: Sequence[str], rights: Sequence[str], at: int) -> str:
    """What to write for a tag; if it opens a block, the whole block."""
    if not blocks.opens(rights[at]):
        return rights[at]
    # A tag of Jinja is right as it is.
    known = [
        (tag[0], right or (tag[0] if repairs.is_of_jinja(content) else ""))
        for tag, content, right in zip(tags[at:], contents[at:], rights[at:], strict=True)
    ]
    ends = [*(tag.start() for tag in tags[at + 1 :]), len(text)]
    texts = [text[tag.end() : end] for tag, end in zip(tags[at:], ends, strict=True)]
    following = rights[at + 1] if at + 1 < len(rights) else ""
    return blocks.whole(known, texts) or blocks.in_short(rights[at], following)


_ONE_TAG: Final = re.compile(r"\{\{ ([^{}]+) \}\}|\{% ([^{}]+) %\}")


def _repaired(remedy: str, names: Collection[str]) -> str:
    """A remedy that is one tag, with all that another language has in it put right, too."""
    tag = _ONE_TAG.fullmatch(remedy)
    content = (tag[1] or f"%{tag[2]}") if tag else ""
    right = repairs.repaired(content, names) if content and not repairs.is_of_jinja(content) else ""
    return repairs.in_braces(right) if right else remedy


_OF_ONE: Final = "{{ one.name }}"
_PRINTED: Final = re.compile(r"(?:this\.|\./)?([A-Za-z_]\w*(?:\.\w+)*)")


def _with_value(loop: str, following: Sequence[str]) -> str:
    """A loop with the first value that it prints."""
    printed = _PRINTED.fullmatch(following[0]) if following and _OF_ONE in loop else None
    if printed is None:
        return loop
    return loop.replace(_OF_ONE, "{{ one }}" if printed[1] == "this" else f"{{{{ one.{printed[1]} }}}}")


#: Steps of JavaScript into what may be missing, outside of texts.
_OPTIONAL: Final = re.compile(r"(\"[^\"]*\"|'[^']*')|\?(?=\.[A-Za-z_])|\?\.(?=\[)")

#: The language of a tag, and what it is in Jinja.
_Known = tuple[str, str]


_STRICT: Final = re.compile(r"[!=]==")


def _read(content: str, names: Collection[str]) -> _Known | None:
    if not content:
        return None
    if found := workflows.read(content):
        language, written = found
        inner = _read(written, names)
        return language, inner[1] if inner else repairs.in_braces(written)
    if instead := workflows.instead(content):
        return "n8n", instead
    plain = _OPTIONAL.sub(lambda found: found[1] or "", content)
    # A comprehension in braces begins as Handlebars' own braces do, and a question ends in what JavaScript has elsewhere, too.
    known = _read_whole(plain, _READ[:3]) or _strict(plain, names) or _read_by_pattern(plain)
    known = known or _read_whole(plain, _READ[3:])
    if plain == content:
        return known
    return "JavaScript", known[
        1
    ] if known else f"{_repaired(repairs.in_braces(plain), names)}: a field of a missing field is missing, too"


def _strict(content: str, names: Collection[str]) -> _Known | None:
    """An expression with ``===``, and whatever else it has."""
    is_strict = _STRICT.search(scripts.QUOTED.sub("", content)) is not None
    written = repairs.repaired(content, names) if is_strict else ""
    return ("JavaScript", repairs.in_braces(written)) if written else None


def _read_whole(content: str, languages: Sequence[tuple[str, Callable[[str], str]]]) -> _Known | None:
    return next(((language, written) for language, read in languages if (written := read(content))), None)


def _read_by_pattern(content: str) -> _Known | None:
    for pattern, language, remedy in _WRITTEN:
        if match := pattern.match(content):
            return language, remedy.format(*((group or "").strip() for group in match.groups()))
    return None
