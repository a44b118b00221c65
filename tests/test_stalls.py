"""No payload stops the loop: what a hostile body of 1 MiB makes the gateway do is counted, in calls and in characters.

``bench/stalls.py`` shows the same in milliseconds.
"""

import asyncio
import json
import random
import string
import sys
from contextlib import contextmanager
from urllib.parse import parse_qsl

import pytest

from gateway.config import load
from gateway.console.chats import preview
from gateway.console.text import pretty
from gateway.destinations import KINDS, markup
from gateway.destinations.chat import within_bytes
from gateway.errors import BuildError, Unparsable
from gateway.event import forms
from gateway.event import payload as payloads
from gateway.event.naming import Naming
from gateway.event.operators import OPERATORS
from gateway.event.payload import payload_of
from gateway.hiding import redaction
from gateway.hiding.finder import Needle
from gateway.hiding.masks import Masks
from gateway.model import Delivery, DeliveryState, Event, Secret
from gateway.render.sandbox import CHAT_ESCAPED, MAX_WORK
from gateway.routing import destinations, planning
from gateway.signatures import request as request_module
from gateway.signatures.checks import Check, stand_in_for
from gateway.signatures.credentials import Credential
from gateway.signatures.declared import scheme_of
from gateway.signatures.request import Reading, Request, Stop
from gateway.signatures.verifier import Verifier
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
        return config.built(delivery, event, payload_of(event)).request
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
@pytest.mark.parametrize("kind", ["slack", "discord", "telegram", "teams", "googlechat"])
def test_what_is_escaped_for_a_chat_is_bounded_whatever_the_payload(config, monkeypatch, kind, data):
    escaped, made = {}, markup.Dialect.__call__

    def counting(dialect, text):
        escaped[name] += len(text)
        return made(dialect, text)

    monkeypatch.setattr(markup.Dialect, "__call__", counting)
    for name in ENTRIES:
        escaped[name] = 0
        build(config, received(config, data), kind, name)
    assert escaped["text"] > 0
    assert max(escaped.values()) <= MAX_WORK / CHAT_ESCAPED


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


# --- redaction and secrets ---

REDACTED = redaction.of(
    Naming.compile((), {}),
    ["payload.list.*.id", "payload.list.name", "payload.list.7", "payload.more.*"],
    is_stored=True,
)
WIDE = {
    "numbers": "1",
    "nulls": "null",
    "objects without the field": '{"x":1}',
    "empty lists": "[]",
    "objects": '{"id":1}',
}


