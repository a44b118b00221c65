"""How an item of a list is written, where its dash is missing."""

from collections.abc import Sequence

from gateway.config.text.reader import Map, Node, Scalar
from gateway.wording import joined


def without_dash(node: Node, noun: str) -> str:
    """What to write instead of a map where a list is expected."""
    if not isinstance(node, Map) or not node.pairs:
        return f"start each {noun} with - on a new line"
    first = node.pairs[0]
    if isinstance(first.value, Map):
        inner = [pair.key.text for pair in first.value.pairs]
        return f"start each {noun} with - and its name: write - {item_like(f'name: {first.key.text}', inner)}"
    written = f" {first.value.text}" if isinstance(first.value, Scalar) else ""
    return f"start each {noun} with - and a space: write - {first.key.text.lstrip('-')}:{written[:60]}"


def item_like(first: str, others: Sequence[str]) -> str:
    """The first line of an item, and the keys on the lines below it: values may be secrets."""
    return f"{first}, with {joined(others)} on the lines below" if others else first
