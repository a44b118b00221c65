"""``success``: which responses of a destination count as accepted. Two loads of one file give equal values."""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

from gateway.destinations import NO_JSON, Answer
from gateway.event.conditions import Condition, holds


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessRule:
    """One rule: every part must match."""

    #: None: 2xx.
    status: Condition | None
    #: Conditions on the fields of its JSON; None: it need not be JSON.
    json: tuple[Condition, ...] | None
    text: tuple[Condition, ...]
    _status: Callable[[object], bool] = field(init=False, compare=False, repr=False)
    _json: Callable[[object], bool] = field(init=False, compare=False, repr=False)
    _text: Callable[[object], bool] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_status", holds(() if self.status is None else (self.status,)))
        object.__setattr__(self, "_json", holds(self.json or ()))
        object.__setattr__(self, "_text", holds(self.text))

    def matches(self, answer: Answer) -> bool:
        """Whether a response matches. Total. A rule about JSON never matches a response that is not JSON."""
        if self.status is None and not 200 <= answer.status < 300:
            return False
        if self.json is not None and (answer.json is NO_JSON or not self._json(answer.json)):
            return False
        return self._status(answer.status) and self._text(answer.text)


class Success(Struct, frozen=True):
    """Rules, one of which must match."""

    rules: tuple[SuccessRule, ...]

    def __call__(self, answer: Answer) -> bool:
        """Whether the response counts as accepted. Total."""
        return any(rule.matches(answer) for rule in self.rules)
