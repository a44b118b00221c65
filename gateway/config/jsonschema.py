"""routes.yaml as a JSON Schema, made from the declarations that the loader uses."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from gateway.config.schema.file import FileKeys
from gateway.config.schema.keys import Key, Section, keys_of
from gateway.config.schema.reading import Shape, shape_of
from gateway.destinations import KINDS
from gateway.wording import duration, exact_size

JsonSchema = dict[str, Any]


def json_schema() -> JsonSchema:
    """A JSON Schema (draft 2020-12) of the file.

    It covers every key and value type, but nothing that depends on the whole file: whether a destination exists, a
    variable is set or a template compiles.
    """
    sections: dict[type[Section], JsonSchema] = {}
    whole = _section(FileKeys, sections)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "routes.yaml",
        "description": "Who sends events, where to deliver them, and what to send.",
        **whole,
        "patternProperties": {"^x-": {"description": "yours: the gateway ignores it"}},
        "$defs": {_title(section): sections[section] for section in sections},
    }


def _section(section: type[Section], known: dict[type[Section], JsonSchema]) -> JsonSchema:
    keys = keys_of(section)
    schema: JsonSchema = {
        "type": "object",
        "properties": {text: _property(section, name, key, known) for text, (name, key) in keys.items()},
        "additionalProperties": False,
        **section.together,
    }
    if required := [text for text, (_, key) in keys.items() if key.required]:
        schema["required"] = required
    if refused := list(_refused_by_type(keys)):
        schema["allOf"] = refused
    return schema


def _property(section: type[Section], name: str, key: Key, known: dict[type[Section], JsonSchema]) -> JsonSchema:
    shape = _with_definitions(shape_of(key.parse), known)
    own = None if key.required else _default_of(section, name, shape_of(key.parse))
    default = key.usual if own is None else own
    return {"description": key.about, **({} if default is None else {"default": default}), **shape}


def _with_definitions(shape: Any, known: dict[type[Section], JsonSchema]) -> Any:
    """The shape with each section replaced by a reference; the section is added to ``known``."""
    if isinstance(shape, Mapping):
        return {word: _with_definitions(value, known) for word, value in shape.items()}
    if isinstance(shape, list | tuple):
        return [_with_definitions(each, known) for each in shape]
    if not _is_section(shape):
        return shape
    if shape not in known:
        # Known before it is complete: a section may contain itself.
        known[shape] = {}
        known[shape].update(_section(shape, known))
    return f"#/$defs/{_title(shape)}"


def _refused_by_type(keys: Mapping[str, tuple[str, Key]]) -> Iterator[JsonSchema]:
    """The keys that a destination of each type does not have."""
    for kind in KINDS:
        refused = [text for text, (_, key) in keys.items() if key.types and kind not in key.types]
        if refused:
            is_kind: JsonSchema = {"properties": {"type": {"const": kind}}}
            # The default type is http.
            is_kind |= {} if kind == "http" else {"required": ["type"]}
            yield {"if": is_kind, "then": {"properties": dict.fromkeys(refused, False)}}


def _is_section(shape: object) -> TypeGuard[type[Section]]:
    return isinstance(shape, type) and issubclass(shape, Section)


def _title(section: type[Section]) -> str:
    return section.noun.removeprefix("a ").removeprefix("an ")


def _default_of(section: type[Section], name: str, shape: Shape) -> str | int | None:
    """The default of a key, as it would be written; None if it is not a simple value."""
    [default] = [each.default for each in dataclasses.fields(section) if each.name == name]
    match shape.get("title"), default:
        case "duration", float():
            return duration(default)
        case "size", int():
            return exact_size(default)
        case _, str() | int():
            return default
    return None
