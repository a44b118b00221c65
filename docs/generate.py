"""Generate docs/reference and routes.schema.json from the program. Run it after a change: make docs"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import click
import yaml

from gateway import presets
from gateway.cli import cli, schema
from gateway.cli.sources import in_words
from gateway.config.jsonschema import json_schema
from gateway.config.schema.conditions import COMBINING, NUMBER, READ_AS_NUMBER
from gateway.destinations import KINDS, Kind, markup
from gateway.event.operators import OPERATORS
from gateway.render.filters import FILTERS, FUNCTIONS, TESTS
from gateway.telemetry.lines import FIELDS, LOG_EVENTS
from gateway.telemetry.metrics import METRICS
from gateway.web.admin import admin_app

ROOT = Path(__file__).parents[1]
JUDGES = ROOT / "tests" / "judges"
REFERENCE = ROOT / "docs" / "reference"
TYPES = ROOT / "docs" / "how-to" / "add-a-destination.md"
SCHEMA = ROOT / "routes.schema.json"

Shape = Mapping[str, Any]

#: Names of JSON types in the tables, for keys that have no better description.
PLAIN = {"boolean": "true or false", "string": "text", "object": "map", "['object', 'null']": "map"}


def files() -> Mapping[Path, str]:
    """Every generated file with its current text."""
    types = with_blocks(TYPES.read_text("utf-8"), {"types": kinds()})
    return {**pages(), TYPES: types, SCHEMA: schema.text()}


def pages() -> Mapping[Path, str]:
    """Every page of the reference with its current text. Text outside the markers is written by hand and kept."""
    blocks = {
        "routes-yaml.md": {"operators": operators(), "keys": keys()},
        "templates.md": {"filters": filters(), "functions": functions(), "tests": tests(), "fields": chat_fields()},
        "cli.md": {"verbs": verbs()},
        "api.md": {"endpoints": endpoints()},
        "senders.md": {"presets": senders(), "differences": differences()},
        "metrics.md": {"metrics": metrics()},
        "log-events.md": {"lines": lines(), "fields": fields()},
    }
    return {REFERENCE / name: with_blocks((REFERENCE / name).read_text("utf-8"), made) for name, made in blocks.items()}


def with_blocks(page: str, made: Mapping[str, str]) -> str:
    for name, text in made.items():
        begin, end = f"<!-- {name}: generated -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{text.strip()}\n{end}{after}"
    return page


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """``code`` becomes Markdown code; Markdown's special characters elsewhere are escaped."""
    parts = re.split(r"``(.+?)``", text)
    return "".join(
        f"`{part}`" if is_code else re.sub(r"([*<>\\])", r"\\\1", part)
        for part, is_code in zip(parts, cycle([False, True]))
    )


# --- the API ---


def endpoints() -> str:
    """Every endpoint of the OpenAPI document with its parameters and body fields."""
    document = admin_app(Mock()).openapi_schema.to_schema()
    shapes = document["components"]["schemas"]
    return "\n\n".join(
        endpoint(f"{verb.upper()} {path}", each, shapes)
        for path, verbs in document["paths"].items()
        for verb, each in verbs.items()
    )


def endpoint(title: str, described: Shape, shapes: Mapping[str, Shape]) -> str:
    body = body_of(described, shapes)
    rows = [
        [f"`{each['name']}`", each["in"], "**required**" if each["required"] else "", each["description"]]
        for each in described.get("parameters", [])
    ]
    rows += [
        [f"`{name}`", "body", "**required**" if name in body["required"] else "", shape["description"]]
        for name, shape in body.get("properties", {}).items()
    ]
    listed = table(["name", "in", "", "meaning"], rows) if rows else ""
    return "\n\n".join(filter(None, [f"### `{title}`", f"{described['summary']}.", listed]))


def body_of(described: Shape, shapes: Mapping[str, Shape]) -> Shape:
    """The schema of an endpoint's JSON body; empty if it has none."""
    content = described.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    named = next((each for each in [schema, *schema.get("oneOf", [])] if "$ref" in each), None)
    return shapes[named["$ref"].rpartition("/")[2]] if named else {}


# --- senders ---


def senders() -> str:
    rows = [
        [f"`{name}`", f"[{preset.title}]({preset.page})", plain(in_words(preset)), plain(preset.notes.strip())]
        for name, preset in ((name, presets.load(name)) for name in presets.NAMES)
    ]
    return f"{len(rows)} presets.\n\n" + table(["preset", "sender", "verified by", "notes"], rows)


