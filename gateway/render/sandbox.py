"""Where templates run: what they may reach, and how much they may use."""

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jinja2 import BaseLoader
from jinja2.environment import TemplateModule
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing

from gateway.destinations.chat import ELLIPSIS
from gateway.destinations.escapes import Escaper, address_escape, html_escape, no_escape, one_line, xml_escape
from gateway.destinations.markup import marked
from gateway.render.values import ELEMENT, SCALAR, Escaped, Trouble, UndefinedField, form_escape, joined, kind, weigh

MAX_STEPS = 10_000
#: Characters of one output.
MAX_OUTPUT = 1 << 20
#: Characters that one render may handle in total, which bounds its memory and time. Whatever takes longer than looking at
#: a character, 5 ns, has a price in characters: all of it is 40 ms.
MAX_WORK = 8 << 20
#: Prices of one character: escaped for a chat, escaped in another way, and run through a method of texts.
CHAT_ESCAPED = 16
ESCAPED: Mapping[Escaper, int] = {
    no_escape: 0,
    html_escape: 2,
    xml_escape: 3,
    form_escape: 12,
    one_line: CHAT_ESCAPED,
    address_escape: CHAT_ESCAPED,
}
IN_METHOD = 2
#: Price of escaping a text, however short it is; of one in a message, also of finding its field.
EACH_ESCAPED = 160
EACH_MARKED = 480
#: Price of an expression in the body of a loop or macro, each time.
EXPRESSION = 96
#: Bits of an integer: no message needs a larger number.
MAX_BITS = 1024
MAX_RANGE = 1000

#: The budget's name in a template's context, which no template can write.
BUDGET = "the budget"

#: Methods of texts that a template may call: none makes a text longer.
TEXT_METHODS = frozenset(
    [
        "capitalize",
        "casefold",
        "count",
        "endswith",
        "find",
        "isalnum",
        "isalpha",
        "isdecimal",
        "isdigit",
        "islower",
        "isspace",
        "isupper",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "title",
        "upper",
    ]
)
LOOP_METHODS = frozenset({"changed", "cycle"})
_LOOP_FIELDS = LOOP_METHODS | frozenset(
    ["depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex", "revindex0"]
)


class Budget:
    """What one render may still use: loop steps and characters. Counts, not seconds, are the same on every machine."""

    __slots__ = ("result", "steps", "work")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.work = MAX_WORK
        #: The value of a leaf that is a single expression.
        self.result: object = None

    def step(self, count: int = 1, size: int = 0) -> None:
        """Take ``count`` steps, each writing ``size`` characters of the template's own text."""
        self.steps -= count
        if self.steps < 0:
            raise Trouble(f"more than {MAX_STEPS:,} loop steps")
        self.spend(count * size)

    def spend(self, characters: int) -> None:
        self.work -= characters
        if self.work < 0:
            raise Trouble(f"more than {MAX_WORK:,} characters handled: loop over less, or print less")


def budget_of(context: Context) -> Budget:
    budget: Budget = context.parent[BUDGET]
    return budget


def size(value: object) -> int:
    """The number of characters or elements of ``value`` itself."""
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 1


def cost(value: object) -> int:
    """The cost of making ``value`` or walking through it once, in characters."""
    if isinstance(value, str):
        return len(value)
    return ELEMENT * len(value) if isinstance(value, list | tuple | dict | range) else SCALAR


def member(value: object, key: object) -> object:
    """``value[key]``, or a safe method of a text, a loop or an imported file; jinja2's ``missing`` for anything else."""
    try:
        match value:
            case dict() | Mapping():
                # Keys of JSON are text: vars.statuses[attrs.status_id] finds "3" by 3.
                return value[str(key) if type(key) is int and key not in value else key]
            case str() if isinstance(key, str):
                return getattr(value, key) if key in TEXT_METHODS else missing
            case list() | tuple() | str() if isinstance(key, int):
                return value[key]
            case LoopContext() if key in _LOOP_FIELDS:
                return getattr(value, str(key))
            case Namespace() | TemplateModule() if isinstance(key, str) and not key.startswith("_"):
                return getattr(value, key)
    except (LookupError, TypeError, AttributeError):
        return missing
    return missing


