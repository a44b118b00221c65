"""A secret of the file is masked however it is spelled."""

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations import KINDS
from gateway.hiding.layers import layers
from gateway.hiding.masks import Hiding, Masks
from gateway.model import FileAppend, HttpRequest

SECRET = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=8, max_size=20)


@given(SECRET, st.sampled_from([str, str.upper, str.lower, lambda text: text[::-1]]), st.booleans(), st.booleans())
def test_a_secret_is_masked_in_json_in_json_whatever_a_filter_made_of_it(secret, make, inner, outer):
    spelled = json.dumps(json.dumps(make(secret), ensure_ascii=inner)[1:-1], ensure_ascii=outer)[1:-1]
    assert Masks([secret]).text(f"<{spelled}>") == "<***>"


@given(SECRET)
def test_a_secret_is_masked_in_base64_and_hex(secret):
    masks = Masks([secret])
    for spelled in (base64.b64encode(secret.encode()).decode(), secret.encode().hex()):
        assert masks.text(f"<{spelled}>") == "<***>"


def test_a_host_from_outside_is_masked_unless_the_whole_address_is():
    assert Masks(["tenant.example"]).url("https://tenant.example/a") == "https://***/a"
    assert Masks(["https://crm.example/x?key=abcdefgh"]).url("https://crm.example/x?key=abcdefgh") == (
        "https://crm.example/x?key=***"
    )


def test_a_secret_is_masked_as_every_kind_escapes_it():
    secret = "_<b>[to*ken]{{~`_"
    masks = Masks([secret], {kind.escape for kind in KINDS.values()})
    for kind in KINDS.values():
        assert masks.text(f"<{kind.escape(secret)}>") == "<***>"


def test_a_request_is_masked_in_all_its_parts():
    masks = Masks(["s3cr3t-token"])
    headers = (("x-key", "s3cr3t-token"), ("accept", "a"))
    request = HttpRequest(method="POST", url="https://a.example/s3cr3t-token", headers=headers, body=b'"s3cr3t-token"')
    masked = masks.request(request)
    assert (masked.url, masked.body) == ("https://a.example/***", b'"***"')
    assert masked.headers == (("x-key", "***"), ("accept", "a"))
    assert masks.request(FileAppend(path="s3cr3t-token", line=b"s3cr3t-token\xff")) == FileAppend(
        path="***", line=b"***\xff"
    )


# --- in answers ---

LONG = "tok-Bearer+01/x"
ENCODINGS = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "every character": lambda text: re.sub("(....)", r"\\u\1", text.encode("utf-16-be").hex()),
    "JSON in a form": lambda text: quote(json.dumps(text)[1:-1]),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "Markdown": lambda text: text.replace("_", "\\_").replace("*", "\\*"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
}
#: What only a long text is recognized in: a short one would be found in many words.
SHAPED = {"upper": str.upper, "title": str.title, "backwards": lambda text: text[::-1]}


@pytest.mark.parametrize("encode", [pytest.param(each, id=name) for name, each in (ENCODINGS | SHAPED).items()])
@pytest.mark.parametrize("secret", [LONG, "_s3cr*t_", "a%41&amp;b", "pass word", "pässwörd", 'q"u\\ote'])
def test_a_secret_does_not_come_back_in_an_answer(secret, encode):
    assert Masks([secret]).answer(f"no <{encode(secret)}> here".encode(), "crm") == b"no <***> here"


@pytest.mark.parametrize("encode", [pytest.param(each, id=name) for name, each in ENCODINGS.items()])
@pytest.mark.parametrize("secret", ["4711", "7Kp2", "ab-12", "b_t*"])
def test_a_secret_of_four_or_five_characters_does_not_come_back_either(secret, encode):
    assert Masks([secret]).answer(f"no <{encode(secret)}> here".encode(), "crm") == b"no <***> here"


ESCAPES = [ENCODINGS[name] for name in ("plain", "percent", "every byte", "JSON", "every character", "HTML")]


ESCAPED = st.lists(st.sampled_from(ESCAPES), max_size=3)
NO_ESCAPE = st.text(st.characters(min_codepoint=33, exclude_characters="%&\\", exclude_categories=["Cs"]), min_size=6)


def escaped(text: str, escapes: list[Callable[[str], str]]) -> bytes:
    for escape in escapes:
        text = escape(text)
    return f"<{text}>".encode()


@given(NO_ESCAPE, ESCAPED)
def test_no_escapes_inside_others_bring_a_secret_back(secret, escapes):
    assert Masks([secret]).answer(escaped(secret, escapes), "crm") == b"<***>"


@given(st.text("ab1%&;\\", min_size=6, max_size=9), ESCAPED)
def test_no_secret_that_looks_like_an_escape_is_brought_back_either(secret, escapes):
    shown = Masks([secret]).answer(escaped(secret, escapes), "crm")
    assert all(secret.encode() not in layer.data for layer in layers(shown))


@pytest.mark.parametrize("before", ["", "u:", "us:"])
@pytest.mark.parametrize("after", ["", "}", "}}"])
def test_a_secret_inside_what_is_encoded_as_a_whole_does_not_come_back(before, after):
    said = base64.b64encode(f"{before}{LONG}{after}".encode())
    shown = Masks([LONG]).answer(said, "crm")
    assert b"***" in shown
    assert len(shown) <= len("dTp***h9fQ=="), "what is left is of what is before and after"


def test_a_short_secret_spoils_no_ordinary_text():
    said = b'{"ok": true, "type": "lead", "href": "https://a.example/leads", "n": 14711}'
    masks = Masks(["true", "https", "lea", "4711", "Lead", "eads"])
    assert masks.answer(said, "crm") == said
    assert masks.text("a lead at 4711") == "a lead at 4711", "what is printed has secrets from six characters on only"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Cannot POST /services/T012AB/x1y2z", "Cannot POST ***"),
        ("no hook x1y2z of T012AB", "no hook *** of ***"),
        ("such services are none", "such services are none"),
        ("token 98765-abc", "token ***"),
    ],
)
def test_of_an_address_its_path_and_each_part_of_it_that_is_no_word_is_hidden(said, shown):
    masks = Masks(["https://a.example/services/T012AB/x1y2z?token=98765-abc&kind=lead"])
    assert masks.answer(said.encode(), "crm").decode() == shown


def test_what_one_destination_is_sent_is_hidden_in_its_answers_only():
    masks = Masks(["every-one"], own={"crm": ["markdown"]})
    assert masks.answer(b"every-one markdown", "crm") == b"*** ***"
    assert masks.answer(b"every-one markdown", "other") == b"*** markdown"
    assert masks.reason("every-one markdown", "crm") == "*** ***"
    assert masks.text("markdown") == "markdown"


def test_a_redacted_value_inside_a_secret_does_not_uncover_the_rest_of_it():
    hiding = Hiding(masks=Masks(["tok-ada-1234"]), destination="crm", redact=lambda text: text.replace("ada", "•••"))
    assert hiding.answer(b"tok-ada-1234 of ada") == "*** of •••".encode()
    assert hiding.text("tok-ada-1234 of ada") == "*** of •••"
