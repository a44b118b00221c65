"""No payload stops the loop: what a hostile body of 1 MiB makes the gateway do is counted, in calls and in characters.

``bench/stalls.py`` shows the same in milliseconds.
"""

import json
import sys
from contextlib import contextmanager

import pytest

from gateway.config import load
from gateway.console.chats import preview
from gateway.console.text import pretty
from gateway.destinations import KINDS, discord, googlechat, slack, teams, telegram
from gateway.destinations.chat import within_bytes
from gateway.errors import BuildError, Unparsable
from gateway.event import payload as payloads
from gateway.event.payload import payload_of
from gateway.model import Delivery, DeliveryState
from gateway.render.sandbox import CHAT_ESCAPED, MAX_WORK
from tests.destinations.examples import written

MIB = 1 << 20
#: Calls of functions, in Python and in C, in one piece of work: half of what an idle processor does in 50 ms.
MOST_CALLS = 250_000

ENTRIES = {
    "text": "text: 'New: {{ payload.text }}{{ payload.text }}'",
    "json": "text: '{{ payload | tojson }}'",
    "value": "body: {text: '{{ payload.text }}', value: '{{ payload.list }}', again: '{{ payload }}'}",
    "loop": "text: '{% for one in payload.list %}{% if one is string %}{{ one | upper }}{% else %}{{ one | tojson }}{% endif %}{% endfor %}'",
    "nested": "text: '{% for a in payload.list %}{% for b in payload.list %}{{ a ~ b }}{% endfor %}{% endfor %}'",
}


def body(text='"x"', elements="1"):
    return f'{{"id":"1","text":{text},"list":[{elements}]}}'.encode()