def field(value: object, path: str, *keys: object) -> object:
    """The value at ``keys`` below ``value``; an UndefinedField with the whole ``path`` if one of them is missing."""
    for key in keys:
        found = member(value, key)
        if found is missing:
            # A method of a missing field: it is the field that is missing. Of a root, nothing is said by its name alone.
            is_said = isinstance(value, UndefinedField) and "." in value.path
            return value if is_said else UndefinedField(name=path)
        value = found
    return value


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without attributes, without operators that multiply, and with everything under the render's budget."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    """``longest``: characters that the reader of a value can be shown; ``prices``: of functions, by character."""

    def __init__(
        self, escape: Escaper, longest: int | None, prices: Mapping[Callable[..., object], int], loader: BaseLoader
    ) -> None:
        super().__init__(
            undefined=UndefinedField,
            loader=loader,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            auto_reload=False,
        )
        #: A value in a message is marked, and its field escapes it.
        self.escape = escape if escape in ESCAPED else marked
        self.is_marking = self.escape is marked
        self._longest = longest
        self._prices = prices
        self._price = 1 + ESCAPED.get(self.escape, CHAT_ESCAPED)
        self._each = EACH_MARKED if self.is_marking else 1 if escape is no_escape else EACH_ESCAPED
        self.globals.clear()

    def escaper(self, context: Context) -> Escaper:
        """How values are escaped in one render; each is cut first to what its reader can be shown of it."""
        return self.escape if self.escape is no_escape else partial(self.escaped, budget_of(context))

    def escaped(self, budget: Budget, text: str) -> str:
        """A value as its reader may see it, at the cost of escaping and printing it."""
        if self._longest is not None and len(text) > self._longest:
            text = text[: self._longest] + ELLIPSIS
        price = self._each + self._price * len(text)
        if price > budget.work:
            budget.spend(price)
        budget.work -= price
        return self.escape(text)

    def printed(self, budget: Budget, text: Escaped) -> str:
        """What a text prints that is escaped already, or whose values are marked and are escaped as often as it is printed."""
        output = text.output
        budget.spend((self._price if self.is_marking else 1) * len(output) + 1)
        return output

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        path = f"{obj.path}.{argument}" if isinstance(obj, UndefinedField) else f"{argument}"
        return field(obj, path, argument)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, UndefinedField):
            raise _uncallable(obj)
        spend = budget_of(context).spend
        arguments = (*args, *kwargs.values())
        spend(sum(map(size, arguments)))
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            # CPython searches from the right by comparing the whole needle at every position.
            needle = max(map(size, arguments), default=1) if obj.__name__ in ("rpartition", "rsplit") else 1
            spend(len(owner) * needle * IN_METHOD)
        elif isinstance(owner, LoopContext):
            # changed() compares its arguments.
            weigh(arguments, spend)
        if callable(obj):
            spend(self._prices.get(obj, 0) * sum(map(size, arguments)))
        result = super().call(context, obj, *args, **kwargs)
        spend(cost(result))
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, UndefinedField):
                other = right if side is left else left
                raise side.trouble_with_default('"..."' if isinstance(other, str) else "0")
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            budget_of(context).spend(len(left) + len(right))
            return joined((left, right), ("", ""), self.escaper(context))
        if operator == "+" and isinstance(left, list) and isinstance(right, list):
            budget_of(context).spend(cost(left) + cost(right))
            return left + right
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise Trouble(f"cannot compute {kind(left)} {operator} {kind(right)}")
        return _ARITHMETIC[operator](left, right)


def _uncallable(method: UndefinedField) -> Trouble:
    """The error for a method of a missing field, or of a value that is not a text."""
    of, _, name = method.path.rpartition(".")
    if "." in of and name in TEXT_METHODS:
        return Trouble(f'{of} is not a text, and only a text has .{name}(): write ({of} | default("") | string)')
    return method.trouble_with_default(in_parentheses=True)


def _bounded(value: float) -> int | float:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Trouble(f"a number of more than {MAX_BITS} bits")
    return value


def _power(base: float, exponent: float) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_BITS:
        raise Trouble(f"{{}} ** {{}} is a number of more than {MAX_BITS} bits", base, exponent)
    return base**exponent


_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": lambda left, right: _bounded(_bounded(left) * _bounded(right)),
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _power,
}
