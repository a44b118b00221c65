"""Numbers and money as people read them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations.escapes import no_escape
from gateway.render.filters.money import money, number
from gateway.render.values import Trouble


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ('{{ "398.00" | number }}', 398),
        ('{{ "3.5e2" | number }}', 350),
        ("{{ attrs.score | number }}", 1.5),
        ('{{ "n/a" | number(default=0) }}', 0),
        ("{{ attrs.nope | number(default=0) }}", 0),
        ("{{ 1234567.891 | number(2) }}", "1234567.89"),
        ('{{ 1234567.891 | number(2, ",", ".") }}', "1.234.567,89"),
        ('{{ 1234567 | number(0, ".", " ") }}', "1 234 567"),
        ('{{ "1.005" | number(2) }}', "1.01"),
        ("{{ -0.001 | number(2) }}", "0.00"),
        ("{{ -1.5 | number(2) }}", "-1.50"),
        ('{{ 1234.5 | money("EUR") }}', "1,234.50 EUR"),
        ('{{ "1234.5" | money("eur", ",", ".") }}', "1.234,50 EUR"),
        ('{{ 123456 | money("usd", minor=true) }}', "1,234.56 USD"),
        ('{{ 500 | money("JPY", minor=true) }}', "500 JPY"),
        ('{{ 1.2345 | money("KWD") }}', "1.235 KWD"),
        ("{{ attrs.score | round(2) }}", 1.5),
    ],
)
def test_numbers_and_money_are_written_as_asked(leaf, source, shown):
    assert leaf(source) == shown
    assert type(leaf(source)) is type(shown)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: number("many"), '"many" is not a number'),
        (lambda: number(True), "is not a number"),
        (lambda: number("1,5"), '"1,5" is not a number'),
        (lambda: number("nan"), "is not a number"),
        (lambda: number("9" * 5_000, 2), "is not a number"),
        (lambda: number(1, 16), "write 0 to 15"),
        (lambda: number(1, "x"), "is given a text: write number(2)"),
        (lambda: number(1, "0.0"), "is given a text: write number(1)"),
        (lambda: number(1, "#,##0.00"), "is given a text: write number(2)"),
        (lambda: number(1, "%.3f"), "is given a text: write number(3)"),
        (lambda: money(1, "euro"), "is not the code of a currency"),
        (lambda: money("x", "EUR"), '"x" is not a number'),
    ],
)
def test_what_is_no_number_or_no_currency_is_an_error(call, message):
    with pytest.raises(Trouble, match=r"number|currency|decimals") as caught:
        call()
    assert message in str(caught.value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**1000), 2**1000), st.integers(0, 15))
def test_a_written_number_is_the_nearest_one_with_its_decimals(value, decimals):
    shown = number(value, decimals)
    assert len(shown.partition(".")[2]) == decimals
    assert abs(Decimal(shown) - Decimal(str(value))) <= Decimal(5).scaleb(-decimals - 1)


@given(st.text(max_size=30) | st.floats() | st.integers() | st.none() | st.lists(st.integers()))
def test_any_value_is_a_number_or_an_error(value):
    try:
        assert isinstance(number(value), int | float)
        assert isinstance(number(value, 2), str)
    except Trouble as trouble:
        assert "is not a number" in str(trouble)


def test_a_number_is_escaped_like_any_other_value(text):
    assert text('{{ 1234.5 | number(2, "<", ">") }}') == "1&gt;234&lt;50"
    assert text('{{ 1234.5 | number(2, "<", ">") }}', no_escape) == "1>234<50"
