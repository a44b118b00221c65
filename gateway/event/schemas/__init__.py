"""JSON Schema for the payloads of a source: whether one fits, and where and why it does not; total and bounded.

Drafts 2020-12, 2019-09, 7 and 6 (json-schema.org), without ``unevaluatedProperties``, ``unevaluatedItems`` and dynamic
references. A ``$ref`` leads to a place in the same file. Patterns are RE2's, searched for as the drafts say; ``format`` is a
note, as 2020-12 has it. A reason names fields and rules, never a value of the event.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from msgspec import Struct

from gateway.event.paths import position
from gateway.event.schemas import combined, scalars, structures
from gateway.event.schemas.run import DEEPEST, Check, Failed, Node, Path, Run, SchemaRefused, TooMuch, below, shown
from gateway.model import Misfit
from gateway.wording import printable

__all__ = ["Schema", "SchemaRefused"]

#: Draft by draft, what ``$schema`` contains.
DRAFTS: Final = ("2020-12", "2019-09", "draft-07", "draft-06")
_UNSUPPORTED: Final = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")


class Schema(Struct, frozen=True):
    """What the payloads of a source look like."""

    root: Any

    @staticmethod
    def compile(document: object) -> "Schema":
        """A schema of its JSON. Raises SchemaRefused."""
        try:
            return Schema(Compiler(document).root())
        except RecursionError:
            raise SchemaRefused("the schema is nested too deeply") from None

    def misfit(self, payload: object) -> Misfit | None:
        """Where and why a payload does not fit; None: it does. Total."""
        assert isinstance(self.root, Node)
        try:
            self.root.check(payload, ("payload",), Run(), 0)
        except Failed as failed:
            return Misfit(shown(failed.path), failed.reason)
        except TooMuch as stopped:
            return Misfit(shown(stopped.path), "takes too long to check: simplify the schema")
        except RecursionError:
            return Misfit("payload", "is nested too deeply to check, or the schema refers to itself without end")
        return None


class Compiler:
    """Compiles the schemas of one file, each once."""

    def __init__(self, document: object) -> None:
        self._document = document
        self._known: dict[int, Node] = {}
        self._anchors: dict[str, object] = {}
        #: ``$id`` of the file: references that begin with it lead into it.
        self._base = ""

    def root(self) -> Node:
        document = self._document
        if not isinstance(document, dict | bool):
            raise SchemaRefused("a schema is an object", 'write {"type": "object", ...}')
        if isinstance(document, dict):
            self._check_draft(document.get("$schema"))
            base = document.get("$id")
            self._base = base.partition("#")[0] if isinstance(base, str) else ""
            self._anchors = dict(_anchors(document))
        return self.schema(document, "#")

    def _check_draft(self, written: object) -> None:
        if written is not None and not any(draft in str(written) for draft in DRAFTS):
            raise SchemaRefused(
                f'"$schema" names a draft that is not supported: {printable(str(written))[:100]}',
                "write https://json-schema.org/draft/2020-12/schema, or draft 2019-09, 7 or 6",
            )

    def schema(self, written: object, at: str) -> Node:
        """A schema at a place of the file, as a JSON pointer."""
        if at.count("/") > 2 * DEEPEST:
            raise SchemaRefused("the schema is nested too deeply")
        if not isinstance(written, dict | bool):
            raise SchemaRefused(f"{at} is not a schema", "write an object, true or false")
        if id(written) in self._known and isinstance(written, dict):
            return self._known[id(written)]
        made = Node()
        if written is False:
            made.checks.append(never)
        if isinstance(written, dict):
            self._known[id(written)] = made
            made.checks.extend(self._checks(written, at))
        return made

    def _checks(self, written: dict[str, Any], at: str) -> Iterator[Check]:
        for name in _UNSUPPORTED:
            if name in written:
                raise SchemaRefused(f'{at} has "{name}", which is not supported', "write the rule in another way")
        if "$ref" in written:
            yield self._referred(written["$ref"], at).check
        for keyword, make in KEYWORDS.items():
            if keyword in written:
                yield make(self, written[keyword], written, f"{at}/{keyword}")

    def _referred(self, written: object, at: str) -> Node:
        if not isinstance(written, str):
            raise SchemaRefused(f"{at}/$ref is not a text")
        address, _, fragment = written.partition("#")
        if address and address != self._base:
            raise SchemaRefused(
                f'{at}/$ref leads out of the file: "{printable(written)[:100]}"',
                "copy that schema into $defs: #/$defs/name",
            )
        if fragment and not fragment.startswith("/"):
            if fragment not in self._anchors:
                raise SchemaRefused(f'{at}/$ref: nothing has the anchor "{printable(fragment)[:100]}"')
            return self.schema(self._anchors[fragment], f"#{fragment}")
        found: object = self._document
        for step in fragment.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and 0 <= position(name) < len(found):
                found = found[position(name)]
            else:
                raise SchemaRefused(f'{at}/$ref: there is no "{printable(written)[:100]}"', "correct it: #/$defs/name")
        return self.schema(found, f"#{fragment}")

    def map(self, written: object, at: str) -> dict[str, Node]:
        if not isinstance(written, dict):
            raise SchemaRefused(f"{at} is not an object")
        return {name: self.schema(each, below(at, name)) for name, each in written.items()}

    def list(self, written: object, at: str) -> Sequence[Node]:
        if not isinstance(written, list) or not written:
            raise SchemaRefused(f"{at} is not a list of schemas")
        return [self.schema(each, f"{at}/{number}") for number, each in enumerate(written)]


def _anchors(written: object) -> Iterator[tuple[str, object]]:
    match written:
        case dict():
            if isinstance(name := written.get("$anchor"), str):
                yield name, written
            if isinstance(name := written.get("$id"), str) and name.startswith("#"):
                yield name[1:], written
            for each in written.values():
                yield from _anchors(each)
        case list():
            for each in written:
                yield from _anchors(each)


def never(_value: object, path: Path, _run: Run, _depth: int) -> None:
    raise Failed(path, "is not allowed")


KEYWORDS: Final[Mapping[str, Callable[..., Check]]] = {
    "type": scalars.type_check,
    "enum": scalars.enum_check,
    "const": scalars.const_check,
    "minimum": scalars.bound_check(lambda value, limit: value >= limit, "below"),
    "maximum": scalars.bound_check(lambda value, limit: value <= limit, "above"),
    "exclusiveMinimum": scalars.bound_check(lambda value, limit: value > limit, "not above"),
    "exclusiveMaximum": scalars.bound_check(lambda value, limit: value < limit, "not below"),
    "multipleOf": scalars.multiple_check,
    "minLength": scalars.size_check(str, "characters", least=True),
    "maxLength": scalars.size_check(str, "characters", least=False),
    "pattern": scalars.pattern_check,
    "required": structures.required_check,
    "minProperties": scalars.size_check(dict, "fields", least=True),
    "maxProperties": scalars.size_check(dict, "fields", least=False),
    "propertyNames": structures.property_names_check,
    "properties": structures.properties_check,
    "patternProperties": structures.pattern_properties_check,
    "additionalProperties": structures.additional_check,
    "dependentRequired": structures.dependent_required_check,
    "dependentSchemas": structures.dependent_schemas_check,
    "dependencies": structures.dependencies_check,
    "minItems": scalars.size_check(list, "elements", least=True),
    "maxItems": scalars.size_check(list, "elements", least=False),
    "prefixItems": structures.prefix_items_check,
    "items": structures.items_check,
    "contains": structures.contains_check,
    "uniqueItems": structures.unique_check,
    "allOf": combined.all_of_check,
    "anyOf": combined.any_of_check,
    "oneOf": combined.one_of_check,
    "not": combined.not_check,
    "if": combined.if_check,
}
