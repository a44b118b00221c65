"""Durations, sizes, counts and suggestions are written and read in one place."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wording
from gateway.wording import (
    SIZE,
    closest_header,
    count,
    duration,
    few,
    is_duration,
    iso_time,
    joined,
    printable,
    seconds,
    size,
    size_in_bytes,
    spaced,
    suggest,
    suggest_or_list,
)


@pytest.mark.parametrize(
    ("number", "short", "long"),
    [
        (0, "0s", "0 s"),
        (0.5, "0.5s", "0.5 s"),
        (45, "45s", "45 s"),
        (60, "1m", "1 min"),
        (5400, "1h30m", "1 h 30 min"),
        (86400, "24h", "24 h"),
        (30 * 86400, "30d", "30 d"),
    ],
)
def test_a_duration_is_written_as_in_the_file_and_as_in_a_sentence(number, short, long):
    assert (duration(number), spaced(number)) == (short, long)


@given(st.integers(0, 400 * 86400))
def test_a_duration_that_is_written_can_be_read_back(number):
    assert is_duration(duration(number))
    assert seconds(duration(number)) == number


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "1 h", "-1s", "1h 30m"])
def test_a_text_that_is_not_a_duration_is_not_taken_for_one(text):
    assert not is_duration(text)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (150 * 1024, "150 KiB"),
        (3.4 * 1024**2, "3.4 MiB"),
        (5000 * 1024**3, "5,000 GiB"),
    ],
)
def test_a_size_has_three_digits_or_so(octets, text):
    assert size(octets) == text


@pytest.mark.parametrize(
    ("text", "octets"), [("4096", 4096), ("512KB", 512_000), ("1MiB", 1 << 20), ("2 GiB", 2 << 30)]
)
def test_a_size_is_read_in_bytes(text, octets):
    assert SIZE.fullmatch(text)
    assert size_in_bytes(text) == octets


@given(st.text())
def test_text_made_printable_stays_on_one_line_and_can_be_encoded(text):
    safe = printable(text)
    assert len(safe) == len(text)
    safe.encode()
    assert safe.splitlines() in ([], [safe])


@pytest.mark.parametrize(
    ("written", "known", "meant"),
    [
        ("X-GitHub-Evnt", "x-github-event", "x-github-event"),
        ("x-githubevent", "x-github-event", "x-github-event"),
        ("x-github-events", "x-github-event", "x-github-event"),
        ("paypal-transmission-sig", "paypal-transmission-id", ""),
        ("twitch-eventsub-message-retry", "twitch-eventsub-message-type", ""),
        ("x-forgejo-event-type", "x-forgejo-event", ""),
        ("x-request-id", "x-request-uuid", ""),
        ("x-trace", "x-github-event", ""),
    ],
)
def test_a_header_of_the_same_sender_is_not_taken_for_a_misspelt_one(written, known, meant):
    assert closest_header(written, ["content-type", known]) == meant


def test_counts_suggestions_and_times():
    assert (count(1, "attempt"), count(1204, "attempt"), count(2, "entry", "entries")) == (
        "1 attempt", "1,204 attempts", "2 entries",
    )  # fmt: skip
    assert suggest("wehre", ["where", "send"]) == 'did you mean "where"?'
    assert suggest("nothing-like-it", ["where"]) == ""
    assert suggest_or_list("xyz", ["crm", "slack"]) == "known: crm, slack"
    assert suggest_or_list("xyz", []) == "there are none here"
    assert iso_time(1776342896.789) == "2026-04-16T12:34:56.789Z"
    assert iso_time(1776342896) == "2026-04-16T12:34:56.000Z"
    assert iso_time(1776342895.9999999) == "2026-04-16T12:34:56.000Z"
    assert iso_time(-0.001) == "1969-12-31T23:59:59.999Z"


def test_the_doctests_hold():
    assert doctest.testmod(wording).failed == 0


def test_names_are_listed_as_people_write_them():
    assert [few(names) for names in ("", "a", "abc", "abcde")] == ["", "a", "a, b, c", "a, b, c and 2 more"]
    assert [joined(names) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


@pytest.mark.parametrize(
    ("word", "opposite"),
    [
        ("disabled", "enabled"),
        ("disable", "enabled"),
        ("unset", "set"),
        ("unpaused", "paused"),
        ("insecure", "secure"),
        ("not_contains", "contains"),
        ("notContains", "contains"),
        ("is_inactive", "is_active"),
        ("isInactive", "is_active"),
        ("nonempty", "empty"),
    ],
)
def test_a_word_is_never_taken_for_its_opposite(word, opposite):
    assert suggest(word, [opposite]) == suggest(opposite, [word]) == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("enabeld", "enabled"),
        ("unst", "unset"),
        ("incude", "include"),
        ("note", "notes"),
        ("SHA-256", "sha256"),
        ("maxBody", "max_body"),
        ("URL", "url"),
        ("includes", "include"),
    ],
)
def test_a_word_is_taken_for_the_one_that_is_most_like_it_whatever_its_case_and_marks(word, meant):
    assert suggest(word, ["set", "sha1", "unrelated", meant]) == f'did you mean "{meant}"?'
