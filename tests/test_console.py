"""Pages show a sender's text as text, whatever is in it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import console


def an_entry(body: str, **changes) -> dict:
    return {
        "received_at": "2026-04-16T12:34:56.000Z", "destination": "slack-leads", "method": "POST", "path": "/",
        "headers": {"content-type": "application/json"}, "body": body, **changes,
    }  # fmt: skip


def test_an_empty_inbox_says_how_to_fill_it():
    assert "gateway send contact.created" in console.inbox_page([]).decode()


def test_a_slack_message_is_shown_as_slack_shows_it():
    page = console.inbox_page([an_entry(json.dumps({"text": "*New* &lt;!channel&gt; 2*3*4 &amp;lt;"}))]).decode()
    assert "<strong>New</strong> &lt;!channel&gt; 2*3*4 &amp;lt;" in page


@given(st.text(max_size=200))
def test_no_text_becomes_markup(text):
    bare = console.inbox_page([an_entry("", path="")]).decode()
    for entry in (an_entry(json.dumps({"text": text})), an_entry(text), an_entry("", path=text)):
        tags = re.findall(r"<(?!/?(?:strong|p|article|details)\b)[^>]*>", console.inbox_page([entry]).decode())
        assert set(tags) <= set(re.findall(r"<[^>]*>", bare)) | {"<summary>", "</summary>"}


@pytest.mark.parametrize("body", ["", "[" * 5000, "\ud800", '{"text": 5}', "null", '{"text": "\\ud800"}'])
def test_any_body_makes_a_page(body):
    assert console.inbox_page([an_entry(body)]).startswith(b"<!doctype html>")


def test_nothing_is_loaded_from_elsewhere_and_no_script_may_run():
    page = console.inbox_page([an_entry("{}")]).decode()
    assert "//" not in page
    assert "<script" not in page
    assert "default-src 'none'" in console.SECURITY_HEADERS["content-security-policy"]
    assert b"url(" not in console.stylesheet()
