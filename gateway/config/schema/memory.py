"""The keys under ``remember`` and ``recall``, and what a test says is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.schema import trees, values
from gateway.config.schema.keys import Section, key
from gateway.config.schema.reading import Reading, Words, shaped
from gateway.config.text.reader import Broken, Map, Node
from gateway.render import TemplateText


@dataclass(frozen=True, kw_only=True)
class RememberKeys(Section):
    noun = "remember"
    subject: str | None = key(
        values.name, "what to remember the values as; recall names it under from", required=True, name="as"
    )
    per: TemplateText | None = key(trees.template, 'the key that they are kept under: "{{ attrs.id }}"', required=True)
    kept: Mapping[str, Words] = key(
        values.map_of(values.named),
        "values of the answer by name: {id: json.id, at: headers.location}; or text, the whole answer",
        required=True,
        factory=dict,
        name="values",
    )
    for_s: float = key(
        values.duration(1, values.LONGEST), "how long to remember them: 90d", default=90 * 86400.0, name="for"
    )


@dataclass(frozen=True, kw_only=True)
class RecallKeys(Section):
    noun = "recall"
    subject: Words | None = key(
        values.named, "the as of the remember that keeps the values: crm-id", required=True, name="from"
    )
    per: TemplateText | None = key(trees.template, 'the key that they were kept under: "{{ attrs.id }}"', required=True)
    wait_s: float = key(
        values.duration(1, values.LONGEST),
        "how long to wait for them before it is sent without them: 10m; not at all if left out",
        default=0.0,
        name="wait",
    )


#: By what they are remembered as, and by key: the values by name.
Remembered = Mapping[str, Mapping[str, Mapping[str, object]]]


@shaped(
    {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": {"type": "object"}},
    }
)
def remembered(reading: Reading, node: Node, label: str) -> Remembered | None:
    """What a test says is remembered: ``{slack-thread: {"451": {ts: "1.2"}}}``."""
    if isinstance(node, Broken):
        return None
    found = trees.json(reading, node, label) if isinstance(node, Map) else None
    value = found.value if found is not None else None
    if isinstance(value, dict) and all(
        isinstance(keys, dict) and all(isinstance(each, dict) for each in keys.values()) for keys in value.values()
    ):
        return value
    if found is not None or not isinstance(node, Map):
        hint = 'write {slack-thread: {"451": {ts: "1.2"}}}'
        reading.error(node, f"{label} must map names to keys, and keys to values", hint)
    return None
