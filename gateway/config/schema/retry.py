"""The keys of ``retry``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.config.schema import durations, values
from gateway.config.schema.keys import Section, key, read_section
from gateway.config.schema.reading import Reading, Unfit, Words, shape_of, shaped
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar
from gateway.destinations.retry import ONCE, Policy, listed
from gateway.wording import is_duration

#: Digits of a number that may be repeated.
_DIGITS: Final = 6


def _range(written: Words, label: str) -> tuple[int, int]:
    text = written.text
    if re.fullmatch("[3-5](?:[0-9]{2}|xx)", text) is None:
        is_success = text.startswith("2")
        hint = "use success to choose which responses count as accepted" if is_success else "write 404, or 5xx for all"
        raise Unfit(f'{label}: "{written.shown}" is not a status from 300 to 599', hint)
    low = int(text.replace("x", "0"))
    return low, low + (100 if "x" in text else 1)


_ranges = values.one_or_more(
    values.typed(_range, {**values.spelled("status", "[3-5](?:[0-9]{2}|xx)"), "minimum": 300, "maximum": 599})
)


def _share(written: Words, label: str) -> float:
    text = written.text
    if re.fullmatch(r"[0-9]{1,3}%", text) is None or int(text[:-1]) > 100:
        raise Unfit(f'{label}: "{written.shown}" is not a valid percentage', "write 0% to 100%")
    return int(text[:-1]) / 100


_wait: Final = values.duration(0.1, "24h")


@shaped(shape_of(_wait))
def _longest_wait(reading: Reading, node: Node, label: str) -> float | None:
    """The longest wait; a number alone is meant as the number of attempts."""
    if isinstance(node, Scalar) and node.text.isdecimal() and len(node.text) <= _DIGITS:
        hint = f"write attempts: {node.text} for the number of attempts, or max: {node.text}s"
        reading.error(node, f'{label} is the longest wait, and "{node.text}" has no unit', hint)
        return None
    return _wait(reading, node, label)


_duration: Final = values.duration(0, values.LONGEST)


@shaped(shape_of(_duration))
def _kept(reading: Reading, node: Node, label: str) -> float | None:
    """How long a delivery is retried: at most as long as its event is kept."""
    if isinstance(node, Scalar) and durations.is_forever(node.text):
        hint = "write 30d, which is how long events are kept if retention does not say otherwise"
        reading.error(node, f'{label}: "{node.text}" is not a valid duration', hint)
        return None
    return _duration(reading, node, label)


_DOUBLED: Final = "waits double from first to max"
_EVEN: Final = frozenset({"linear", "constant", "fixed"})


def _backoff(pair: Pair, _around: Map) -> Instead:
    """How waits grow, as other products say it; a duration is meant as the first wait."""
    text = pair.value.text.lower() if isinstance(pair.value, Scalar) else ""
    if is_duration(text):
        return write("first", text)
    even = "write the waits instead, as a list: retry: [10s, 20s, 30s]"
    return Instead(even if text in _EVEN else f"remove it: {_DOUBLED}")


@dataclass(frozen=True, kw_only=True)
class RetryKeys(Section):
    noun = "retry"
    foreign: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(("retries", "max_attempts", "max_retries", "maxAttempts", "tries", "count"), "attempts"),
        **dict.fromkeys(("interval", "delay", "wait", "initial", "min", "min_delay"), "first"),
        **dict.fromkeys(("max_delay", "max_wait", "max_interval", "max_backoff", "cap"), "max"),
        **dict.fromkeys(("duration", "timeout", "max_time", "max_duration", "deadline", "ttl"), "for"),
        **dict.fromkeys(("on", "codes", "status_codes", "retry_on"), "statuses"),
        **dict.fromkeys(("backoff", "strategy", "policy", "type", "factor", "multiplier", "exponential"), _backoff),
    }
    for_s: float = key(_kept, "how long to keep retrying a delivery: 24h", default=86400.0, name="for")
    first_s: float = key(
        values.duration(0.1, "24h"), "the first wait; each later wait is twice as long: 1s", default=1.0, name="first"
    )
    max_s: float = key(_longest_wait, "the longest wait: 1h", default=3600.0, name="max")
    attempts: int | None = key(values.integer(1, 1000), "maximum number of attempts, including the first: 10")
    jitter: float = key(
        values.typed(
            _share, {"title": "percentage", "type": "string", "pattern": r"^(?:100|[0-9]{1,2}|0[0-9]{2})%$|\$\{"}
        ),
        "how much each wait varies, up or down: 20%",
        usual="20%",
        default=0.2,
    )
    statuses: tuple[tuple[int, int], ...] | None = key(
        _ranges, "statuses to retry even if they are final by default: 404, or [409, 5xx]"
    )
    never: tuple[tuple[int, int], ...] | None = key(
        _ranges, "statuses that are final: 501, or [501, 505]; takes precedence over statuses"
    )
    max_age: float | None = key(
        values.duration(1, values.LONGEST), "the age at which an event is no longer retried, by the clock: 2h"
    )


_delays = values.one_or_more(values.duration(0.1, "24h"))


@shaped(
    {
        "anyOf": [
            {"enum": ["none"]},
            {"$ref": RetryKeys},
            {"type": "array", "items": shape_of(values.duration(0.1, "24h")), "minItems": 1, "maxItems": 1000},
        ]
    }
)
def read_retry(reading: Reading, node: Node, label: str) -> "RetryKeys | Policy | None":
    """The keys, a list of all waits, or ``none``."""
    if isinstance(node, Scalar) and node.text == "none":
        return ONCE
    if isinstance(node, Map):
        return read_section(reading, node, RetryKeys, label)
    if not isinstance(node, Items):
        hint = "write {for: 24h}, a list of waits such as [1s, 10s, 1m], or none"
        text = node.text.lower() if isinstance(node, Scalar) else ""
        if text.isdecimal() and len(text) <= _DIGITS:
            hint = f"write {{attempts: {text}}} for the number of attempts, or {hint.removeprefix('write ')}"
        elif text in ("exponential", "backoff", "true"):
            hint = f"remove it, or write {{for: 24h, first: 1s, max: 1h}}: {_DOUBLED}"
        elif text in ("false", "never", "no", "off"):
            hint = "write none"
        reading.error(node, f"{label} is not a valid schedule", hint)
        return None
    delays = _delays(reading, node, label)
    if delays is None:
        return None
    if not 1 <= len(delays) <= 1000:
        message = f"{label} lists {len(delays)} waits"
        reading.error(node, message, "write 1 to 1000 waits, or none for a single attempt")
        return None
    return listed(delays)
