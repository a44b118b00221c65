"""When a request was signed, as senders document it: the parts of ``timestamp`` under other names and in other places."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from gateway.config.schema import durations
from gateway.config.schema.foreign import shown
from gateway.config.schema.instead import header_in, snake
from gateway.config.schema.signed import HMACS
from gateway.config.text.reader import Map, Node, Pair, Scalar
from gateway.wording import is_duration

#: What senders and other products call the header of the time, and how far it may be from the current time.
TIMESTAMPS: Final = ("timestamp", "timestamp_header", "timestamp-header")
TOLERANCES: Final = (
    "tolerance", "timestamp_tolerance", "max_age", "replay_window", "clock_skew", "max_skew", "max_drift", "skew",
)  # fmt: skip
#: The same, where nothing else can be meant.
WINDOWS: Final = (*TOLERANCES, "window", "leeway", "ttl", "within")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
#: The header of the time where none is written.
GUESSED: Final = "x-timestamp"
GUESS: Final = ", with the header that the sender documents"


def time_in(
    around: Map, own: Collection[str] = (), windows: Collection[str] = WINDOWS
) -> tuple[Mapping[str, str], frozenset[str]]:
    """The parts of ``timestamp`` that the keys of a map say which are none of its ``own``, as YAML, and these keys.

    ``windows``: the keys that say here how far the time may be from the current one. What a map of a signature
    says is there, too.
    """
    found: dict[str, str] = {}
    names = set()
    for pair in (each for each in around.pairs if each.key.text not in own):
        name = snake(pair.key.text)
        if name in TIMESTAMPS or name in windows:
            names.add(pair.key.text)
            found = _parts(pair) | found
        elif name in ("signature", *HMACS) and isinstance(pair.value, Map):
            found = {**time_in(pair.value)[0], **found}
    return {key: found[key] for key in sorted(found, key=_order)}, frozenset(names)


def _order(key: str) -> bool:
    """Where the time is comes first."""
    return key == "tolerance"


def _parts(pair: Pair) -> dict[str, str]:
    name, node = snake(pair.key.text), pair.value
    if name in WINDOWS:
        return {"tolerance": _tolerance(node)}
    if isinstance(node, Map):
        return as_time(node)
    text = node.text if isinstance(node, Scalar) else ""
    is_name = name != "timestamp" and _HEADER.fullmatch(text)
    return {"header": text if is_name else header_in(text) or GUESSED}


def as_time(node: Node | None) -> dict[str, str]:
    """The parts of a ``timestamp`` as it is written, as YAML; none of anything else than a map."""
    found: dict[str, str] = {}
    for each in node.pairs if isinstance(node, Map) else ():
        is_window = snake(each.key.text) in WINDOWS
        found |= {"tolerance": _tolerance(each.value)} if is_window else {each.key.text: shown(each.value)}
    return found


def _tolerance(node: Node) -> str:
    text = node.text if isinstance(node, Scalar) else ""
    if is_duration(text):
        return text
    return next(iter(durations.instead(text, 1, 86400).removeprefix("write ").split()), "5m").rstrip(",")


def placed(time: Mapping[str, str], signature: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
    """The parts with the place of the time, and whether it is guessed: they may lack it where a signature is written."""
    if not time or not signature or {"header", "payload", "field"} & time.keys():
        return time, False
    if "timestamp:" in signature.get("fields", ""):
        return {"field": "true", **time}, False
    return {"header": GUESSED, **time}, True


def added(time: Mapping[str, str], written: Node) -> str:
    """What to add of these parts to a ``timestamp`` as it is written, or which one is there twice."""
    there = {pair.key.text for pair in written.pairs} if isinstance(written, Map) else set()
    more = ", ".join(f"{key}: {value}" for key, value in time.items() if key not in there)
    twice = f"{' and '.join(time)} of timestamp is already there: keep one of them"
    return f"add {more} to the existing timestamp" if more else twice