def filled(element):
    return ",".join([element] * ((MIB - 100) // (len(element.encode()) + 1)))


HOSTILE = {
    "a text of angle brackets": body(text='"' + "<" * (MIB - 100) + '"'),
    "a text of everything": body(text='"' + "<*_`@[{&- x" * (MIB // 12) + '"'),
    "a text of line breaks": body(text='"' + r"\n" * (MIB // 2 - 100) + '"'),
    "many numbers": body(elements=filled("1")),
    "many texts": body(elements=filled('"<a>"')),
    "many objects": body(elements=filled('{"type":"section","text":"<*_>"}')),
    "as many lists as there may be": body(elements=",".join(["[1,2]"] * 49_000)),
    "as many elements as a loop may have": body(elements=",".join(['"<*_`@' + "x" * 90 + '"'] * 9_000)),
    "9,000 objects": body(elements=",".join(['{"type":"section","text":"<*_>"}'] * 9_000)),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stalls")
    lines = ["version: 1", "sources: {own: {verify: none, type: own.event, id: ['{payload.id}']}}", "destinations:"]
    lines += [f"  {name}: {{{written(kind, 'abcdefghijklmnop')}}}" for name, kind in KINDS.items()]
    lines += ["routes:"]
    lines += [f"  - {{name: {kind}-{name}, to: {kind}, {said}}}" for kind in KINDS for name, said in ENTRIES.items()]
    where = "payload.list: {contains: [x, 7, null]}, payload.text: {glob: '*a*b*', regex: '(x+x+)+y'}"
    lines += [f"  - {{name: conditions, to: http, where: {{{where}}}}}"]
    (folder / "routes.yaml").write_text("\n".join(lines))
    return load(folder / "routes.yaml", environ={})


@contextmanager
def counted_calls():
    """How many functions are called inside, as the only element of a list."""
    calls = [0]

    def count(_frame, event, _argument):
        if event in ("call", "c_call"):
            calls[0] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def received(config, data):
    [one] = config.sources["own"].received([], data, now=1_800_000_000.0)
    return one.event


def build(config, event, kind, name):
    delivery = Delivery(
        id="dlv_1", event_id=event.id, route=f"{kind}-{name}", destination=kind, state=DeliveryState.PENDING
    )
    try:
        return config.build(delivery, event, payload_of(event))
    except BuildError:
        return None


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_body_makes_few_calls_in_every_kind_of_request(config, kind, data):
    event = received(config, data)
    for name in ENTRIES:
        with counted_calls() as calls:
            build(config, event, kind, name)
        assert calls[0] <= MOST_CALLS, name


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_makes_few_calls_on_its_way_in_and_when_it_is_shown(config, data):
    with counted_calls() as calls:
        event = received(config, data)
        source = config.sources["own"]
        config.plan(source, source.naming.facts(event, payload_of(event)))
    assert calls[0] <= 2_000
    with counted_calls() as calls:
        pretty(payload_of(event))
    assert calls[0] <= MOST_CALLS


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("module", [slack, discord, telegram, teams, googlechat])
def test_what_is_escaped_for_a_chat_is_little_more_than_it_can_show(config, monkeypatch, module, data):
    escaped, one_line = [0], module.one_line

    def counting(text):
        escaped[0] += len(text)
        assert len(text) <= KINDS[kind].longest + 1
        return one_line(text)

    kind = module.__name__.rpartition(".")[2]
    monkeypatch.setattr(module, "one_line", counting)
    for name in ENTRIES:
        escaped[0] = 0
        build(config, received(config, data), kind, name)
        assert escaped[0] <= MAX_WORK / CHAT_ESCAPED


def test_a_long_value_is_cut_before_it_is_escaped_and_looks_as_if_it_were_cut_after(config):
    for text in ("<b>" * 100_000, "a*b" * 100_000, "😀" * 100_000):
        event = received(config, json.dumps({"id": "1", "text": text, "list": []}).encode())
        for kind in ("slack", "discord", "telegram", "googlechat"):
            sent = json.loads(build(config, event, kind, "text").body)
            shown = sent[KINDS[kind].text_at[0]]
            whole = KINDS[kind].escape("New: " + text * 2)[:60]
            assert shown[:60] == whole
            assert shown.endswith("…")


@pytest.mark.parametrize("element", ["[]", "{}", '{"":[]}', "[" * 100 + "]" * 100, "[1,2]"])
def test_a_body_of_brackets_is_refused_before_it_is_decoded(monkeypatch, element):
    monkeypatch.setattr(payloads, "_decode", lambda _: pytest.fail("decoded"))
    count = MIB // (len(element) + 1)
    with pytest.raises(Unparsable, match=r"the body has [\d,]+ lists and objects: a body of its size can have 65,"):
        payloads.parse(b"[" + b",".join([element.encode()] * count) + b"]")


def test_brackets_in_texts_are_no_containers():
    text = '[{"\\' * (MIB // 5)
    assert payloads.parse(json.dumps([text, {"[": text}]).encode()) == [text, {"[": text}]


def test_a_larger_body_can_have_more_containers():
    places = b"[" + b",".join([b"[13.4050,52.52000]"] * 110_000) + b"]"
    assert len(payloads.parse(places)) == 110_000


def test_a_card_of_a_thousand_texts_is_shortened_without_a_walk_for_each_length():
    card = {"body": [{"text": "x" * 50}] * 1_000}
    with counted_calls() as calls:
        fit = within_bytes(card, 28_000, {"text"}, str)
    assert 27_000 < len(json.dumps(fit, separators=(",", ":"), ensure_ascii=False).encode()) <= 28_000
    assert calls[0] <= 130_000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].needs_text])
def test_a_preview_of_anything_makes_few_calls(kind):
    for text in ("> a\n" * 9_000, "**a" * 9_000, "<a " * 9_000, "\u202e" * 9_000):
        parts = [{"type": "section", "text": {"type": "mrkdwn", "text": text}, "title": text, "name": text}] * 5_000
        message = {"text": text, "content": text, "blocks": parts, "embeds": parts, "attachments": parts}
        with counted_calls() as calls:
            preview(kind, message)
        assert calls[0] <= MOST_CALLS
