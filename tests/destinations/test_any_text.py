"""Any text is a message of every kind within its limits, or a BuildError: half characters, controls, 100,000 characters."""

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.console.chats import preview
from gateway.destinations import KINDS, Kind
from gateway.destinations.chat import units
from gateway.errors import BuildError
from gateway.event.paths import lookup
from gateway.model import Content, Json, Mail, OutboundRequest, Raw, Text
from tests.destinations import examples
from tests.destinations.test_chats import seen
from tests.destinations.test_limits import ESCAPED, MUCH, PUBLISHED, WIDE
from tests.destinations.values import event, parts

KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
SIGNS = st.sampled_from("\\`*_[]()<>&|\"'@#{}~=-+.!/:1 \n\r\t\x00\x07\x85\u2028\u202e\ufeff\ufdd0é😀")
HALVES = st.sampled_from("\ud83d\ude00\udfff")
SHORT = st.lists(SIGNS | st.characters(), max_size=30).map("".join)
BROKEN = st.lists(SIGNS | HALVES, max_size=30).map("".join)
TEXTS = st.builds(
    lambda text, times: (text * times)[:100_000], SHORT | SHORT | BROKEN, st.sampled_from([1, 1, 1, 200, 100_000])
)


def built(kind: Kind, content: Content | None, **values: object) -> OutboundRequest | None:
    """The request; None for a BuildError, whose words are fit for a person."""
    try:
        return kind.request(examples.target(kind), parts(content=content, **values))
    except BuildError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 300
        return None


def is_whole(text: str) -> bool:
    """Whether it has no half characters."""
    return text.encode("utf-8", "ignore").decode() == text


@KIND
@given(text=TEXTS)
@settings(max_examples=60)
def test_any_text_is_sent_and_shown(kind: Kind, text: str) -> None:
    made = built(kind, Text(text))
    if made is None:
        assert not text or not is_whole(text)
        return
    message = examples.message_of(kind, made)
    if kind.longest is not None:
        sent = lookup(message, kind.text_at)
        assert units(seen(sent) if kind.name == "telegram" else sent) <= kind.longest
    preview(kind.name, message)


@pytest.mark.parametrize(
    ("kind", "content", "measured", "limit"),
    [(KINDS[kind], content, measured, limit) for kind, content, _, measured, limit in PUBLISHED],
    ids=[f"{kind} {limit} {page}" for kind, _, page, _, limit in PUBLISHED],
)
@given(text=TEXTS.map(lambda text: f"x{text}"))
@settings(max_examples=15)
def test_any_text_is_within_what_the_vendor_publishes(kind: Kind, content, measured, limit: int, text: str) -> None:
    # Tags do not count there.
    assume(kind.name != "telegram" or "<" not in text)
    made = built(kind, Json(with_text(content, text)))
    if made is None:
        assert not is_whole(text)
        return
    assert measured(examples.message_of(kind, made)) <= limit


def with_text(value: object, text: str) -> object:
    """A message of ``test_limits`` with another text in each place that has too long a one."""
    match value:
        case str():
            return text if value in (MUCH, WIDE, ESCAPED) else value
        case list():
            return [with_text(each, text) for each in value]
        case dict():
            return {key: with_text(each, text) for key, each in value.items()}
    return value


@KIND
@given(data=st.data())
@settings(max_examples=60)
def test_any_text_of_an_event_may_be_an_option(kind: Kind, data: st.DataObject) -> None:
    options = {name: data.draw(TEXTS, label=name) for name in kind.options}
    received = replace(event(), type=data.draw(TEXTS, label="type"), source="crm")
    built(kind, Text("hi"), options=options, event=received)


@given(text=TEXTS)
@settings(max_examples=60)
@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_any_text_is_the_data_of_a_cloudevent_in_either_mode(mode: str, text: str) -> None:
    made = built(KINDS["cloudevents"], Text(text), options={"mode": mode})
    assert (made is None) == (not is_whole(text))
    if made is not None:
        said = json.loads(made.body)
        assert (said["data"] if mode == "structured" else said) == {"text": text}


@given(text=TEXTS)
@settings(max_examples=60)
def test_any_text_is_the_html_of_an_e_mail(text: str) -> None:
    page = f"<p>{text}</p>".encode("utf-8", "replace")
    for content in (Raw(page, "text/html"), Json({"text": text, "html": f"<p>{text}</p>", "subject": text})):
        made = built(KINDS["email"], content)
        if made is None:
            assert isinstance(content, Json)
            assert not is_whole(text)
            continue
        assert isinstance(made, Mail)
        assert made.message.isascii()
        assert all(len(line) <= 998 for line in made.message.split(b"\r\n"))
        preview("email", json.loads(made.said))
