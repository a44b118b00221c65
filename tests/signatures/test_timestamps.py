"""Timestamps in another form than the source says: what is quoted, and which unit it would be."""

import pytest

from gateway.signatures.timestamps import misread


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        (b"1764521462123", "s", 'the timestamp "1764521462123" is in ms, not in s'),
        (b"2026-04-16T12:34:56Z", "ms", 'the timestamp "2026-04-16T12:34:56Z" is in iso, not in ms'),
        (b"1764521462", "iso", 'the timestamp "1764521462" is in s, not in iso'),
        (b"yesterday\x1b[2J", "s", r'the timestamp "yesterday\x1b[2J" is not in s'),
        (b"9" * 99, "s", f'the timestamp "{"9" * 40}" is not in s'),
        (b"", "s", "the timestamp is missing"),
    ],
)
def test_a_timestamp_in_another_unit_is_quoted_and_its_unit_named(text, unit, said):
    assert misread(text, unit) == said
