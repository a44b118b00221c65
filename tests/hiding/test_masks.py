"""A secret of the file is masked however it is spelled."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations import KINDS
from gateway.hiding.masks import Masks
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
