"""Keys of a JSON template: one that a value makes never takes the place of one that the author wrote."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from jinja2 import nodes
from msgspec import Struct

from gateway.render.values import Trouble

#: Stands for a value in the text of a template.
_VALUE: Final = "\0"
#: A string, and what follows it.
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?=(.?))', re.DOTALL)
_QUOTE: Final = re.compile(r'\\.|(")', re.DOTALL)


class Keys(Struct, frozen=True):
    """The keys of a template."""

    #: Those that the author wrote out.
    own: frozenset[str] = frozenset()
    #: Whether a value may make others.
    are_others: bool = False

    def __or__(self, other: "Keys") -> "Keys":
        return Keys(self.own | other.own, self.are_others or other.are_others)

    def check(self, text: str) -> None:
        """Raises Trouble if an object of a rendered text has one of the author's keys twice."""
        if self.are_others and self.own:
            json.loads(text, object_pairs_hook=self._check_object)

    def _check_object(self, members: Sequence[tuple[str, Any]]) -> None:
        if len(members) == len(dict(members)):
            return
        seen: set[str] = set()
        for name, _ in members:
            if name in seen and name in self.own:
                raise Trouble(
                    "the key {} is there twice: a value of the event is the same as a key of the template", name
                )
            seen.add(name)


def keys_of(tree: nodes.Template) -> Keys:
    """The keys of a template's own text."""
    printed = (child for output in tree.find_all(nodes.Output) for child in output.nodes)
    text = "".join(child.data if isinstance(child, nodes.TemplateData) else _VALUE for child in printed)
    strings = _STRING.findall(text)
    # With an odd number of quotes, both branches of an if have one: what is a key is not plain.
    is_odd = sum(1 for quote in _QUOTE.finditer(text) if quote[1]) % 2 == 1
    own = _decoded(string for string, then in strings if then == ":" and _VALUE not in string)
    # A branch of an if may follow a string, and a colon that.
    may_be = any(_VALUE in string and then not in ",}]" for string, then in strings)
    return Keys(own, _VALUE in text and (is_odd or may_be))


def _decoded(written: Iterable[str]) -> frozenset[str]:
    found = set()
    for key in written:
        try:
            found.add(json.loads(f'"{key}"', strict=False))
        except ValueError:
            continue
    return frozenset(found)
