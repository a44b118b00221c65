"""What an expression of GitHub Actions is here. Pure; empty where it cannot be said."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.render.scripts import outside

#: Fields of the context ``github`` that are not those of the event.
_FIELDS: Final[Mapping[str, str]] = {
    "event_name": "event.resource",
    "ref": "payload.ref",
    "ref_name": "payload.ref.removeprefix('refs/heads/')",
    "sha": "payload.after",
    "actor": "payload.sender.login",
    "triggering_actor": "payload.sender.login",
    "repository": "payload.repository.full_name",
    "repository_owner": "payload.repository.owner.login",
    "head_ref": "payload.pull_request.head.ref",
    "base_ref": "payload.pull_request.base.ref",
}


def _concluded(word: str) -> Callable[..., str]:
    return lambda: f"payload.workflow_run.conclusion == '{word}'"


_CALLS: Final[Mapping[str, Callable[..., str]]] = {
    "contains": lambda within, part: f"{part} in {within}",
    "startswith": lambda text, part: f"{_operand(text)}.startswith({part})",
    "endswith": lambda text, part: f"{_operand(text)}.endswith({part})",
    "join": lambda values, between="', '": f"{_operand(values)} | join({between})",
    "tojson": lambda value: f"{_operand(value)} | tojson",
    "fromjson": lambda value: value.strip("'"),
    "success": _concluded("success"),
    "failure": _concluded("failure"),
    "cancelled": _concluded("cancelled"),
}

#: Those that other languages have as well.
_ANYWHERE: Final = frozenset({"join", "tojson", "fromjson"})

_PART: Final = re.compile(
    r"(?P<text>'(?:[^']|'')*'|\"[^\"]*\")"
    rf"|(?<![\w.])(?P<call>{'|'.join(_CALLS)})\("
    r"|(?<![\w.])github\.(?P<field>event(?:\.[\w*]+)+|\w+)"
    r"|(?P<path>(?<![\w.])[A-Za-z_]\w*(?:\.\w+)*\.\*\.\w+)"
    r"|\s*(?P<sign>&&|\|\|)\s*"
    r"|!(?!=)\s*(?P<denied>)",
    re.IGNORECASE,
)
#: What is before the name of a filter or a test, which other languages have.
_BEFORE_NAME: Final = re.compile(r"(?:(?<!\|)\||\bis(?:\s+not)?\b)\s*")
_SIGNS: Final = {"&&": " and ", "||": " or "}
_EVERY: Final = re.compile(r"\.\*\.(\w+)")


#: Characters that are looked at: an expression is short.
_LONGEST: Final = 300


class _Other(Exception):
    """Something that is not known here."""


def expression(text: str) -> str:
    """``contains(github.ref, 'main')`` as ``'main' in payload.ref``; empty if nothing in it is of GitHub Actions."""
    if len(text) > _LONGEST:
        return ""
    try:
        written, is_theirs = _written(text)
    except (_Other, TypeError):
        return ""
    return written.strip() if is_theirs else ""


#: An expression as a workflow has it, or a template.
_BRACED: Final = re.compile(r"\s*\$?\{\{([^{}$]*)\}\}\s*")


def braced(text: str) -> str:
    """``attrs.vip`` of ``${{ attrs.vip }}``; empty if it is not one expression in braces."""
    found = _BRACED.fullmatch(text)
    return found[1].strip() if found else ""


def field(path: str) -> str:
    """``github.event.action`` as ``payload.action``; empty for any other."""
    root, _, below = path.partition(".")
    if root != "github":
        return ""
    return f"payload.{below.removeprefix('event.')}" if below.startswith("event.") else _FIELDS.get(below, "")


def _written(text: str) -> tuple[str, bool]:
    """An expression as it is written here, and whether anything in it was not."""
    pieces, at, is_theirs = list[str](), 0, False
    while found := _PART.search(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        if found["text"]:
            pieces.append(found["text"])
        elif found["sign"]:
            pieces.append(_SIGNS[found["sign"]])
        elif found["denied"] is not None:
            pieces.append("not ")
        else:
            is_theirs = is_theirs or (found["call"] or "").lower() not in _ANYWHERE
            piece, at = _call(text, found) if found["call"] else (_value(found), at)
            pieces.append(piece)
    return "".join((*pieces, text[at:])), is_theirs


def _call(text: str, found: re.Match[str]) -> tuple[str, int]:
    if any(before.end() == found.start() for before in _BEFORE_NAME.finditer(text, 0, found.start())):
        raise _Other
    end = outside(text, ")", found.end())
    if end < 0:
        raise _Other
    arguments = [_written(each)[0].strip() for each in _arguments(text[found.end() : end])]
    return _CALLS[found["call"].lower()](*arguments), end + 1


def _arguments(text: str) -> Sequence[str]:
    found, at = list[str](), 0
    while (comma := outside(text, ",", at)) >= 0:
        found.append(text[at:comma])
        at = comma + 1
    return [*found, text[at:]] if text.strip() else []


def _value(found: re.Match[str]) -> str:
    written = found["path"] or field(f"github.{found['field']}")
    if not written:
        raise _Other
    every = _EVERY.sub(r' | map("\1")', written)
    if ".*" in every:
        raise _Other
    return f"({every} | list)" if every != written else written


def _operand(text: str) -> str:
    return text if re.fullmatch(r"[\w.]+|'[^']*'|\"[^\"]*\"|\(.*\)", text) else f"({text})"