def differences() -> str:
    """Where the vendors' packages and the gateway disagree."""
    listed = yaml.safe_load((JUDGES / "differences.yaml").read_text("utf-8"))
    rows = [
        [", ".join(f"`{name}`" for name in each["presets"]), "; ".join(each["cases"]), each["why"]] for each in listed
    ]
    return table(["preset", "request", "why they differ"], rows)


# --- destinations ---


def kinds() -> str:
    """Every type of destination: what it needs, what it sends, and how fast."""
    rows = [[f"`{name}`", plain(each.needs), plain(each.sends), rate(each)] for name, each in KINDS.items()]
    options = [option for each in KINDS.values() for option in each.options]
    said = f'{in_words_of([f"`{each}`" for each in options])} may be templates of the event: `channel: "#{{{{ attrs.team }}}}"`.'
    return table(["type", "needs", "what is sent", "rate"], rows) + f"\n\n{said}"


def rate(kind: Kind) -> str:
    return f"[{kind.rate}]({kind.rate_page})" if kind.rate else ""


# --- routes.yaml ---


def keys() -> str:
    """Every section of the file with its keys."""
    whole = json_schema()
    places = {"the file": whole, **whole["$defs"]}
    return "\n\n".join(f"## {title.capitalize()}\n\n{place(shape)}" for title, shape in places.items())


def operators() -> str:
    """What may stand in a map of conditions beside plain values."""
    of_a_field = [[f"`{name}`", "a field", plain(each.about)] for name, each in OPERATORS.items()]
    of_a_field.append([f"`{NUMBER}`", "a field", plain(READ_AS_NUMBER)])
    combining = [[f"`{name}`", "a map of conditions", plain(about)] for name, (_, about) in COMBINING.items()]
    return table(["operator", "of", "holds when"], of_a_field + combining)


def place(shape: Shape) -> str:
    required, types = shape.get("required", []), types_by_key(shape)
    rows = [
        [
            f"`{key}`",
            value_of(value),
            "**required**" if key in required else f"`{written(value['default'])}`" if "default" in value else "",
            plain(value["description"]) + types.get(key, ""),
        ]
        for key, value in sorted(shape["properties"].items(), key=lambda each: each[0] not in required)
    ]
    own = shape.get("patternProperties", {})
    rows += [[f"`{pattern.strip('^')}...`", "anything", "", value["description"]] for pattern, value in own.items()]
    return table(["key", "value", "default", "meaning"], rows)


