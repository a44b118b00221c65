"""Times as senders write them, and phone numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.render.filters.texts import phone
from gateway.render.filters.times import date
from gateway.render.values import Trouble

AT = "2026-04-16 12:34:56"
FORMAT = "%Y-%m-%d %H:%M:%S"


@pytest.mark.parametrize(
    "value",
    [
        "2026-04-16T12:34:56Z",
        "2026-04-16 12:34:56",
        "2026-04-16T14:34:56+02:00",
        "20260416T123456Z",
        1776342896,
        1776342896.4,
        "1776342896",
        " 1776342896 ",
        "1776342896.123456",
        1776342896000,
        "1776342896000",
        1776342896000000,
        "1776342896000000",
        1776342896000000000,
        "1776342896000000000",
        "Thu, 16 Apr 2026 12:34:56 GMT",
        "Thu, 16 Apr 2026 14:34:56 +0200",
        "16 Apr 2026 12:34:56 -0000",
    ],
)
def test_a_time_is_read_however_it_is_written(value):
    assert date(value, FORMAT) == AT


@pytest.mark.parametrize("value", ["", "  ", "0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00Z", None, "soon"])
def test_what_is_no_time_takes_the_default(value):
    assert date(value, default="never") == "never"
    with pytest.raises(Trouble, match="date: "):
        date(value)


def test_a_time_is_shown_in_a_zone_or_in_its_own_offset():
    assert date("2026-07-01T12:00:00Z", "%H:%M %Z", "Europe/Berlin") == "14:00 CEST"
    assert date("2026-07-01T23:30:00-05:00", "%d %H:%M", "own") == "01 23:30"
    assert date("Wed, 01 Jul 2026 23:30:00 -0500", "%d %H:%M", "own") == "01 23:30"
    assert date("2026-07-01T12:00:00", "%H:%M", "own") == "12:00"
    with pytest.raises(Trouble, match="Europe/Berlin"):
        date(0, tz="Mars/Olympus")


def test_a_missing_field_takes_the_default(leaf):
    assert leaf('{{ attrs.nope | date("%Y", default="never") }}') == "never"
    assert leaf('{{ attrs.nothing | date("%Y", default=none) }}') is None


@given(st.text(max_size=60) | st.integers() | st.floats() | st.none() | st.booleans())
def test_any_value_is_a_time_or_an_error(value):
    try:
        assert isinstance(date(value), str)
    except Trouble as trouble:
        assert str(trouble).startswith("date: ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+1 (415) 555-1234", "+14155551234"),
        ("0415 5551234", "04155551234"),
        (4155551234, "4155551234"),
        (1.4155551234e10, "14155551234"),
        ("٠٤١٥ ٥٥٥", "0415555"),
        ("+۹۸ ۲۱ ۱۲۳۴", "+98211234"),
        ("＋49 30 123", "+4930123"),
        ("+1 415 555 1234 ext. 12", "+14155551234;ext=12"),
        ("+1 415 555 1234 x12", "+14155551234;ext=12"),
        ("+1-415-555-1234x12", "+14155551234;ext=12"),
        ("+1 415 555 1234 extension 12", "+14155551234;ext=12"),
        ("+14155551234;ext=12", "+14155551234;ext=12"),
        ("+1 415 555 1234 # 12", "+14155551234;ext=12"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_phone_number_keeps_its_digits_and_its_extension_apart(value, shown):
    assert phone(value) == shown


@given(st.text() | st.text(st.sampled_from("0٣۴５+-() x#ext.")))
def test_no_number_becomes_nothing(value):
    assert phone(value) or not value.strip()
    assert any(char.isdecimal() for char in value) is any(char.isdecimal() for char in phone(value))
