"""The life of an event with a real store and a real destination, and a clock that is moved by hand."""

import asyncio
import gzip
import hashlib
import hmac
import json
import secrets
import tracemalloc

import pytest

from gateway.config import load
from gateway.errors import SignatureRefused, StoreUnavailable, UnknownSource, Unparsable
from gateway.event.payload import payload_of
from gateway.event.repeats import MANY
from gateway.model import Dead, DeliveryState
from gateway.pipeline import deliver, receive
from gateway.presets import load as load_preset
from gateway.routing import planning
from gateway.signatures import Request
from gateway.store.queries import DeliveryQuery, EventQuery
from tests.sink import Sink, answer
from tests.world import (
    BODY,
    REDACTING,
    World,
    contact,
    in_order,
    notes,
    stored,
    story,
    to_crm,
)


@story
async def test_an_event_is_kept_with_its_deliveries_and_delivered_straight_from_memory(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            appended = await world.receive()
            await world.dispatcher.idle()
            history = await world.store.event(appended.event_id)
    assert history.event.body == BODY
    assert history.event.type == "contact.created"
    assert "cookie" not in history.event.headers
    [delivery] = history.deliveries
    assert delivery.state is DeliveryState.DELIVERED
    [attempt] = history.attempts[delivery.id]
    assert attempt.config_revision == world.config.revision
    assert attempt.sent_sha256 == hashlib.sha256(sink.requests[0].body).digest()


@pytest.mark.parametrize("coding", ["as it is", "small only as it is sent"])
@story
async def test_while_an_event_waits_for_the_disk_only_its_bytes_are_in_memory(tmp_path, monkeypatch, coding):
    # Parsed, it takes about twice the memory of its bytes; other shapes take twenty times as much.
    data = {"id": 1, "numbers": [n / 7 for n in range(30_000)]}
    if coding == "small only as it is sent":
        data = {"id": secrets.token_hex(1_500), "numbers": [0.5] * 30_000}
    content = json.dumps({"event": "contact.created", "data": data}).encode()
    body = content if coding == "as it is" else gzip.compress(content)
    assert len(body) <= planning.SMALL or coding == "as it is"
    signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest().encode()
    request = Request(method="POST", query=b"", headers=[(b"x-webhook-signature", signature)], body=body)
    async with World(tmp_path, "") as world:
        source = world.config.sources["xobito"]
        asked, waiting = asyncio.Event(), asyncio.get_running_loop().create_future()

        def append(*_, **__):
            asked.set()
            return waiting

        monkeypatch.setattr(world.store, "append", append)
        tracemalloc.start()
        try:
            receiving = asyncio.create_task(receive(world.gateway, world.dispatcher, world.config, source, request))
            await asked.wait()
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        receiving.cancel()
    assert peak > len(content), "it was parsed by then"
    assert held < len(content) // 2


@story
async def test_retries_follow_the_schedule_on_a_moved_clock(tmp_path):
    retry = {"for": "1h", "first": "1s", "max": "1m", "statuses": "409"}
    with Sink(answer(409)) as sink:
        async with World(tmp_path, to_crm(sink, retry=retry)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            for wait in (1, 2, 4, 8, 16, 32, 60, 60):
                made = len(sink.requests)
                await world.later(wait - 0.01)
                assert len(sink.requests) == made, "not before its time"
                await world.later(0.02)
                assert len(sink.requests) == made + 1
            delivery = await world.delivery(event_id)
    assert delivery.state is DeliveryState.PENDING
    assert delivery.attempts == 9


@story
async def test_the_budget_ends_a_delivery_and_a_replay_starts_it_anew(tmp_path):
    with Sink(answer(500, b"oh no")) as sink:
        async with World(tmp_path, to_crm(sink, retry={"for": "10s", "first": "1s", "max": "1m"})) as world:
            event_id = (await world.receive()).event_id
            for _ in range(10):
                await world.later(3600)
            dead = await world.delivery(event_id)
            assert (dead.state, dead.last_status, dead.last_answer) == (DeliveryState.DEAD, 500, "oh no")
            assert dead.attempts == 4, "after 1 + 2 + 4 s the next 8 s would exceed the 10 s: downtime does not count"
            sink.at("/", answer(200))
            await world.replay(event_id)
            assert (await world.delivery(event_id)).spent_s == 0
            await world.turn()
            delivered = await world.delivery(event_id)
    assert (delivered.state, delivered.attempts) == (DeliveryState.DELIVERED, 5)


@story
async def test_each_attempt_uses_the_file_of_its_moment(tmp_path):
    with Sink(answer(503)) as old, Sink() as new:
        async with World(tmp_path, to_crm(old)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            world.reload(to_crm(new).replace("id:", "number:"))
            await world.later(60)
            history = await world.store.event(event_id)
            assert [json.loads(request.body) for request in new.requests] == [{"number": 451}]
    revisions = [attempt.config_revision for attempt in history.attempts[history.deliveries[0].id]]
    assert len(set(revisions)) == 2


@story
async def test_what_is_refused_is_not_stored_and_takes_no_slot(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            with pytest.raises(UnknownSource):
                await world.receive(path="/in/nobody")
            with pytest.raises(Unparsable):
                await world.receive(b"{")
            with pytest.raises(SignatureRefused):
                config = world.gateway.config
                await receive(
                    world.gateway, world.dispatcher, config, config.sources["xobito"], Request(headers=[], body=BODY)
                )
            assert (await world.store.events()).rows == ()
            appended = await world.receive()
            await world.dispatcher.idle()
            assert (await world.receive()).duplicate
            await world.dispatcher.idle()
            assert not world.dispatcher.holds.in_flight, "every slot was given back"
            assert (await world.delivery(appended.event_id)).state is DeliveryState.DELIVERED
    assert len(sink.requests) == 1


@story
async def test_a_cancelled_request_orphans_neither_its_event_nor_its_slot(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            request = asyncio.create_task(world.receive())
            await asyncio.sleep(0)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            await world.receive(BODY + b" ")
            await world.turn()
            rows = (await world.store.events()).rows
            states = {delivery.state for row in rows for delivery in row.deliveries}
    assert states == {DeliveryState.DELIVERED}
    assert len(rows) == len(sink.requests) == 2
    assert not world.dispatcher.holds.in_flight


@story
async def test_a_store_that_refuses_is_an_error_and_no_leak(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            await world.store.close()
            with pytest.raises(StoreUnavailable):
                await world.receive()
            await asyncio.sleep(0)
            assert not world.dispatcher.holds.in_flight


@story
async def test_what_is_known_of_an_event_counts_for_the_configuration_that_read_it(tmp_path):
    with Sink() as sink:
        text = to_crm(sink).replace("attrs.id", "vars.city") + "vars: {city: Rome}\n"
        async with World(tmp_path, text) as world:
            history = await stored(world)
            before, payload = world.config, payload_of(history.event)
            world.reload(text.replace("Rome", "Oslo"))
            facts = {**before.sources["xobito"].naming.facts(history.event, payload), "vars": {"city": "as known"}}
            for config in (before, world.config):
                known = planning.Known(payload, facts, config)
                await deliver(history.deliveries[0], history.event, world.gateway, known=known)
    assert [json.loads(request.body)["id"] for request in sink.requests] == ["Oslo", "as known"]


@story
async def test_what_starts_from_memory_is_what_is_read_again(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event = (await world.store.event((await world.receive()).event_id)).event
            await world.dispatcher.idle()
            [delivery] = (await world.store.deliveries(DeliveryQuery())).rows
            await deliver(delivery, event, world.gateway)
    from_memory, again = ((request.path, request.body) for request in sink.requests)
    assert from_memory == again


@story
async def test_a_defect_in_building_a_request_is_a_dead_letter_and_not_an_end(tmp_path):
    class Defect(dict):
        def get(self, name, default=None):
            raise RuntimeError("boom")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            history = await stored(world)
            object.__setattr__(world.config, "entries", Defect())
            tried = await deliver(history.deliveries[0], history.event, world.gateway)
    assert isinstance(tried.result, Dead)
    assert "RuntimeError" in tried.attempt.reason
    assert tried.word == "defect"


@story
async def test_a_traceback_quotes_nothing_that_the_source_redacts(tmp_path, logged):
    class Defect(dict):
        def get(self, name, default=None):
            raise RuntimeError(BODY.decode() + "x" * 100_000 + BODY.decode())

    with Sink() as sink:
        async with World(tmp_path, REDACTING + to_crm(sink)) as world:
            history = await stored(world)
            email = json.loads(BODY)["data"]["attributes"]["email"]
            object.__setattr__(world.config, "entries", Defect())
            await deliver(history.deliveries[0], history.event, world.gateway)
    [said] = [fields["exception"] for name, fields in logged if name == "internal.error"]
    assert "RuntimeError" in said
    assert "•••" in said
    assert email not in said


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (answer(200, b'{"ok":false,"error":"token_revoked"}'), "4xx"),
        (answer(200, b'{"ok":false,"error":"ratelimited"}'), "429"),
        (answer(200, b"<html>"), "not_taken"),
        (answer(200, b'{"ok":true}'), "2xx"),
        (answer(502), "5xx"),
    ],
)
@story
async def test_an_answer_is_counted_as_what_it_stands_for(tmp_path, said, word):
    text = (
        "destinations: {slack: {type: slack, url: '%s/api/chat.postMessage', auth: {bearer: xoxb-1}, channel: c, rate: none}}\n"
        "routes: [{name: all, to: slack, text: hi}]\n"
    )
    with Sink(said) as sink:
        async with World(tmp_path, text % sink.url) as world:
            event = (await world.store.event((await world.receive()).event_id)).event
            await world.dispatcher.idle()
            [delivery] = (await world.store.deliveries(DeliveryQuery())).rows
            assert (await deliver(delivery, event, world.gateway)).word == word


@story
async def test_retry_never_makes_a_401_final(tmp_path):
    with Sink(answer(401)) as sink:
        async with World(tmp_path, to_crm(sink, retry={"never": 401})) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.DEAD


# --- order ---


@story
async def test_events_of_one_key_go_one_after_the_other_and_other_keys_do_not_wait_for_them(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, in_order(sink)) as world:
            for number in range(4):
                await world.receive(contact(number))
            await world.dispatcher.idle()
            assert notes(sink) == [0], "the others wait for the first one"
            sink.at("/", answer(200))
            await world.receive(contact(9, contact_id=2))
            await world.turn()
            assert notes(sink) == [0, 9]
            await world.later(1)
    assert notes(sink) == [0, 9, 0, 1, 2, 3]


@story
async def test_a_dead_head_lets_the_next_one_go_and_comes_last_when_it_is_replayed(tmp_path):
    with Sink(answer(400), answer(503)) as sink:
        async with World(tmp_path, in_order(sink)) as world:
            first = (await world.receive(contact(0))).event_id
            await world.receive(contact(1))
            await world.receive(contact(2))
            await world.turn()
            assert notes(sink) == [0, 1]
            await world.replay(first)
            sink.at("/", answer(200))
            await world.later(1)
    assert notes(sink) == [0, 1, 1, 2, 0]


@story
async def test_an_event_without_the_key_has_no_order(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, in_order(sink).replace('attrs.id"', 'attrs.company_id"')) as world:
            for number in range(3):
                await world.receive(contact(number))
            await world.dispatcher.idle()
    assert sorted(notes(sink)) == [0, 1, 2]


# --- once ---


@story
async def test_a_route_with_once_fires_for_the_first_event_of_a_key_and_says_of_the_others_why_not(tmp_path):
    with Sink() as sink:
        text = in_order(sink).replace("name: all,", "name: welcome, once: {per: 'contact {{ attrs.id }}', for: 90d},")
        async with World(tmp_path, text) as world:
            first = (await world.receive(contact(0))).event_id
            second = await world.receive(contact(1))
            await world.receive(contact(2, contact_id=2))
            await world.turn()
            history = await world.store.event(second.event_id)
            assert second.held_back == {"welcome"}
            assert history.deliveries == ()
            [held_back] = history.held_back
            assert (held_back.name, held_back.key, held_back.event_id) == ("welcome", "contact 1", first)
            world.clock.now += 90 * 86400
            await world.receive(contact(3))
            await world.turn()
            assert await world.delivery(first)
    *both, last = notes(sink)
    assert (sorted(both), last) == ([0, 2], 3)


@story
async def test_a_key_that_cannot_be_made_holds_nothing_back(tmp_path):
    with Sink() as sink:
        text = in_order(sink).replace("name: all,", "name: welcome, once: {per: '{{ attrs.nothing }}'},")
        async with World(tmp_path, text) as world:
            for number in range(2):
                await world.receive(contact(number))
            await world.turn()
    assert notes(sink) == [0, 1]


# --- what a source redacts ---


@story
async def test_an_answer_that_repeats_what_is_redacted_is_kept_and_logged_without_it(tmp_path, logged):
    with Sink(answer(422, b'{"email": ["john@example.com is taken"]}')) as sink:
        async with World(tmp_path, REDACTING + to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            history = await world.store.event(event_id)
    [delivery] = history.deliveries
    [attempt] = history.attempts[delivery.id]
    assert delivery.state is DeliveryState.DEAD
    assert (attempt.answer, delivery.last_answer) == ('{"email": ["••• is taken"]}',) * 2
    assert "••• is taken" in delivery.reason
    assert delivery.reason == attempt.reason
    assert "john@example.com" not in delivery.reason
    [said] = [fields["reason"] for name, fields in logged if name == "delivery.dead"]
    assert said == delivery.reason


@story
async def test_a_key_that_cannot_be_made_of_what_is_redacted_is_logged_without_it(tmp_path, logged):
    once = "routes: [{name: all, to: crm, once: {per: \"{{ attrs.email | date('%Y') }}\"}}]"
    with Sink() as sink:
        async with World(tmp_path, REDACTING + to_crm(sink).partition("routes:")[0] + once) as world:
            await world.receive()
            await world.turn()
    [said] = [fields["reason"] for name, fields in logged if name == "delivery.unkeyed"]
    assert "•••" in said
    assert "john@example.com" not in said


HUB = "version: 1\nsources: {hub: {preset: github, secret: a-secret-of-the-hub%s}}\n"


async def from_hub(world: World, body: bytes = b'{"action": "opened"}', **changed: str):
    """An event as GitHub sends it, with some of its headers changed; nothing but the body is signed."""
    source = world.gateway.config.sources["hub"]
    [(name, value)] = source.verifier.sign(Request(headers=[], body=body), 0, "").headers
    headers = {name: value, "content-type": "application/json", "x-github-event": "issues", "x-github-delivery": "id-1"}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    request = Request(headers=[(name.encode(), value.encode()) for name, value in headers.items()], body=body)
    [appended] = (await receive(world.gateway, world.dispatcher, world.gateway.config, source, request)).appended
    return appended


@story
async def test_a_captured_request_is_no_new_event_whatever_its_unsigned_headers_say(tmp_path):
    async with World(tmp_path, HUB % "" + "destinations: {}\n") as world:
        first = await from_hub(world)
        for changed in ({"x_github_delivery": "id-2"}, {"x_github_event": "push"}, {"content_type": "text/plain"}):
            again = await from_hub(world, **changed)
            assert (again.duplicate, again.event_id) == (True, first.event_id), changed
        event = (await world.store.event(first.event_id)).event
        assert (event.type, event.label) == ("issues.opened", "id-1")


@story
async def test_an_id_that_somebody_chose_suppresses_no_later_event(tmp_path):
    async with World(tmp_path, HUB % "" + "destinations: {}\n") as world:
        await from_hub(world, x_github_delivery="the-next-one")
        assert not (await from_hub(world, b'{"action": "closed"}', x_github_delivery="the-next-one")).duplicate


@pytest.mark.parametrize("redeliver", ["", ", redeliver: replay"])
def test_a_redelivery_replays_what_died_only_if_the_source_says_so(tmp_path, redeliver):
    @story
    async def scenario():
        with Sink(answer(422)) as sink, Sink() as well:
            to = f"destinations: {{crm: {{url: {sink.url}}}, well: {{url: {well.url}}}}}\nalways: [{{to: crm}}, {{to: well}}]\n"
            async with World(tmp_path, HUB % redeliver + to) as world:
                first = await from_hub(world)
                await world.turn()
                again = await from_hub(world)
                await world.turn()
                assert (again.duplicate, again.event_id) == (True, first.event_id)
                assert again.replayed == (1 if redeliver else 0)
                assert len(sink.requests) == (2 if redeliver else 1)
                assert len(well.requests) == 1, "what was delivered is left alone"
                acts = (await world.store.activities()).rows
                assert [(each.verb, each.by, each.subject) for each in acts] == (
                    [("replay", "source hub", first.event_id)] if redeliver else []
                )

    scenario()


@story
async def test_a_redelivery_while_nothing_is_dead_leaves_no_activity(tmp_path):
    with Sink() as sink:
        to = f"destinations: {{crm: {{url: {sink.url}}}}}\nalways: [{{to: crm}}]\n"
        async with World(tmp_path, HUB % ", redeliver: replay" + to) as world:
            await from_hub(world)
            await world.turn()
            assert (await from_hub(world)).replayed == 0
            assert not (await world.store.activities()).rows


@story
async def test_a_redelivery_whose_body_is_gone_is_answered_and_logged(tmp_path, logged):
    with Sink(answer(422)) as sink:
        to = f"destinations: {{crm: {{url: {sink.url}}}}}\nalways: [{{to: crm}}]\nretention: {{bodies: 1h}}\n"
        async with World(tmp_path, HUB % ", redeliver: replay" + to) as world:
            first = await from_hub(world)
            await world.turn()
            world.store._database.file.db.execute("UPDATE event SET body = x'', body_is = 'removed'")
            assert (await from_hub(world)).replayed == 0
    [refused] = [fields for name, fields in logged if name == "event.not_replayed"]
    assert (refused["event_id"], refused["source"]) == (first.event_id, "hub")
    assert "retention.bodies has removed its body" in refused["reason"]


@story
async def test_the_twentieth_different_body_under_one_id_is_reported_once(tmp_path, logged):
    source = "sources: {shop: {preset: bearer, secret: s3cret-of-the-tests, id: '{payload.kind}'}}\n"
    to = "destinations: {log: {type: file, path: out.ndjson}}\nalways: [{to: log}]\n"
    bodies = [b'{"type": "paid", "kind": "a", "number": %d}' % number for number in range(MANY)]
    async with World(tmp_path, "version: 1\n" + source + to) as world:
        for body in (*bodies[:-1], *bodies[:-1]):
            await world.receive(body, "/in/shop")
        assert not reported(logged)
        for body in (*bodies, b'{"kind": "a"}', *(body.replace(b'"a"', b'"b"') for body in bodies)):
            await world.receive(body, "/in/shop")
        told = (await world.store.events(EventQuery(source="gateway"))).rows
    assert [(each["source"], each["bodies"]) for each in reported(logged)] == [("shop", MANY)]
    assert len(told) == 1


def reported(logged):
    return [fields for name, fields in logged if name == "event.id_repeated"]


@story
async def test_a_template_that_fails_names_the_type_of_its_event_and_has_one_cause_for_all_types(tmp_path):
    text = """destinations: {crm: {url: "http://127.0.0.1:9"}}
routes:
  - {name: all, to: crm, body: {name: "{{ attrs.nickname }}"}}
"""
    samples = load_preset("xobito").samples
    async with World(tmp_path, text) as world:
        for type_ in ("contact.created", "contact.deleted"):
            await world.receive(samples[type_])
        await world.turn()
        found = (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows
    said = 'routes.yaml:5: the event has no field attrs.nickname: write | default("...")'
    assert [each.reason for each in found] == [
        f"{said} (event type contact.deleted)",
        f"{said} (event type contact.created)",
    ]
    assert len({each.cause for each in found}) == 1


@story
async def test_a_template_of_a_digest_that_fails_names_the_types_of_its_events(tmp_path):
    text = """destinations: {crm: {url: "http://127.0.0.1:9"}}
routes:
  - name: all
    to: crm
    digest: {every: 15m}
    body: {names: "{% for each in events %}{{ each.attrs.nickname }}{% endfor %}"}
"""
    samples = load_preset("xobito").samples
    async with World(tmp_path, text) as world:
        for type_ in ("contact.created", "contact.deleted"):
            await world.receive(samples[type_])
        await world.later(900)
        found = (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows
    assert {each.reason.partition(" (")[2] for each in found} == {"event types contact.created, contact.deleted)"}


#: Bodies with their content types, and what a source says of them.
SHAPES = {
    "JSON": (b'{"type": "a", "n": [1, {"x": null}]}', "application/json", ""),
    "JSON in another charset": ('{"type": "é"}'.encode("latin-1"), "application/json; charset=latin-1", ""),
    "compressed": (gzip.compress(b'{"type": "a"}'), "application/json", ""),
    "a form": (b"type=a&type=b&n=1", "application/x-www-form-urlencoded", ""),
    "a form with a payload": (b"payload=%7B%22type%22%3A%22a%22%7D", "application/x-www-form-urlencoded", ""),
    "text": (b"hello", "text/plain", ""),
    "XML": (b"<a/>", "application/xml", ""),
    "nothing": (b"", "application/json", ""),
    "a list": (b'[{"type": "a"}, {"type": "b", "n": 1.50}]', "application/json", ', split: "payload.*"'),
    "lines": (b'{"type": "a"}\n{"type": "b"}\n', "application/x-ndjson", ', split: "payload.*"'),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_payload_of_a_request_is_what_its_stored_events_are_parsed_to(tmp_path, shape):
    """A delivery that starts from memory is built of the first, and any other of the second."""
    body, content_type, more = SHAPES[shape]
    file = tmp_path / "routes.yaml"
    source = f"sources: {{app: {{verify: none, type: app.event{more}}}}}\n"
    file.write_text(
        f"version: 1\n{source}destinations: {{d: {{url: http://127.0.0.1:9}}}}\nroutes: [{{name: all, to: d}}]\n"
    )
    headers = [(b"content-type", content_type.encode())]
    found = load(file, environ={}).sources["app"].received(headers, body, now=1.0)
    assert found
    for each in found:
        assert payload_of(each.event) == each.payload