@pytest.mark.parametrize("element", WIDE.values(), ids=WIDE.keys())
def test_redacting_takes_a_few_calls_for_each_list_and_object_and_none_for_what_is_in_it(element):
    count = min(49_000, (MIB - 100) // (len(element) + 1)) if element[0] in "[{" else (MIB - 100) // (len(element) + 1)
    data = f'{{"list":[{",".join([element] * count)}]}}'.encode()
    event = Event(id="evt_1", source="own", type="x", received_at=0.0, headers={}, body=data, sha256=b"")
    with counted_calls() as calls:
        REDACTED.mask_of(event)("an answer")
    assert calls[0] <= (MOST_CALLS if element[0] in "[{" else 1_000)
    with counted_calls() as calls:
        REDACTED.key_mask_of(event)("a key")
    assert calls[0] <= MOST_CALLS
    payload = payload_of(event)
    with counted_calls() as calls:
        REDACTED.masked(payload)
    assert calls[0] <= (12 * count if element[0] in "[{" else 1_000)


def test_an_answer_is_searched_only_for_the_secrets_that_may_be_in_it(monkeypatch):
    rnd = random.Random(1)
    secrets = ["".join(rnd.choices(string.ascii_letters, k=32)) for _ in range(500)]
    masks = Masks(secrets)
    masks.prepare()
    searched = [0]
    found = Needle.found

    def counting(needle, layer):
        searched[0] += 1
        return found(needle, layer)

    monkeypatch.setattr(Needle, "found", counting)
    text = "".join(rnd.choices(string.ascii_lowercase, k=1 << 18))
    assert masks.text(text) == text
    # Of some 10,000 spellings.
    assert searched[0] <= 500
    assert masks.text(f"{text}{secrets[7]}{text}") == f"{text}***{text}"


# --- forms and signatures ---


@pytest.mark.parametrize("filling", [b"%2e", b"%", b"%zz", b"+", b"\xc3\xa9", b'%22"\\'])
def test_a_form_of_escapes_takes_no_step_for_each_of_them(filling):
    data = b"a=" + filling * (MIB // len(filling))
    with counted_calls() as calls:
        parsed = payloads.parse_body(data, "application/x-www-form-urlencoded")
    assert parsed == {"a": parse_qsl(data.decode(), keep_blank_values=True)[0][1]}
    assert calls[0] <= 1_000


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256"])
def test_a_public_key_reads_the_body_for_a_few_signatures_only(algorithm):
    scheme = scheme_of({"signature": {"header": "x-s", "algorithm": algorithm, "encoding": "base64", "list": ","}})
    key = stand_in_for(scheme, "a text that everyone knows")
    read = [0]
    check = Check.of(scheme, [Credential(key)], "")
    [(_, public)] = check.keys
    verifies = public._verifies
    public._verifies = lambda signature, message: read.__setitem__(0, read[0] + 1) or verifies(signature, message)
    signatures = b",".join([b"QUJD" * 20] * 200)
    with pytest.raises(Stop, match="does not match the body"):
        check.verify(Reading(Request(headers=[(b"x-s", signatures)], body=b"{}")), 0.0)
    assert 1 <= read[0] <= 4


def test_the_form_of_a_request_is_read_once_however_many_secrets_there_are(monkeypatch):
    scheme = scheme_of({"signature": {"header": "x-s", "signed": "{url}{form}"}})
    verifier = Verifier(
        (scheme,), tuple(Credential(Secret(f"secret {n}")) for n in range(5)), public_url="https://x.example"
    )
    read = [0]
    monkeypatch.setattr(request_module, "pairs", lambda body: read.__setitem__(0, read[0] + 1) or forms.pairs(body))
    verifier.verify(Request(headers=[(b"x-s", b"00")], body=b"a=b"), 0.0)
    assert read[0] == 1


# --- planning ---

KEYED = """\
version: 1
sources: {own: {verify: none, type: own.event, id: ['{payload.id}'], split: payload.items.*}}
destinations:
  a: {type: http, url: 'https://a.example.com', order_by: payload.list}
routes:
""" + "".join(
    f"  - {{name: r{n}, to: a, once: {{per: '{{{{ payload | tojson }}}}', for: 1h}}}}\n" for n in range(20)
)  # fmt: skip


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "routes.yaml").write_text(KEYED)
    return load(folder / "routes.yaml", environ={})


def test_the_keys_of_one_event_share_a_budget_and_a_lane_is_computed_once(keyed, monkeypatch):
    source = keyed.sources["own"]
    lanes = [0]
    key_text = destinations.key_text
    monkeypatch.setattr(destinations, "key_text", lambda value: lanes.__setitem__(0, lanes[0] + 1) or key_text(value))
    [one] = source.received([], body(elements=filled("1")), now=0.0)
    written = [0]
    dumps = json.dumps
    monkeypatch.setattr(
        json, "dumps", lambda value, **kwargs: written.__setitem__(0, written[0] + 1) or dumps(value, **kwargs)
    )
    plan = planning.plan(one, keyed, source)
    assert len(plan.entries) == 20
    assert lanes[0] == 1
    assert written[0] <= 2


def test_other_requests_have_their_turn_while_many_events_of_one_are_planned(keyed):
    source = keyed.sources["own"]
    items = b'{"items":[' + b",".join(b'{"id":"%d","list":[1]}' % n for n in range(1_000)) + b"]}"
    received = source.received([], items, now=0.0)

    async def scenario():
        turns = [0]

        async def others():
            while True:
                turns[0] += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        found = await planning.plans(received, keyed, source)
        other.cancel()
        return found, turns[0]

    plans, turns = asyncio.run(scenario())
    assert [plan.event.id for plan in plans] == [one.event.id for one in received]
    assert turns >= 10


def test_items_of_brackets_are_refused_like_a_whole_body_of_them(keyed):
    items = b",".join([b'{"list":[' + b",".join([b"[]"] * 40_000) + b"]}"] * 8)
    with pytest.raises(Unparsable, match="lists and objects"):
        keyed.sources["own"].received([], b'{"items":[' + items + b"]}", now=0.0)


def test_a_list_of_booleans_is_searched_for_a_number_without_a_step_for_each():
    for operand, element, held in ((1, "true", False), (True, "1", False), (0, "false", False), (1, "1.0", True)):
        test = OPERATORS["contains"].test([operand])
        elements = json.loads(f"[{filled(element)}]")
        with counted_calls() as calls:
            assert test(elements) is held
        assert calls[0] <= 10
