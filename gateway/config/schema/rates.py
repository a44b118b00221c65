"""How often something may start, in the notations of other products, as ``rate`` has it."""

import re
from typing import Final

from gateway.config.schema.instead import snake
from gateway.config.schema.remedies import Instead, write
from gateway.config.text.reader import Map, Node, Pair, Scalar
from gateway.wording import is_duration, seconds

#: ``10 per second``, ``10/minute``, ``60rpm``, ``10``.
_LIKE_A_RATE: Final = re.compile(
    r"(?P<number>[1-9]\d{0,5})\s*(?:(?:/|per|r?p(?=[smh]$))\s*)?(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hr|hrs|hours?|)"
)
_UNITS: Final = {"s": "s", "m": "min", "h": "h"}
#: A unit of time, by its seconds.
_PER: Final = {1.0: "s", 60.0: "min", 3600.0: "h"}
_LIMITS: Final = ("limit", "count", "max", "requests", "number", "rate", "burst", "value")
_PERIODS: Final = ("per", "period", "interval", "every", "window", "duration", "unit", "in")
#: Keys of other products for it, and the time that is in the name of some.
_PER_UNIT: Final = re.compile(r"(?:requests?|messages?|calls|rate)?_?per_(?P<unit>sec(?:ond)?|min(?:ute)?|hour)")
NAMES: Final = (
    "rate_limit", "ratelimit", "rate_limits", "rate-limit", "throttle", "throttling", "max_rate", "qps", "rps", "rpm",
    *(f"{what}_per_{unit}" for what in ("requests", "messages") for unit in ("second", "minute", "hour")),
)  # fmt: skip


def rates_like(text: str) -> list[str]:
    """The rates that a text can mean: several if it has no unit."""
    near = _LIKE_A_RATE.fullmatch(text.strip().lower())
    if near is None:
        return []
    units = [_UNITS[near["unit"][0]]] if near["unit"] else [*_UNITS.values()]
    return [f"{near['number']}/{unit}" for unit in units]


def rate_of(node: Node, name: str = "") -> str:
    """The rate that a value means under a key of that name; empty if it cannot be said."""
    if isinstance(node, Map):
        return _of_map({pair.key.text.lower(): pair.value for pair in node.pairs})
    text = node.text if isinstance(node, Scalar) else ""
    if "throttl" in name and is_duration(text):
        # The time between two, or the one to wait for.
        return ""
    unit = {"qps": "s", "rps": "s", "rpm": "m"}.get(name, "")
    if named := _PER_UNIT.fullmatch(name):
        unit = named["unit"][0]
    return next(iter(rates_like(f"{text}/{unit}" if unit and text.isdecimal() else text)), "")


def _of_map(written: dict[str, Node]) -> str:
    """``{limit: 60, per: 1m}``: 60/min."""
    number = next((node.text for key in _LIMITS if isinstance(node := written.get(key), Scalar)), "")
    period = next((node.text for key in _PERIODS if isinstance(node := written.get(key), Scalar)), "")
    unit = _PER.get(seconds(period), "") if is_duration(period) else ""
    return f"{number}/{unit}" if unit and number.isdecimal() else next(iter(rates_like(f"{number}/{period}")), "")


def of_destination(pair: Pair, _around: Map) -> Instead:
    """``rate_limit: 60``."""
    text = pair.value.text if isinstance(pair.value, Scalar) else ""
    right, *others = [rate_of(pair.value, snake(pair.key.text))]
    if text.isdecimal() and len(several := rates_like(text)) > 1 and right == several[0]:
        right, *others = several
    return write("rate", right, f", or {' or '.join(others)}" if others else "")


def of_entry(pair: Pair, around: Map) -> Instead:
    """The same beside ``to``, where it cannot be."""
    return Instead(f"{of_destination(pair, around).hint} in the destination")
