"""Variables of the environment as other programs write them: ``$NAME``, ``{{ NAME }}``, ``process.env.NAME``."""

import re
from collections.abc import Sequence
from typing import Final

#: What is only a text in any value, even in a template; each has the name as its group.
_ANYWHERE: Final[Sequence[re.Pattern[str]]] = tuple(
    map(
        re.compile,
        (
            r"\$([A-Z_][A-Z0-9_]*)",
            r"\$\(([A-Z_][A-Z0-9_]*)\)",
            r"%([A-Z_][A-Z0-9_]*)%",
            r"\{\{-?\s*(?:env|ENV|secrets)\.([A-Za-z_]\w*)\s*-?\}\}",
        ),
    )
)
#: What is only a text where no template is rendered.
_UNRENDERED: Final[Sequence[re.Pattern[str]]] = (
    *_ANYWHERE,
    *map(
        re.compile,
        (
            r"\{\{-?\s*(?:(?:env|ENV|secrets|process\.env|environ|\.Values|\.Env)\.)?([A-Za-z_]\w*)\s*-?\}\}",
            r"\{%-?\s*([A-Za-z_]\w*)\s*-?%\}",
            r"<([A-Za-z_][\w -]*)>",
            r"(?:os\.environ|process\.env|env|ENV|secrets)[.:]([A-Z_][A-Z0-9_]*)",
            r"""(?:[A-Za-z_]+\.)*(?:environ|env|ENV|getenv|get_env|get)[\[(]\s*["']([A-Za-z_]\w*)["'][^\])]*[\])]""",
        ),
    ),
)
_RANDOM: Final = re.compile(r"[a-z].*\d|\d.*[a-z]")
_SCHEME: Final = re.compile(r"^(?:Bearer|Basic|Token)\s+(?=\S)", re.IGNORECASE)
#: ``secret: {{ NAME }}``: a name alone, which a template never has, in capitals or after a key that grants access.
_BRACES: Final = re.compile(
    r"(?P<key>[\w.\-]+:)?\s*\{\{-?\s*(?P<of>(?:env|ENV|secrets)\.)?(?P<name>[A-Za-z_]\w*)\s*-?\}\}"
)
_GRANTING: Final = re.compile(r"(?:\w*(?:secret|token|password)s?|bearer|url|auth|verify):", re.IGNORECASE)


def named_anywhere(text: str) -> str:
    """The variable that a text consists of, as another program writes it; empty if it is none."""
    return _named(text, _ANYWHERE)


def named_unrendered(text: str) -> str:
    """The variable that a text consists of, where no template is rendered; the scheme of a login may precede it."""
    return _named(_SCHEME.sub("", text.strip(), count=1), _UNRENDERED)


def in_header(value: str) -> str:
    """``write "Bearer ${TOKEN}"`` for a header of ``Bearer <TOKEN>``; empty if its value is not a variable."""
    scheme = _SCHEME.match(value.strip())
    # One that is all of a value is found wherever it is written.
    name = "" if "{{" in value or "{%" in value or named_anywhere(value) else named_unrendered(value)
    # An id of a message is in angle brackets, too.
    is_sure = scheme or "<" not in value or re.search(r"[A-Z]{2}|token|key|secret|password", value)
    return f'write "{scheme[0] if scheme else ""}${{{name}}}"' if name and is_sure else ""


def _named(text: str, ways: Sequence[re.Pattern[str]]) -> str:
    found = next(filter(None, (way.fullmatch(text) for way in ways)), None)
    if found is None:
        return ""
    # With digits among small letters it could be the secret itself, which is not repeated.
    return "NAME" if _RANDOM.search(found[1]) else re.sub(r"\W+", "_", found[1]).upper()


def reference_for(written: str) -> str:
    """``"${NAME}"`` for the value of ``key: {{ NAME }}``; empty if the braces are meant as a template."""
    found = _BRACES.fullmatch(written.strip())
    if found is None or not (found["of"] or found["name"].isupper() or _GRANTING.fullmatch(found["key"] or "")):
        return ""
    return f'"${{{found["name"].upper()}}}"'


_IN_URL: Final = re.compile(
    r"\{\{-?\s*(?:(?:env|ENV|secrets)\.)?(?P<braces>[A-Z_][A-Z0-9_]*)\s*-?\}\}|<(?P<angles>[A-Z_][A-Z0-9_]*)>"
    # Not the letters between two encoded characters: %C3%BCBER%20.
    r"|(?<!\$)\$(?P<shell>[A-Z_][A-Z0-9_]{2,})|%(?P<windows>[A-Z_][A-Z0-9_]{2,})%(?![0-9A-Fa-f]{2})"
)


def in_url(url: str) -> str:
    """The first variable in a url, as another program writes it; empty if there is none."""
    found = _IN_URL.search(url)
    return named_unrendered(url) or (found[found.lastgroup or 0] if found else "")