def written(value: object) -> str:
    """A default as it would be written in the file."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {each}' for name, each in value.items())}}}"
    return json.dumps(value).strip('"')


def types_by_key(shape: Shape) -> Mapping[str, str]:
    """For each key that only some destination types have: which ones."""
    refused = {
        rule["if"]["properties"]["type"]["const"]: set(rule["then"]["properties"])
        for rule in shape.get("allOf", [])
        if "type" in rule["if"]["properties"]
    }
    return {
        key: f" ({of_types(key, refused)})"
        for key in set().union(*refused.values())
        if any(key not in keys for keys in refused.values())
    }


def of_types(key: str, refused: Mapping[str, set[str]]) -> str:
    """The types that have the key, or those that lack it if they are fewer."""
    having = [kind for kind in refused if key not in refused[kind]]
    lacking = [kind for kind in refused if key in refused[kind]]
    return f"type {in_words_of(having)}" if len(having) <= len(lacking) else f"not type {in_words_of(lacking)}"


def in_words_of(names: Sequence[str]) -> str:
    """``http, slack and ntfy``."""
    *most, last = names
    return " and ".join(filter(None, [", ".join(most), last]))


def value_of(shape: Shape) -> str:
    """A JSON schema in words."""
    if "$ref" in shape:
        title = shape["$ref"].removeprefix("#/$defs/")
        return f"[{title}](#{re.sub(r'[^a-z0-9 _-]', '', title).replace(' ', '-')})"
    if "title" in shape:
        return shape["title"]
    if "enum" in shape:
        return ", ".join(f"`{each}`" for each in dict.fromkeys(map(str, shape["enum"])))
    if "anyOf" in shape:
        return either([each for each in shape["anyOf"] if each.get("pattern") != r"\$\{"])
    if "items" in shape:
        return f"list of {value_of(shape['items'])}"
    if shape.get("additionalProperties"):
        return f"map of {value_of(shape['additionalProperties'])}"
    return PLAIN.get(str(shape.get("type")), "anything")


def either(shapes: Sequence[Shape]) -> str:
    if shapes[0].get("type") == "boolean":
        return value_of(shapes[0])
    if len(shapes) == 2 and shapes[1].get("items") == shapes[0]:
        return f"{value_of(shapes[0])}, or a list"
    return ", or ".join(value_of(each) for each in shapes)


# --- templates ---


def filters() -> str:
    return table(["filter", "result", "example"], [documented(name, made) for name, made in FILTERS.items()])


def functions() -> str:
    made = {name: function for name, function in FUNCTIONS.items() if callable(function)}
    return table(["function", "result", "example"], [documented(name, each) for name, each in made.items()])


def documented(name: str, function: object) -> Sequence[str]:
    """Its name, its first sentence, and the first example of its doctest."""
    text = function.__doc__
    example, result = re.search(r">>> (.*)\n\s*(.*)", text).groups()
    return [f"`{name}`", plain(text.partition("\n")[0]), f"`{example.replace('_(', '(')}` → `{result}`"]


def chat_fields() -> str:
    """The fields of each chat's message that are no text with markup, by what they are."""
    rows = []
    for kind in (kind for kind in KINDS.values() if kind.fields is not None):
        of_writer: dict[object, list[str]] = {}
        for (holder, key), writer in kind.fields.known.items():
            of_writer.setdefault(writer, []).append(f"{holder}.{key}" if holder else key)
        below = [f"{key}.*" for key in kind.fields.below]
        found = (
            of_writer.get(markup.address, []),
            of_writer.get(markup.name, []),
            of_writer.get(markup.data, []) + below,
        )
        rows.append([f"[{kind.title}]({kind.fields.page})", *(coded(sorted(names)) for names in found)])
    return table(["chat", "addresses", "names and labels", "unchanged"], rows)


def tests() -> str:
    return ", ".join(f"`{name}`" for name in TESTS)


# --- metrics and the log ---


def metrics() -> str:
    rows = [[f"`{name}`", each.type, coded(each.labels), plain(each.about)] for name, each in METRICS.items()]
    return table(["metric", "type", "labels", "meaning"], rows)


def lines() -> str:
    rows = [[f"`{name}`", each.level, plain(each.when), coded(each.fields)] for name, each in LOG_EVENTS.items()]
    return table(["event", "level", "logged when", "fields"], rows)


def fields() -> str:
    return table(["field", "content"], [[f"`{name}`", plain(about)] for name, about in FIELDS.items()])


def coded(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# --- the command line ---


def verbs() -> str:
    return "\n\n".join(verb(f"## gateway {name}", f"gateway {name}", command) for name, command in cli.commands.items())


def verb(title: str, called: str, command: click.Command) -> str:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [option(each) for each in command.params if isinstance(each, click.Option)]
    usage = " ".join([called, *(usage_of(each) for each in arguments), *(["[options]"] if options else [])])
    parts = [title, f"```\n{usage}\n```", *paragraphs(command.help)]
    if command.epilog:
        example = command.epilog.removeprefix("Example: ")
        parts.append(f"```\n{example}\n```")
    parts += [table(["option", "environment", "default", "meaning"], options)] if options else []
    inner = command.commands.items() if isinstance(command, click.Group) else ()
    return "\n\n".join([*parts, *(verb(f"### {called} {name}", f"{called} {name}", each) for name, each in inner)])


def usage_of(argument: click.Argument) -> str:
    shown = argument.metavar or argument.name.upper()
    return shown if argument.required or shown.startswith("[") else f"[{shown}]"


def option(each: click.Option) -> Sequence[str]:
    variable = f"`{each.envvar}`" if each.envvar else ""
    choices = f"One of {', '.join(each.type.choices)}." if isinstance(each.type, click.Choice) else ""
    has_default = not each.is_flag and not each.multiple and isinstance(each.default, str | int | float)
    default = f"`{each.default}`" if has_default and each.default != "" else ""
    about = " ".join(part for part in (each.help or "", choices) if part)
    return [", ".join(f"`{name}`" for name in each.opts), variable, default, plain(about)]


def paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").split("\n\n"):
        yield plain(" ".join(paragraph.split()))


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
        print(path)
