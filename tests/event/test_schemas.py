"""JSON Schema as the drafts say, judged by the jsonschema package; bounded whatever the schema and the payload are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from gateway.event.schemas import Schema, SchemaRefused
from gateway.model import Misfit

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, 2.5])
    | st.sampled_from(["", "a", "ab", "b1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 3)
TYPES = st.sampled_from(["null", "boolean", "object", "array", "number", "string", "integer"])


def schemas(inner):
    return st.booleans() | st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minimum": st.integers(-2, 2),
            "exclusiveMaximum": st.integers(-2, 2) | st.just(1.5),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minLength": SMALL,
            "maxLength": SMALL,
            "pattern": st.sampled_from(["a", "^b", "[0-9]$"]),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "minProperties": SMALL,
            "maxProperties": SMALL,
            "propertyNames": inner,
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "contains": inner,
            "minItems": SMALL,
            "maxItems": SMALL,
            "uniqueItems": st.booleans(),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    )


SCHEMAS = st.recursive(schemas(st.booleans()), schemas, max_leaves=4)
OF_2020 = st.fixed_dictionaries(
    {},
    optional={
        "prefixItems": st.lists(SCHEMAS, min_size=1, max_size=2),
        "items": SCHEMAS,
        "contains": SCHEMAS,
        "minContains": SMALL,
        "maxContains": SMALL,
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
        "dependentSchemas": st.dictionaries(NAMES, SCHEMAS, max_size=2),
    },
)
OF_7 = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(SCHEMAS, min_size=1, max_size=2),
        "additionalItems": SCHEMAS,
        "dependencies": st.dictionaries(NAMES, SCHEMAS | st.lists(NAMES, max_size=2, unique=True), max_size=2),
    },
)


@given(SCHEMAS | OF_2020, VALUES)
def test_the_verdict_is_the_one_of_draft_2020_12(schema, value) -> None:
    assert (Schema.compile(schema).misfit(value) is None) == Draft202012Validator(schema).is_valid(value)


@given(OF_7, VALUES)
def test_the_verdict_is_the_one_of_draft_7(schema, value) -> None:
    assert (Schema.compile(schema).misfit(value) is None) == Draft7Validator(schema).is_valid(value)


CONTACT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://acme.example/contact.json",
    "type": "object",
    "required": ["type", "data"],
    "properties": {
        "type": {"type": "string"},
        "data": {
            "type": "object",
            "required": ["id"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "integer", "minimum": 1},
                "email": {"type": "string", "pattern": "@"},
                "plan": {"enum": ["free", "team"]},
                "tags": {"type": "array", "maxItems": 2, "uniqueItems": True, "items": {"$ref": "#/$defs/tag"}},
                "parent": {"$ref": "https://acme.example/contact.json#/properties/data"},
                "owner": {"$ref": "#owner"},
            },
        },
    },
    "$defs": {"tag": {"type": ["string", "null"]}, "who": {"$anchor": "owner", "const": "me"}},
}


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        ({"id": 1}, None, None),
        ({"id": 1.0, "email": "a@b", "tags": ["x", None], "parent": {"id": 2}, "owner": "me"}, None, None),
        ({}, "payload.data", 'has no "id"'),
        ({"id": "1"}, "payload.data.id", "is not an integer"),
        ({"id": True}, "payload.data.id", "is not an integer"),
        ({"id": 0}, "payload.data.id", "is below 1"),
        ({"id": 1, "email": "nobody"}, "payload.data.email", 'does not match the pattern "@"'),
        ({"id": 1, "plan": "gold"}, "payload.data.plan", 'is none of "free", "team"'),
        ({"id": 1, "tags": ["a", 7]}, "payload.data.tags.1", "is not a text or null"),
        ({"id": 1, "tags": ["a", "a"]}, "payload.data.tags", "has an element twice"),
        ({"id": 1, "tags": ["a", "b", "c"]}, "payload.data.tags", "has more than 2 elements"),
        ({"id": 1, "parent": {"id": 2, "x": 1}}, "payload.data.parent", 'has "x", which is not allowed'),
        ({"id": 1, "owner": "you"}, "payload.data.owner", 'is not "me"'),
    ],
)
def test_where_and_why_is_said_in_words_without_the_value(data, path, reason) -> None:
    found = Schema.compile(CONTACT).misfit({"type": "contact", "data": data})
    assert found == (None if path is None else Misfit(path, reason))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ([], "a schema is an object"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "names a draft that is not supported"),
        ({"properties": {"a": {"$ref": "https://acme.example/b.json"}}}, "#/properties/a/$ref leads out of the file"),
        ({"$ref": "#/$defs/nope"}, 'there is no "#/$defs/nope"'),
        ({"$ref": "#/allOf/1", "allOf": [{}]}, 'there is no "#/allOf/1"'),
        ({"$ref": "#/allOf/" + "9" * 5_000, "allOf": [{}]}, 'there is no "#/allOf/999'),
        ({"$ref": "#nope"}, 'nothing has the anchor "nope"'),
        ({"$ref": 7}, "#/$ref is not a text"),
        ({"type": "text"}, "#/type is not a type"),
        ({"pattern": "(?=a)"}, "#/pattern cannot be compiled"),
        ({"patternProperties": {"a/b~(": {}}}, "#/patternProperties/a~1b~0( cannot be compiled"),
        ({"patternProperties": {"a": 7}}, "#/patternProperties/a is not a schema"),
        ({"properties": {"b": {}}, "patternProperties": []}, "#/patternProperties is not an object"),
        ({"properties": {"b": {}}, "additionalProperties": 7}, "#/additionalProperties is not a schema"),
        ({"patternProperties": {"b": {}}, "additionalProperties": 7}, "#/additionalProperties is not a schema"),
        ({"properties": {"a/b": {"type": "text"}}}, "#/properties/a~1b/type is not a type"),
        ({"dependentRequired": {"a/b": 7}}, "#/dependentRequired/a~1b is not a list of names"),
        ({"if": {}, "then": 7}, "#/then is not a schema"),
        ({"not": {"if": {}, "else": 7}}, "#/not/else is not a schema"),
        ({"items": [{}], "additionalItems": 7}, "#/additionalItems is not a schema"),
        ({"items": [7]}, "#/items/0 is not a schema"),
        ({"required": "id"}, "#/required is not a list of names"),
        ({"minLength": -1}, "#/minLength is not a whole number"),
        ({"maximum": "9"}, "#/maximum is not a number"),
        ({"multipleOf": 0}, "#/multipleOf is not a number above 0"),
        ({"properties": []}, "#/properties is not an object"),
        ({"allOf": []}, "#/allOf is not a list of schemas"),
        ({"items": 7}, "#/items is not a schema"),
        ({"enum": "a"}, "#/enum is not a list"),
        ({"minContains": "x", "contains": {}}, "#/minContains is not a whole number"),
        ({"unevaluatedProperties": False}, '"unevaluatedProperties", which is not supported'),
    ],
)
def test_a_schema_that_cannot_be_used_says_where_and_why(schema, message: str) -> None:
    with pytest.raises(SchemaRefused) as refused:
        Schema.compile(schema)
    assert message in str(refused.value)


def test_a_schema_that_refers_to_itself_ends() -> None:
    too_deep = "is nested too deeply to check, or the schema refers to itself without end"
    for schema in ({"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"not": {"$ref": "#"}}):
        assert Schema.compile(schema).misfit({}) == Misfit("payload", too_deep)


@pytest.mark.parametrize("levels", [20, 60, 5_000])
def test_a_payload_that_is_nested_too_deeply_is_called_so_however_deep_it_is(levels) -> None:
    tree: dict = {}
    for _ in range(levels):
        tree = {"child": tree}
    found = Schema.compile({"properties": {"child": {"$ref": "#"}}}).misfit(tree)
    assert (found and found.reason.partition(",")[0]) == (None if levels == 20 else "is nested too deeply to check")


def test_no_payload_and_no_schema_takes_long() -> None:
    deep: dict = {}
    for _ in range(5_000):
        deep = {"allOf": [deep]}
    with pytest.raises(SchemaRefused, match="nested too deeply"):
        Schema.compile(deep)
    wide = Schema.compile({"items": {"anyOf": [{"const": number} for number in range(1_000)]}})
    twice = Schema.compile({"uniqueItems": True})
    backtracking = Schema.compile({"items": {"pattern": "(a+)+$"}})
    twofold = {f"x{at}": {"allOf": [{"$ref": f"#/$defs/x{at + 1}"}] * 2} for at in range(40)}
    doubling = {"$ref": "#/$defs/x0", "$defs": {**twofold, "x40": {"type": "string"}}}
    began = time.process_time()
    assert wide.misfit([-1] * 1_000)
    assert twice.misfit([[number] for number in range(200_000)])
    assert backtracking.misfit(["a" * 5_000 + "!"] * 100)
    assert Schema.compile(doubling).misfit("x")
    assert time.process_time() - began < 5


def test_odd_values_are_verdicts() -> None:
    nested: list = []
    for _ in range(50_000):
        nested = [nested]
    assert Schema.compile({"uniqueItems": True}).misfit([nested, nested])
    assert Schema.compile({"pattern": "."}).misfit("\ud800") == Misfit("payload", 'does not match the pattern "."')
    assert Schema.compile({"patternProperties": {".": False}}).misfit({"\ud800": 1}) is None
    assert Schema.compile({"multipleOf": 0.1}).misfit(1e300)
    assert Schema.compile({"multipleOf": 7}).misfit(7 * 10**5_000) is None
    assert Schema.compile({"type": "integer"}).misfit(float("inf"))
    path = "x" * 10_000
    found = Schema.compile({"additionalProperties": {"type": "null"}}).misfit({path: 1})
    assert found is not None
    assert len(found.path) == 200


@given(SCHEMAS, VALUES)
def test_a_reason_never_quotes_a_value(schema, value) -> None:
    marked = {"a": "s3cr3t", "b": value}
    found = Schema.compile({"properties": {"a": schema}}).misfit(marked)
    assert found is None or "s3cr3t" not in found.reason + found.path
