"""What Slack would refuse for being empty is left out of a message; what was never written is Slack's to name."""

import pytest

from gateway.destinations.empty import without_empty


def text(said: str, kind: str = "mrkdwn") -> dict:
    return {"type": kind, "text": said}


FULL = {"type": "section", "text": text("x")}


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        pytest.param({"type": "section", "text": text("")}, None, id="section"),
        pytest.param({"type": "section", "text": text("  \n")}, None, id="blank section"),
        pytest.param({"type": "header", "text": text("", "plain_text")}, None, id="header"),
        pytest.param({"type": "markdown", "text": ""}, None, id="markdown"),
        pytest.param({"type": "context", "elements": [text(""), text("")]}, None, id="context"),
        pytest.param({"type": "context", "elements": [text(""), text("a")]}, {"type": "context", "elements": [text("a")]}, id="one element"),
        pytest.param({"type": "section", "fields": [text(""), text("a")]}, {"type": "section", "fields": [text("a")]}, id="one field"),
        pytest.param({"type": "section", "text": text("a"), "fields": [text("")]}, {"type": "section", "text": text("a")}, id="no field"),
        pytest.param({"type": "actions", "elements": [{"type": "button", "text": text("", "plain_text")}]}, None, id="button"),
        pytest.param({"type": "image", "image_url": "", "alt_text": "a"}, None, id="image"),
        pytest.param(
            {"type": "section", "text": text("a"), "accessory": {"type": "image", "image_url": "", "alt_text": "a"}},
            {"type": "section", "text": text("a")},
            id="accessory",
        ),
        pytest.param(
            {"type": "actions", "elements": [{"type": "button", "text": text("a", "plain_text"), "url": ""}]},
            {"type": "actions", "elements": [{"type": "button", "text": text("a", "plain_text")}]},
            id="address of a button",
        ),
        pytest.param({"type": "divider"}, {"type": "divider"}, id="divider"),
        pytest.param({"type": "section"}, {"type": "section"}, id="what was never written"),
        pytest.param(
            {"type": "rich_text", "elements": [{"type": "text", "text": " "}]},
            {"type": "rich_text", "elements": [{"type": "text", "text": " "}]},
            id="a blank of rich text",
        ),
    ],
)  # fmt: skip
def test_an_empty_block_is_left_out(block, kept):
    blocks = [each for each in [kept, FULL] if each]
    assert without_empty({"blocks": [block, FULL]}) == {"blocks": blocks}
    assert without_empty({"attachments": [{"blocks": [block, FULL]}]}) == {"attachments": [{"blocks": blocks}]}


def test_an_empty_text_beside_blocks_is_left_out():
    assert without_empty({"text": "", "blocks": [FULL]}) == {"blocks": [FULL]}


def test_an_attachment_without_anything_to_show_is_left_out():
    assert without_empty({"text": "a", "attachments": [{"color": "good", "text": ""}]}) == {"text": "a"}
    fields = [{"title": "", "value": ""}, {"title": "a", "value": ""}]
    assert without_empty({"attachments": [{"text": "a", "fields": fields}]}) == {
        "attachments": [{"text": "a", "fields": fields[1:]}]
    }


def test_data_of_the_authors_may_be_empty():
    message = {"text": "a", "metadata": {"event_type": "x", "event_payload": {"text": "", "fields": []}}}
    assert without_empty(message) == message
