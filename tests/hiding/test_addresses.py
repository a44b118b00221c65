"""What of an address is a secret, and an address without it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hiding.addresses import (
    MASK,
    masked_location,
    masked_path,
    masked_url,
    parts_that_open,
    secrets_of,
    starred,
    starred_after,
)

LONG = "a-segment-of-20-char"


@pytest.mark.parametrize(
    ("url", "is_path_public", "masked"),
    [
        ("https://a.example/x", False, "https://a.example/***"),
        ("https://a.example/", False, "https://a.example/"),
        ("https://a.example", False, "https://a.example"),
        ("https://a.example/x", True, "https://a.example/x"),
        (f"https://a.example/x/{LONG}?k=v&page=2", True, "https://a.example/x/***?k=***&page=2"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url, is_path_public, masked):
    assert masked_url(url, f"https://a.example/x/{LONG}?k=v", is_path_public=is_path_public) == masked


def test_what_an_entry_adds_to_a_public_address_is_shown():
    url = f"https://a.example/x/{LONG}-of-an-entry?k=w"
    assert masked_url(url, "https://a.example/x?k=v", is_path_public=True) == url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://me:pass@a.example/b", ["me", "pass"]),
        (f"https://a.example/short/{LONG}", [LONG]),
        ("https://a.example?key=v1&other=v2#end", ["v1", "v2"]),
        ("no address", [""]),
    ],
)
def test_the_parts_that_open_an_address(url, parts):
    assert [each for each in parts_that_open(url) if each] == [each for each in parts if each]


def test_a_short_secret_is_a_word_and_a_path_that_is_not_public_is_a_secret_as_a_whole():
    assert secrets_of("https://a.example/deals?key=v", is_path_public=True) == ()
    assert secrets_of("https://a.example/deals", is_path_public=False) == ()
    assert secrets_of("https://a.example/my-deals", is_path_public=False) == ("my-deals",)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("    url: https://a.example/b", "    url: https://a.example/***"),
        ("  crm: {url: https://a.example/b, x: 1}", "  crm: {url: https://a.example/*, x: 1}"),
        ('{url: "https://a.example/b,c}d", x: 1}', '{url: "https://a.example/*****", x: 1}'),
        ("{'url':'https://a.example?k=v'}", "{'url':'https://a.example?***'}"),
        ("webhook_url: ] https://a.example/b", "webhook_url: ] https://a.example/***"),
        ("    url: https://public.example/b", "    url: https://public.example/b"),
        ("    url: https://public.example/b/c", "    url: https://public.example/***"),
        ("    text: see https://a.example/b", "    text: see https://a.example/b"),
        ("    public_url: https://a.example/b", "    public_url: https://a.example/b"),
    ],
)
def test_in_a_line_of_a_file_an_address_is_a_secret_until_it_is_known_to_be_public(line, shown):
    assert starred(line, {"https://public.example/b"}) == shown


def test_in_a_line_that_is_not_yaml_every_address_is_a_secret():
    assert starred("  https://a.example/b ]", is_yaml=False) == "  https://a.example/*** ]"


def test_a_login_and_what_follows_a_known_host_are_starred_in_any_text():
    hide = starred_after(["hooks.example/"])
    assert hide("see https://me:pass@a.example/b") == "see https://*******@a.example/b"
    assert hide("at hooks.example/T0/B0: no") == "at hooks.example/****** no"
    assert hide("{url: hooks.example/T}") == "{url: hooks.example/***}"


LINES = st.text() | st.lists(
    st.sampled_from(["url: ", "{", "}", "https://a.example/", "?", "b", "c/d", '"', "'", ",", "]", " ", " # x"])
).map("".join)


@given(LINES, st.text(), st.booleans())
def test_hiding_is_total_and_keeps_the_width_of_a_line_up_to_the_last_address(text, own, is_public):
    assert isinstance(masked_url(text, own, is_path_public=is_public), str)
    assert all(isinstance(each, str) for each in parts_that_open(text))
    followed = starred(f"{text} x", is_yaml=is_public).removesuffix(" x")
    assert len(followed) == len(text)
    short = re.search(r"(?<!\*)\*{1,2}(?=[ \"'}\]]*\Z)", followed)
    if short is None or text[short.start() : short.end()] == short[0]:
        assert starred(text, is_yaml=is_public) == followed
    else:
        assert starred(text, is_yaml=is_public) == followed[: short.start()] + MASK + followed[short.end() :]


def test_the_path_of_a_received_request_is_shown_up_to_the_name_of_its_source():
    assert masked_path("/in/crm") == "/in/crm"
    assert masked_path("/in/crm/s3cr3t/more") == f"/in/crm/{MASK}"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://a.example/v2/in", "https://a.example/v2/in"),
        ("/login", "/login"),
        ("//a.example:8443/x", "//a.example:8443/x"),
        ("../up?", "../up"),
        (
            f"https://me:pass@a.example/x/{LONG}?k=v&{LONG}&page=2#here",
            "https://***@a.example/x/***?k=***&***&page=***",
        ),
        ("https://a.example/x/s3cr+t/y?s3cr+t", "https://a.example/x/***/y?***"),
        ("https://a.example/x/s3cr%2Bt.", "https://a.example/x/***."),
        ("http://[fd00:ec2::254]/", "http://[fd00:ec2::254]/"),
    ],
)
def test_a_location_is_shown_without_what_may_be_a_secret(location, shown):
    assert masked_location(location, {"s3cr+t", "x"}) == shown


@given(location=st.text(), secret=st.text(alphabet="abcdef0123456789", min_size=16, max_size=40))
def test_a_location_is_one_short_line_and_never_has_a_long_part(location, secret):
    for text in (
        f"{location}/{secret}/x",
        f"https://{secret}@host/{location}",
        f"/x?{location}={secret}",
        f"/{secret}",
    ):
        shown = masked_location(text, {secret})
        assert secret not in shown
        assert len(shown) <= 200
        assert shown.isprintable()
