"""Filters that write numbers and money for people."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final

from jinja2.utils import missing

from gateway.render import formats
from gateway.render.filters.arguments import short, trouble_with
from gateway.render.sandbox import MAX_BITS
from gateway.render.values import Trouble, kind

#: Digits of a number: a float has at most 309 before its point.
MAX_DIGITS: Final = 400
MAX_DECIMALS: Final = 15
_EXACT: Final = Context(prec=MAX_DIGITS + MAX_DECIMALS + 1, rounding=ROUND_HALF_UP)
_NUMBER: Final = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\s*")

#: Decimals of the currencies that do not have two (ISO 4217, list one, minor unit).
_DECIMALS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


def exact(value: object) -> Decimal | None:
    """The number that a value is, or that a text is as JSON writes one, without an error of binary fractions; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        # Python refuses to write it.
        return None
    text = str(value)
    return Decimal(text) if len(text) <= MAX_DIGITS and _NUMBER.fullmatch(text) else None


def plain(number: Decimal) -> int | float:
    """A number as JSON has it: whole if it is."""
    return int(number) if number == number.to_integral_value() else float(number)


def number(
    value: object, decimals: object = None, point: object = ".", group: object = "", default: object = missing
) -> object:
    """A text as a number; with ``decimals`` a text of exactly so many, with a decimal ``point`` and thousands in groups.

    ``default`` is used for what is not a number, which is an error without it.

    >>> number("398.00"), number(1234.5, 2), number(1234.5, 2, ",", ".")
    (398, '1234.50', '1.234,50')
    """
    found = exact(value)
    if found is None:
        if default is missing:
            raise trouble_with(value, "{} is not a number")
        return default
    return plain(found) if decimals is None else _written(found, decimals, point, group)


def money(value: object, currency: object, point: object = ".", group: object = ",", minor: bool = False) -> str:
    """An amount with its currency, and with as many decimals as that has; ``minor``: it counts cents, as Stripe's do.

    >>> money("1234.5", "EUR"), money(1234.5, "eur", ",", "."), money(123450, "usd", minor=True), money(500, "JPY")
    ('1,234.50 EUR', '1.234,50 EUR', '1,234.50 USD', '500 JPY')
    """
    code = short(currency, "the currency of money").strip().upper()
    if re.fullmatch(r"[A-Z]{3}", code) is None:
        raise trouble_with(currency, "money: {} is not the code of a currency, such as EUR")
    found = exact(value)
    if found is None:
        raise trouble_with(value, "money: {} is not a number")
    decimals = _DECIMALS.get(code, 2)
    return f"{_written(found.scaleb(-decimals, _EXACT) if minor else found, decimals, point, group)} {code}"


def _written(number: Decimal, decimals: object, point: object, group: object) -> str:
    if not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
        if isinstance(decimals, str):
            right = formats.decimals(decimals)
            raise Trouble(f"number needs a count of decimals, and is given a text: write number({right or 2})")
        shown = str(decimals) if isinstance(decimals, int | float) else kind(decimals)
        raise Trouble(f"number with {shown} decimals: write 0 to {MAX_DECIMALS}")
    try:
        rounded = number.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    except InvalidOperation:
        raise Trouble(f"a number of more than {MAX_DIGITS} digits") from None
    written = f"{rounded:,f}".replace(",", "\0").replace(".", short(point, "the decimal point"))
    # A negative number that is rounded to zero is zero.
    written = written if rounded else written.lstrip("-")
    return written.replace("\0", short(group, "the separator of thousands"))
