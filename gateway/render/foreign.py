"""Advice for an expression that was written in the syntax of another product: what it is in Jinja.

It is looked for only in a template that is refused, so nothing that Jinja reads is ever taken for something else.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

_TAG: Final = re.compile(r"\{\{\{?(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_PATH: Final = r"[A-Za-z_]\w*(?:\.\w+)*"

#: Steps into an object, as JavaScript writes them.
_STEPS: Final = r"""((?:\.\w+|\[(?:\d+|"[^"]*"|'[^']*')\])+)"""
#: A path that already begins as it does here.
_ROOTED: Final = re.compile(r"\bpayload\.(?=(?:attrs|envelope|payload|vars)\.)")

#: The content of a tag, whose syntax it is, and what to write. Each group of the pattern is a field of the remedy.
_WRITTEN: Final = [
    (re.compile(pattern, re.DOTALL), language, remedy)
    for language, pattern, remedy in (
        # n8n
        ("n8n", r"\$json\.headers(?:\.([\w-]+)|\[\W?[\"']([\w-]+)[\"']\])", '{{{{ headers["{0}{1}"] }}}}'),
        ("n8n", rf"\$json(?:\.body|\[[\"']body[\"']\])?{_STEPS}", "{{{{ payload{0} }}}}"),
        ("n8n", r"\$(?:node|input|items|now|today|workflow|execution|env|\()", "{{{{ payload.name }}}}: an entry sees the event, and no other step"),
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
        ("Handlebars", r"this(?:\.(\w+))?", "{{% for one in payload.items %}}{{{{ one.{0} }}}}{{% endfor %}}"),
        ("Handlebars", r">\s*(\w+)", '{{% include "{0}.txt.j2" %}}'),
        ("Handlebars", r"!(?:--|\s)", "{{# a comment #}}"),
        ("Handlebars", r"\{\s*([\w.]+)", "{{{{ {0} }}}}: every value is escaped for its place"),
        # Go
        ("Go", rf"-?\s*if (?:eq|ne)\s+\.({_PATH})\s+(\S+)", "{{% if payload.{0} == {1} %}}...{{% endif %}}"),
        ("Go", rf"-?\s*if (?:not )?\.({_PATH})", "{{% if payload.{0} %}}...{{% endif %}}"),
        ("Go", rf"-?\s*range\b.*?\.({_PATH})", "{{% for one in payload.{0} %}}{{{{ one.name }}}}{{% endfor %}}"),
        ("Go", rf"-?\s*with \.({_PATH})", "{{% if payload.{0} %}}...{{% endif %}}"),
        ("Go", r"-?\s*end\s*-?\Z", "{{% endif %}} or {{% endfor %}}"),
        ("Go", r"-?\s*else\s*-?\Z", "{{% else %}}"),
        ("Go", rf"-?\s*len \.({_PATH})", "{{{{ payload.{0} | length }}}}"),
        ("Go", rf"-?\s*printf\s+\"%[dqsv]\"\s+\.?({_PATH})", "{{{{ payload.{0} }}}}"),
        ("Go", r"%\s*end\s*\Z", "{{% endif %}} or {{% endfor %}}"),
        ("Go", rf"-?\s*printf\b.*?\.({_PATH})", "{{{{ payload.{0} | number(2) }}}}"),
        ("Go", rf"-?\s*\w+\s+\.({_PATH})", "{{{{ payload.{0} | upper }}}}"),
        ("Go", rf"-?\s*\.({_PATH})", "{{{{ payload.{0} }}}}"),
        ("Go", r"-?\s*\.\s*(?:\||\Z)", "{{{{ payload | tojson }}}}"),
        ("Go", r"-?\s*\$(\w+)\s*:?=", "{{% set {0} = payload.name %}}"),
        # JavaScript, as in the expressions of n8n and Make
        ("JavaScript", r"%(if|elif) (.+?)\s*([!=])==\s*(.+)", "{{% {0} {1} {2}= {3} %}}"),
        ("JavaScript", r"([^%].*?)\s*([!=])==\s*(.+)", "{{{{ {0} {1}= {2} }}}}"),
        ("JavaScript", r"%else if (.+)", "{{% elif {0} %}}"),
        ("JavaScript", r"([\w.]+)\.map\((\w+) *=> *\2\.(\w+)\)", '{{{{ {0} | map("{2}") | join(", ") }}}}'),
        ("JavaScript", r"([^?|]+?)\s*\?\?\s*(.+)", "{{{{ {0} | default({1}, true) }}}}"),
        ("JavaScript", r"((?:[^?\"']|'[^']*'|\"[^\"]*\")+?)\s*\?\s*([^:.?\"']+?|'[^']*'|\"[^\"]*\"|[\w.]+)\s+:\s*(.+)", "{{{{ {1} if {0} else {2} }}}}"),
        ("JavaScript", r"([^?\"']+?)\s*\?\s*([^:.?]+?)\s*:\s*(.+)", "{{{{ {1} if {0} else {2} }}}}"),
        ("JavaScript", r"([\w.]+)\?\.(\w+)", "{{{{ {0}.{1} }}}}: a field of a missing field is missing, too"),
        ("JavaScript", r"([\w.]+)\.toUpperCase\(\)", "{{{{ {0} | upper }}}}"),
        ("JavaScript", r"([\w.]+)\.toLowerCase\(\)", "{{{{ {0} | lower }}}}"),
        ("JavaScript", r"([\w.]+)\.toFixed\((\d+)\)", "{{{{ {0} | number({1}) }}}}"),
        ("JavaScript", r"JSON\.stringify\(([\w.]+)\)", "{{{{ {0} | tojson }}}}"),
        # Python
        ("Python", r"f([\"']).*", "the text itself, with each value in braces: No. {{{{ attrs.id }}}}"),
        # JSONPath
        ("JSONPath", rf"\$\.({_PATH})", "{{{{ payload.{0} }}}}"),
        ("JSONPath", r"([\w.]+)\[\*\]\.(\w+)", '{{{{ {0} | map("{1}") | join(", ") }}}}'),
        # Twig
        ("Twig", r"%elseif (.+)", "{{% elif {0} %}}"),
        # Liquid
        ("Liquid", r"%assign (\w+)\s*=\s*(.+)", "{{% set {0} = {1} %}}"),
        ("Liquid", r"%capture (\w+)", "{{% set {0} %}}...{{% endset %}}"),
        ("Liquid", r"%unless (.+)", "{{% if not {0} %}}...{{% endif %}}"),
        ("Liquid", r"%endunless", "{{% endif %}}"),
        ("Liquid", r"%endcapture", "{{% endset %}}"),
        ("Liquid", r"%elsif (.+)", "{{% elif {0} %}}"),
        ("Liquid", r"%case (.+)", '{{% if {0} == "..." %}}...{{% elif {0} == "..." %}}...{{% endif %}}'),
        ("Liquid", r"%(?:when|endcase|render|echo|increment|decrement|tablerow|comment|endcomment|break|continue)\b.*", "{{% if %}}, {{% for %}} and {{% set %}} are the tags"),
        ("Liquid", r"([^|]+?)\s*\|\s*append:\s*(.+)", "{{{{ {0} ~ {1} }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*prepend:\s*(.+)", "{{{{ {1} ~ {0} }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*plus:\s*(.+)", "{{{{ {0} + {1} }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*minus:\s*(.+)", "{{{{ {0} - {1} }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*times:\s*(.+)", "{{{{ {0} * {1} }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*divided_by:\s*(.+)", "{{{{ {0} / {1} }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*upcase\b", "{{{{ {0} | upper }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*downcase\b", "{{{{ {0} | lower }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*size\b", "{{{{ {0} | length }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*strip_html\b", "{{{{ {0} | striptags }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*strip\b", "{{{{ {0} | trim }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*json\b", "{{{{ {0} | tojson }}}}"),
        ("Liquid", r"([^|]+?)\s*\|\s*money\w*\s*\Z", '{{{{ {0} | money("EUR") }}}}'),
        ("Liquid", r"([^|]+?)\s*\|\s*(\w+):\s*([^|]+)", "{{{{ {0} | {1}({2}) }}}}"),
    )
]  # fmt: skip


_BRACED: Final = re.compile(r"write \{\{ (.*?) \}\}", re.DOTALL)
_NOTHING: Final = "remove it: every value is escaped for its place"
#: What to write instead of filters and tests that other templates have, of Jinja or not.
INSTEAD_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(("safe", "e", "escape", "forceescape", "escapejs"), _NOTHING),
    **dict.fromkeys(("nl2br", "linebreaks", "linebreaksbr", "newline_to_br"), "write lines, which keeps line breaks"),
    **dict.fromkeys(("format", "floatformat", "number_format"), "write number(2)"),
    "currency": 'write money("EUR")',
    **dict.fromkeys(("substring", "substr", "slice"), "write [:3] after the value, or truncate(3)"),
    **dict.fromkeys(("strftime", "time", "format_date", "datetimeformat"), 'write date("%d.%m.%Y")'),
    "attr": 'write payload["name"]',
    "split": 'write value.split(",")',
}
#: What to write instead of names that other languages have.
INSTEAD_OF_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("null", "nil"), "write none"),
    **dict.fromkeys(("now", "today"), "write event.received_at"),
}
#: Functions of other languages that are filters here.
FUNCTIONS_ELSEWHERE: Final[Mapping[str, str]] = {"len": "length", "size": "length", "str": "string", "json": "tojson"}
INSTEAD_OF_TESTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("empty", "blank"), "write not before the value"),
    **dict.fromkeys(("null", "nil"), "write is none"),
    "present": "write is defined",
}

