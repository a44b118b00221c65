"""What is written here instead of a function of a text, a list or an object that other languages have."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.wording import folded


def _get(of: str, arguments: Sequence[str]) -> str:
    if not arguments:
        return ""
    default = f" | default({arguments[1]})" if len(arguments) > 1 else ""
    return f"write {of}{step(arguments[0])}{default}"


def step(name: str) -> str:
    """One step into an object by a name in quotes: ``.firstname``, ``["first name"]``."""
    bare = name[1:-1]
    return f".{bare}" if bare.isidentifier() and name[:1] in "'\"" else f"[{name}]"


def _within(of: str, arguments: Sequence[str]) -> str:
    return f"write {arguments[0]} in {of}" if arguments else ""


def _part(of: str, arguments: Sequence[str]) -> str:
    return (
        f"write {of}[{':'.join((*arguments, ''))[:-1] if len(arguments) > 1 else f'{arguments[0]}:'}]"
        if arguments
        else ""
    )


def _from_and_length(of: str, arguments: Sequence[str]) -> str:
    if len(arguments) < 2:
        return _part(of, arguments)
    start, length, *_ = arguments
    is_known = start.isdecimal() and length.isdecimal()
    return f"write {of}[{start}:{int(start) + int(length) if is_known else f'{start} + {length}'}]"


def _replace(of: str, arguments: Sequence[str]) -> str:
    return f"write {of} | replace({', '.join(arguments)})"


def _joined(of: str, arguments: Sequence[str]) -> str:
    return f"write {' ~ '.join((of, *arguments))}" if arguments else ""


_CALLS: Final[Mapping[str, Callable[[str, Sequence[str]], str]]] = {
    "get": _get,
    **dict.fromkeys(("includes", "contains", "include", "has", "haskey", "hasownproperty"), _within),
    **dict.fromkeys(("slice", "substring"), _part),
    "substr": _from_and_length,
    **dict.fromkeys(("replaceall", "gsub"), _replace),
    "concat": _joined,
    "charat": lambda of, arguments: f"write {of}[{', '.join(arguments)}]",
    "tofixed": lambda of, arguments: f"write {of} | number({', '.join(arguments)})",
    "format": lambda _of, _arguments: "write the text itself, with each value in braces: No. {{ attrs.id }}",
    **dict.fromkeys(("keys", "values"), lambda of, _arguments: f"write {{% for key, value in {of} | items %}}"),
}


def known(of: str, name: str, arguments: Sequence[str]) -> str:
    """What to write for a function of ``of`` that others have; empty if it is not known."""
    written = _CALLS.get(folded(name))
    return written(of, arguments) if written is not None else ""
