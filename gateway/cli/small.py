"""A small routes.yaml for one sender and one destination, made from what is known of both."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.cli.sources import fragment
from gateway.destinations import Kind
from gateway.errors import GatewayError
from gateway.event.naming import UNKNOWN_TYPE
from gateway.event.payload import ENVELOPE, parse_body
from gateway.event.split import pieces
from gateway.model import Event
from gateway.presets import Preset
from gateway.wording import joined

#: What most readers of an event want to see, the most telling first.
_TELLING: Final = (
    "title", "subject", "name", "full_name", "display_name", "firstname", "first_name", "lastname", "last_name", "summary",
    "message", "text", "description", "email", "phone", "status", "state", "conclusion", "severity", "ref", "number",
    "reference", "amount", "total_price", "total", "currency", "body", "html_url", "url", "id",
)  # fmt: skip
#: Endings of the types that most readers want to hear of.
_WANTED: Final = ("push", ".opened", ".created", "/create", ".paid", ".succeeded", ".failed")
#: Fields that a message shows.
_SHOWN: Final = 3
#: How many levels below ``attrs`` a field is looked for, and then if there is none worth showing.
_NEAR: Final = 2
_DEEP: Final = 4
#: Characters of a value that fits on a line of a chat.
_SHORT: Final = 120
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
#: Names that mean something else in an expression.
_RESERVED: Final = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "items",
        "keys",
        "values",
    ]
)
_PLAIN: Final = re.compile(r"[A-Za-z][\w./-]*")
_SENTENCE: Final = re.compile(r"[A-Za-z][\w./ -]*")


def routes(preset: Preset, kind: Kind, first: str = "") -> str:
    """The file: a source, a destination, a route and its test. ``first``: the sample that is wanted; "": the usual one."""
    sample, type_, fields = _event(preset, first or next(iter(preset.products.values()), ""))
    name = _called(kind)
    lines = [
        "# yaml-language-server: $schema=./routes.schema.json",
        f"# {preset.title} to {kind.title}. `gateway check` explains every mistake in this file.",
        "version: 1",
        "",
        *_source(preset),
        "",
        "destinations:",
        f"  {name}:",
        *([f"    type: {kind.name}"] if kind.name != "http" else []),
        *_keys(kind, name),
        "",
        "routes:",
        f"  - name: {preset.name}-to-{name}",
        *([f"    match: {_scalar(type_)}{_others(preset, sample)}"] if type_ else []),
        f"    to: {name}",
        *_content(kind, type_, fields),
        "",
        "tests:                                    # `gateway test` runs them; nothing is sent",
        f"  - name: {_scalar(f'{type_} goes to {name}' if type_ else f'an event goes to {name}', _SENTENCE)}",
        f"    event: {_scalar(sample)}" if sample else "    payload: {id: 1}",
        f"    expect: [{name}]",
        "",
    ]
    return "\n".join(lines)


def variables(preset: Preset, kind: Kind) -> str:
    """``.env.example``: every variable of the file, and where its value is found."""
    text = routes(preset, kind)
    about = {each: f"{kind.title}: {_said(kind.needs)}" for each in re.findall(r"\$\{(\w+)\}", text)}
    about |= {each: f"{preset.title}: {preset.secret or 'the secret'}" for each in about if each.endswith("_SECRET")}
    about |= {
        each: f"{preset.title}: the verify token that you enter there, for its handshake"
        for each in about
        if each.endswith("_VERIFY_TOKEN")
    }
    lines = [
        "# Copy this file to .env. `gateway serve` reads it only with --env-file .env, and `gateway test` not at all; the other",
        "# commands read it.",
    ]
    for name, where in about.items():
        lines += ["", f"# {where}", f"{name}="]
    return "\n".join([*lines, ""])


def _said(markdown: str) -> str:
    return markdown.replace("`", "").partition(";")[0].removeprefix("url: ")


def _called(kind: Kind) -> str:
    return {"http": "api", "file": "archive"}.get(kind.name, kind.name)


def _source(preset: Preset) -> Sequence[str]:
    first, *more = fragment(preset).split("\n")
    where = f"{preset.title} posts to /in/{preset.name}"
    return [first, f"{more[0]:<42}# {where}", *more[1:]]


def _keys(kind: Kind, name: str) -> Iterator[str]:
    variable = name.upper()
    if kind.has_url:
        yield f"    url: {f'${{{variable}_URL}}':<33}# from the environment or .env; never write it into this file"
    if "path" in kind.keys:
        yield f"    path: {name}.ndjson"
    for option, declared in kind.options.items():
        if declared.required:
            yield f"    {option}: ${{{variable}_{option.upper()}}}"


def _others(preset: Preset, sample: str) -> str:
    if preset.any_types:
        fields = joined(
            [path[-1] for template in preset.naming.types for path in template.paths if path[0] == "payload"]
        )
        return f"   # an example: write what your sender has in {fields.replace(' and ', ' or ')}" if fields else ""
    others = [each for each in preset.samples if each != sample]
    return f"   # `gateway sources {preset.name}` shows other sample events" if others else ""


def _event(preset: Preset, first: str) -> tuple[str, str, Sequence[str]]:
    """A sample, its type and the paths of fields worth showing; empty if nothing is known."""
    names = sorted(
        preset.samples, key=lambda each: next((at for at, end in enumerate(_WANTED) if each.endswith(end)), 99)
    )
    # The sort is stable: the one that was asked for comes first, the others in their order.
    names.sort(key=lambda each: each != first)
    for name in names:
        headers = preset.sample_headers[name]
        try:
            split = pieces(preset.samples[name], preset.naming.split, headers["content-type"])
            payload = parse_body(split[0].body if split else preset.samples[name], headers["content-type"])
        except GatewayError:
            continue
        if split:
            headers = {**headers, ENVELOPE: split[0].envelope}
        type_ = preset.naming.type_of(payload, headers)
        if type_ == UNKNOWN_TYPE:
            continue
        event = Event(id="", source="", type=type_, received_at=0.0, headers=headers, body=b"", sha256=b"")
        return name, type_, _fields(preset.naming.facts(event, payload))
    return "", "", ()


def _fields(facts: Mapping[str, object]) -> Sequence[str]:
    for depth in (_NEAR, _DEEP):
        found = [*_scalars(facts.get("attrs"), "attrs", depth), *_scalars(facts["payload"], "payload", depth)]
        telling = [each for name in _TELLING for each in found if label(each) == name]
        unlike = dict(zip(map(label, reversed(telling)), reversed(telling), strict=True))
        if kept := [each for each in telling if each in unlike.values()]:
            break
    return (kept or found)[:_SHOWN]


def _scalars(value: object, path: str, depth: int) -> Iterator[str]:
    """Paths of short texts and numbers, those of the outer levels first; with room below it, of a list those of its first element."""
    if isinstance(value, list) and value and depth >= _NEAR:
        value, path = value[0], f"{path}[0]"
    if not isinstance(value, Mapping):
        return
    named = [(name, each) for name, each in value.items() if _NAME.fullmatch(str(name)) and name not in _RESERVED]
    for name, each in named:
        is_short = isinstance(each, str) and 0 < len(each) <= _SHORT and "\n" not in each
        if is_short or (isinstance(each, int | float) and not isinstance(each, bool)):
            yield f"{path}.{name}"
    for name, each in named if depth > 1 else ():
        yield from _scalars(each, f"{path}.{name}", depth - 1)


def _content(kind: Kind, type_: str, fields: Sequence[str]) -> Iterator[str]:
    if kind.needs_text:
        yield "    text: |"
        yield "      {{ event.type }}" if not type_ else f"      {presentable(type_)} in {{{{ event.source }}}}"
        yield from (f'      {label(each)}: {{{{ {each} | default("none") }}}}' for each in fields)
    elif kind.name == "http":
        yield "    body:                                 # without it, the exact bytes received are sent"
        yield '      type: "{{ event.type }}"'
        for each in fields:
            yield f'      {label(each)}: "{{{{ {each} | default(omit) }}}}"'


def presentable(type_: str) -> str:
    """A type as a reader of a chat sees it, as literal text."""
    return type_ if _PLAIN.fullmatch(type_) else "{{ event.type }}"


def label(path: str) -> str:
    return path.rpartition(".")[2]


def _scalar(text: str, plain: re.Pattern[str] = _PLAIN) -> str:
    """A text as YAML reads it back."""
    return text if plain.fullmatch(text) and text not in ("null", "true", "false") else json.dumps(text)