#: Characters of a tag that are looked at: an expression is short, and a remedy quotes it.
LONGEST_TAG: Final = 300


def advice(text: str, line: int, *, is_bare: bool = False) -> tuple[int, str, str] | None:
    """The line, what is wrong and what to write, for the first tag in foreign syntax on or after a line, or before it.

    ``is_bare``: the text is one expression, which its author writes without braces.
    """
    found = list(_found(text))
    after = (each for each in found if each[0] >= line)
    first = next(after, found[-1] if found else None)
    if first is None or not is_bare:
        return first
    return first[0], first[1], _BRACED.sub(r"write \1", first[2])


def _found(text: str) -> Iterator[tuple[int, str, str]]:
    for tag in _TAG.finditer(text):
        # A tag of statements begins with %, and one of three braces, Handlebars' own, with one of them.
        content = f"%{tag[2].strip()}" if tag[1] is None else tag[0][2:-2].strip()
        if len(content) <= LONGEST_TAG and (known := _read(content)):
            yield text.count("\n", 0, tag.start()) + 1, *known


def _read(content: str) -> tuple[str, str] | None:
    for pattern, language, remedy in _WRITTEN:
        if match := pattern.match(content):
            groups = [(group or "").strip() for group in match.groups()]
            return (
                f'"{content.removeprefix("%")}" is written in the syntax of {language}',
                f"write {_ROOTED.sub('', remedy.format(*groups))}",
            )
    return None
