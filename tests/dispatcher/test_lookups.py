"""Look-ups before a delivery is sent: what is found, whose turn it is, and what becomes of a delivery that finds nothing."""

import asyncio
import json
import time

import pytest

from gateway.dispatcher import lookups, recalling
from gateway.event import payload
from gateway.event.payload import payload_of
from gateway.event.spans import Spans
from gateway.model import DeliveryState
from gateway.routing.planning import SMALL
from gateway.routing.questions import source_at
from gateway.signatures import Request
from gateway.telemetry import Span
from tests.sink import Sink, answer, chunk_garbage, hang, huge, reset, together
from tests.world import BODY, World, contact, numbered, story

FOUND = json.dumps({"items": [{"id": 7, "owner": "Ann"}]}).encode()
NONE_FOUND = b'{"items": []}'


def find_or_create(sink: Sink, *, cache: str = "", **options: object) -> str:
    """A route that finds a person in the CRM, and then updates or creates it there."""
    crm = json.dumps({"url": f"{sink.url}/crm", "auth": {"bearer": "a-secret-token"}, **options})
    return f"""
destinations:
  crm: {crm}
routes:
  - name: person
    to: crm
    fetch: {{person: {{from: crm, path: /search, query: {{term: "{{{{ attrs.email }}}}"}}{cache}}}}}
    choose:
      - {{if: person.items, method: PUT, path: "/persons/{{{{ person.items[0].id }}}}", body: {{name: "{{{{ attrs.firstname }}}}"}}}}
      - {{method: POST, path: /persons, body: {{name: "{{{{ attrs.firstname }}}}"}}}}
"""


def elsewhere(
    sink: Sink, text: str = "{{ person.items[0].owner }}", *, crm: str = "", chat: str = "", cache: str = ""
) -> str:
    """A route to a chat that looks a person up in the CRM."""
    return f"""
destinations:
  crm: {{url: "{sink.url}/crm"{crm}}}
  chat: {{url: "{sink.url}/chat"{chat}}}
routes:
  - name: note
    match: contact.created
    to: chat
    fetch: {{person: {{from: crm, path: /search, query: {{term: "{{{{ attrs.email }}}}"}}{cache}}}}}
    text: "{text}"
"""


def asked(sink: Sink) -> list[str]:
    return [f"{each.method} {each.path}" for each in sink.requests]


async def told(world: World, event_id: str):
    """The delivery of an event, and its last attempt."""
    history = await world.store.event(event_id)
    [delivery] = history.deliveries
    attempts = history.attempts.get(delivery.id, ())
    return delivery, attempts[-1] if attempts else None


# --- what is found, and what is sent ---


@story
async def test_a_person_that_is_found_is_updated_by_its_id_in_one_delivery(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, FOUND))
        async with World(tmp_path, find_or_create(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            delivery, attempt = await told(world, event_id)
    assert asked(sink) == ["GET /crm/search?term=john%40example.com", "PUT /crm/persons/7"]
    assert [each.headers["authorization"] for each in sink.requests] == ["Bearer a-secret-token"] * 2
    assert delivery.state is DeliveryState.DELIVERED
    assert attempt.choice == 1
    [made] = attempt.lookups
    assert (made.name, made.destination, made.method, made.status, made.found) == ("person", "crm", "GET", 200, True)


@pytest.mark.parametrize(
    "nothing",
    [
        answer(200, NONE_FOUND),
        answer(404, b'{"message": "no such person"}'),
        answer(404, b"<html>"),
        answer(204, b""),
        answer(200, b""),
    ],
    ids=["an empty list", "404", "404 in HTML", "204", "an empty answer"],
)
@story
async def test_a_person_that_is_not_found_is_created(tmp_path, nothing):
    with Sink() as sink:
        sink.at("/crm/search", nothing)
        async with World(tmp_path, find_or_create(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            delivery, attempt = await told(world, event_id)
    assert asked(sink)[1:] == ["POST /crm/persons"]
    assert (delivery.state, attempt.choice) == (DeliveryState.DELIVERED, 2)


@story
async def test_if_no_element_of_choose_holds_the_file_discards_the_delivery(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, NONE_FOUND))
        text = find_or_create(sink).replace("- {method: POST", "- {if: false, method: POST")
        async with World(tmp_path, text) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            delivery, attempt = await told(world, event_id)
    assert len(sink.requests) == 1
    assert delivery.state is DeliveryState.DISCARDED
    assert delivery.reason.startswith("no element of choose holds (routes.yaml:")
    assert (attempt.outcome, attempt.choice, attempt.sent_bytes) == ("discarded", 0, 0)
    assert [each.name for each in attempt.lookups] == ["person"]


@story
async def test_choose_works_without_a_look_up(tmp_path):
    text = """
destinations: {crm: {url: "%s"}}
routes:
  - name: person
    to: crm
    choose:
      - {if: attrs.firstname == "Jane", method: PUT, path: /jane, body: ""}
      - {if: attrs.firstname, method: PATCH, path: /other, body: ""}
"""
    with Sink() as sink:
        async with World(tmp_path, text % sink.url) as world:
            await world.receive()
            await world.turn()
    assert asked(sink) == ["PATCH /other"]


@story
async def test_a_search_by_post_sends_its_own_body_and_a_later_look_up_uses_the_earlier_one(tmp_path):
    text = """
destinations: {crm: {url: "%s"}}
routes:
  - name: deal
    to: crm
    fetch:
      person: {from: crm, method: POST, path: /find, body: {email: "{{ attrs.email }}"}}
      deal: {from: crm, path: "/persons/{{ person.items[0].id }}/deals"}
    body: {deal: "{{ deal[0].id }}", owner: "{{ person.items[0].owner }}"}
"""
    with Sink() as sink:
        sink.at("/find", answer(200, FOUND)).at("/persons", answer(200, b'[{"id": 99}]'))
        async with World(tmp_path, text % sink.url) as world:
            await world.receive()
            await world.turn()
    assert asked(sink) == ["POST /find", "GET /persons/7/deals", "POST /"]
    assert json.loads(sink.requests[0].body) == {"email": "john@example.com"}
    assert sink.requests[1].body == b""
    assert json.loads(sink.requests[2].body) == {"deal": 99, "owner": "Ann"}


# --- answers that cannot be used ---


@story
async def test_another_4xx_of_a_look_up_is_the_answer_to_the_delivery(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(422, b'{"message": "term is too short"}'))
        async with World(tmp_path, find_or_create(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            delivery, attempt = await told(world, event_id)
    assert len(sink.requests) == 1
    assert delivery.state is DeliveryState.DEAD
    assert delivery.reason.startswith("fetch person: crm answered 422: term is too short")
    assert (delivery.last_status, attempt.status, attempt.sent_bytes) == (422, 422, 0)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (answer(503, b"down"), "fetch person: crm answered 503"),
        (answer(200, b"<html>please log in</html>"), "fetch person: crm answered 200, but not with JSON"),
        (reset(), "fetch person: crm: "),
        (chunk_garbage(), "fetch person: crm: "),
    ],
    ids=["503", "HTML", "a reset", "broken"],
)
@story
async def test_whatever_else_a_look_up_gets_is_tried_again_and_then_the_delivery_is_sent(tmp_path, trouble, said):
    with Sink() as sink:
        sink.at("/crm/search", trouble, answer(200, FOUND))
        async with World(tmp_path, find_or_create(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            delivery, attempt = await told(world, event_id)
            assert delivery.state is DeliveryState.PENDING
            assert delivery.reason.startswith(said)
            assert attempt.outcome == "retry"
            await world.later(60)
            delivery, _ = await told(world, event_id)
    assert delivery.state is DeliveryState.DELIVERED
    assert asked(sink)[-1] == "PUT /crm/persons/7"


@story
async def test_an_answer_of_300_mb_is_not_read_to_its_end_and_says_what_to_do(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", huge())
        async with World(tmp_path, find_or_create(sink)) as world:
            event_id = (await world.receive()).event_id
            began = time.monotonic()
            await world.turn()
            delivery, _ = await told(world, event_id)
    assert time.monotonic() - began < 30
    assert delivery.state is DeliveryState.DEAD
    assert delivery.reason == "fetch person: crm answered more than 1.0 MiB: ask for less, by query or path"


@story
async def test_a_list_where_a_map_is_due_is_a_field_that_is_missing(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, b'[{"id": 7}]'))
        async with World(tmp_path, find_or_create(sink)) as world:
            await world.receive()
            await world.turn()
            assert asked(sink)[1:] == ["POST /crm/persons"]
        async with World(tmp_path, elsewhere(sink)) as world:
            event_id = (await world.receive(numbered(1))).event_id
            await world.turn()
            delivery, _ = await told(world, event_id)
    assert delivery.state is DeliveryState.DEAD
    assert "person.items" in delivery.reason


@story
async def test_a_look_up_that_cannot_be_built_makes_a_dead_delivery_and_asks_nothing(tmp_path):
    payload = json.loads(BODY)
    del payload["data"]["attributes"]["email"]
    with Sink() as sink:
        async with World(tmp_path, find_or_create(sink)) as world:
            event_id = (await world.receive(json.dumps(payload).encode())).event_id
            await world.turn()
            delivery, _ = await told(world, event_id)
    assert not sink.requests
    assert delivery.reason.startswith("fetch person: routes.yaml:")
    assert "the event has no field attrs.email" in delivery.reason


@story
async def test_the_rules_of_success_of_the_destination_hold_for_look_ups(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, b'{"ok": false}'), answer(200, b'{"ok": true, "items": [{"id": 7}]}'))
        text = find_or_create(sink, success={"json": {"ok": True}})
        sink.at("/crm/persons", answer(200, b'{"ok": true}'))
        async with World(tmp_path, text) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            await world.later(60)
            delivery, _ = await told(world, event_id)
    assert delivery.state is DeliveryState.DELIVERED
    assert asked(sink)[-1] == "PUT /crm/persons/7"


@story
async def test_a_retry_looks_up_again(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, NONE_FOUND), answer(200, FOUND)).at("/crm/persons", answer(503), answer(200))
        async with World(tmp_path, find_or_create(sink)) as world:
            await world.receive()
            await world.turn()
            await world.later(60)
    assert [each.split("?")[0] for each in asked(sink)] == [
        "GET /crm/search",
        "POST /crm/persons",
        "GET /crm/search",
        "PUT /crm/persons/7",
    ]


# --- slots and turns ---


@story
async def test_while_it_looks_elsewhere_a_delivery_has_no_slot_of_its_own(tmp_path):
    """A slow CRM does not hold up what else goes to the chat."""
    with Sink() as sink:
        sink.at("/crm", hang())
        text = elsewhere(sink, chat=", concurrency: 1", crm=", timeout: 60s") + (
            "  - {name: other, match: contact.updated, to: chat, text: hello}\n"
        )
        async with World(tmp_path, text) as world:
            await world.receive()
            await asyncio.to_thread(sink.wait_for, 1)
            assert world.dispatcher.holds.in_flight == {"crm": 1}
            updated = BODY.replace(b"contact.created", b"contact.updated").replace(
                b"Contact.created", b"Contact.updated"
            )
            await world.receive(json.dumps({**json.loads(updated), "event": "contact.updated"}).encode())
            await asyncio.to_thread(sink.wait_for, 2)
    assert asked(sink)[1] == "POST /chat"


@story
async def test_look_ups_elsewhere_take_no_more_slots_than_there_are(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(200, FOUND, after_s=0.05))
        async with World(tmp_path, elsewhere(sink, crm=", concurrency: 2", chat=", concurrency: 3")) as world:
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    flight = world.dispatcher.holds.in_flight
                    most = max(most, flight["crm"])
                    assert flight["chat"] <= 3
                    await asyncio.sleep(0.005)

            watching = asyncio.create_task(watch())
            await asyncio.gather(*(world.receive(contact(number)) for number in range(12)))
            await world.turn()
            watching.cancel()
            rows = (await world.store.events()).rows
            assert not world.dispatcher.holds.in_flight
            assert not world.dispatcher._lookups.away
    assert most == 2
    assert {row.deliveries[0].state for row in rows} == {DeliveryState.DELIVERED}


@story
async def test_neither_look_ups_nor_a_destinations_own_deliveries_starve_the_other(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(200, FOUND, after_s=0.01))
        text = elsewhere(sink, crm=", concurrency: 1") + "  - {name: own, to: crm, path: /own, body: {}}\n"
        async with World(tmp_path, text) as world:
            running = asyncio.create_task(world.dispatcher.run())
            await asyncio.gather(*(world.receive(contact(number)) for number in range(20)))
            await asyncio.to_thread(sink.wait_for, 60)
            world.dispatcher.stop()
            await running
            await world.dispatcher.idle()
    at_crm = ["own" if each.path == "/crm/own" else "look-up" for each in sink.requests if "/crm" in each.path]
    assert at_crm.count("own") == at_crm.count("look-up") == 20
    assert {"own", "look-up"} == set(at_crm[5:15])


@story
async def test_a_look_up_takes_a_turn_of_the_rate(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, FOUND))
        async with World(tmp_path, find_or_create(sink, rate="5/s")) as world:
            running = asyncio.create_task(world.dispatcher.run())
            world.clock.now += 100

            async def tick() -> None:
                while True:
                    await asyncio.sleep(0.01)
                    world.clock.now += 0.01

            ticking = asyncio.create_task(tick())
            await world.receive()
            await asyncio.to_thread(sink.wait_for, 2)
            ticking.cancel()
            world.dispatcher.stop()
            await running
    first, second = sink.requests
    assert second.at - first.at > 0.15


@story
async def test_what_waits_for_a_paused_destination_spends_nothing_of_its_budget(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(200, FOUND))
        async with World(tmp_path, elsewhere(sink, chat=", retry: {attempts: 2}")) as world:
            await world.dispatcher.holds.pause("crm", by="ann", reason="their migration")
            event_id = (await world.receive()).event_id
            for _ in range(5):
                await world.later(100)
            delivery, attempt = await told(world, event_id)
            assert (delivery.state, delivery.attempts, delivery.spent_s, attempt) == (
                DeliveryState.PENDING,
                0,
                0.0,
                None,
            )
            assert delivery.reason == "waits to look in crm: paused by ann: their migration"
            assert not sink.requests
            await world.dispatcher.holds.resume("crm", by="ann")
            await world.later(100)
            delivery, _ = await told(world, event_id)
    assert delivery.state is DeliveryState.DELIVERED


@story
async def test_look_ups_that_fail_open_the_circuit_of_the_destination_they_look_in(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(503))
        async with World(tmp_path, elsewhere(sink)) as world:
            for number in range(5):
                await world.receive(contact(number))
                await world.turn()
            assert world.dispatcher.holds.standing("crm").circuit == "open"
            assert world.dispatcher.holds.standing("chat").circuit == "closed"
            asked_before = len(sink.requests)
            event_id = (await world.receive(contact(9))).event_id
            await world.turn()
            delivery, _ = await told(world, event_id)
            assert "circuit open" in delivery.reason or len(sink.requests) == asked_before + 1
            sink.at("/crm", answer(200, FOUND))
            for _ in range(40):
                await world.later(30)
            rows = (await world.store.events()).rows
            sent = [row for row in rows if row.type == "contact.created"]
    assert {row.deliveries[0].state for row in sent} == {DeliveryState.DELIVERED}


@story
async def test_a_destination_with_many_look_ups_in_line_puts_the_others_back(tmp_path, monkeypatch):
    monkeypatch.setattr(lookups, "MOST_WAITING", 2)
    with Sink() as sink:
        sink.at("/crm", together(1, answer(200, FOUND, after_s=0.2)))
        async with World(tmp_path, elsewhere(sink, crm=", concurrency: 1")) as world:
            ids = [known.event_id for known in await asyncio.gather(*(world.receive(contact(n)) for n in range(6)))]
            await world.dispatcher.idle()
            put_back = [
                each for each in [(await told(world, id_))[0] for id_ in ids] if each.state is DeliveryState.PENDING
            ]
            assert put_back
            assert {each.reason for each in put_back} == {"waits to look in crm: others are ahead of it"}
            assert {each.attempts for each in put_back} == {0}
            for _ in range(6):
                await world.later(60)
            states = {(await told(world, id_))[0].state for id_ in ids}
    assert states == {DeliveryState.DELIVERED}


@story
async def test_large_answers_of_many_look_ups_do_not_fill_the_memory(tmp_path):
    """Each is kept until its delivery is sent, and the chat takes its time."""
    large = json.dumps({"items": [{"owner": "Ann"}], "more": "x" * 900_000}).encode()
    with Sink() as sink:
        sink.at("/crm", answer(200, large)).at("/chat", answer(200, after_s=0.3))
        async with World(tmp_path, elsewhere(sink, chat=", concurrency: 2")) as world:
            world.dispatcher._bodies._room = 24 * 1024 * 1024
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, sum(world.dispatcher._lookups._sizes.values()))
                    await asyncio.sleep(0.005)

            watching = asyncio.create_task(watch())
            ids = [known.event_id for known in await asyncio.gather(*(world.receive(contact(n)) for n in range(12)))]
            for _ in range(20):
                await world.later(5)
            watching.cancel()
            states = {(await told(world, id_))[0].state for id_ in ids}
            assert not world.dispatcher._lookups._sizes
            assert not world.dispatcher._bodies._held
    assert states == {DeliveryState.DELIVERED}
    assert most <= 6 * 8 * len(large)


@story
async def test_a_stop_ends_what_waits_in_line_at_once_and_keeps_it(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(200, FOUND, after_s=0.3))
        async with World(tmp_path, elsewhere(sink, crm=", concurrency: 1")) as world:
            ids = [known.event_id for known in await asyncio.gather(*(world.receive(contact(n)) for n in range(4)))]
            await asyncio.to_thread(sink.wait_for, 1)
            world.dispatcher.stop()
            await asyncio.wait_for(world.dispatcher.idle(), 10)
            deliveries = [(await told(world, id_))[0] for id_ in ids]
    assert {each.state for each in deliveries} == {DeliveryState.PENDING}
    assert {each.attempts for each in deliveries} == {0}
    assert len(sink.requests) == 1


@story
async def test_a_file_that_changes_during_a_look_up_has_it_made_again(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(200, FOUND, after_s=0.3), answer(200, FOUND))
        async with World(tmp_path, elsewhere(sink)) as world:
            event_id = (await world.receive()).event_id
            await asyncio.to_thread(sink.wait_for, 1)
            world.reload(elsewhere(sink, "{{ found.items[0].owner }}").replace("{person:", "{found:"))
            await world.turn()
            delivery, attempt = await told(world, event_id)
    assert delivery.state is DeliveryState.DELIVERED
    assert (delivery.attempts, [each.name for each in attempt.lookups]) == (1, ["found"])


@story
async def test_the_lease_covers_both_timeouts_and_the_waiting(tmp_path):
    with Sink() as sink:
        text = elsewhere(sink, crm=", timeout: 40s", chat=", timeout: 7s")
        async with World(tmp_path, text) as world:
            chat, crm = world.config.destinations["chat"], world.config.destinations["crm"]
            assert chat.longest_s == 7 + 40 + lookups.PATIENCE_S
            assert crm.longest_s == 40
            assert world.dispatcher.reserve(chat) == chat.longest_s + 20
            world.dispatcher._give_back("chat")


@story
async def test_an_ordered_destination_keeps_its_order_while_it_looks_up(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, FOUND, after_s=0.1), answer(200, FOUND))
        text = find_or_create(sink, order_by="attrs.id").replace(
            'name: "{{ attrs.firstname }}"', 'note: "{{ attrs.note }}"'
        )
        async with World(tmp_path, text) as world:
            for number in range(4):
                await world.receive(contact(number))
            await world.turn()
    written = [json.loads(each.body)["note"] for each in sink.requests if each.method == "PUT"]
    assert written == [0, 1, 2, 3]


# --- answers that are used again ---


@story
async def test_an_answer_is_used_again_for_as_long_as_the_file_says(tmp_path):
    with Sink(answer(200, FOUND)) as crm, Sink() as chat:
        text = elsewhere(crm, cache=", cache: 10m").replace(f"{crm.url}/chat", chat.url)
        async with World(tmp_path, text) as world:
            await world.receive(contact(1))
            await world.turn()
            second = (await world.receive(contact(2))).event_id
            await world.turn()
            _, attempt = await told(world, second)
            assert [(each.cached, each.found, each.status) for each in attempt.lookups] == [(True, True, 200)]
            assert (len(crm.requests), len(chat.requests)) == (1, 2)
            await world.later(601)
            await world.receive(contact(3))
            await world.turn()
    assert (len(crm.requests), len(chat.requests)) == (2, 3)


@story
async def test_what_was_found_before_a_write_at_the_same_host_is_not_used_again(tmp_path):
    """Otherwise the next event would create the person once more."""
    with Sink() as sink:
        sink.at("/crm/search", answer(200, NONE_FOUND), answer(200, FOUND))
        async with World(tmp_path, find_or_create(sink, cache=", cache: 10m")) as world:
            for number in range(2):
                await world.receive(contact(number))
                await world.turn()
    assert [each.split("?")[0] for each in asked(sink)] == [
        "GET /crm/search",
        "POST /crm/persons",
        "GET /crm/search",
        "PUT /crm/persons/7",
    ]


LOGINS = {
    "auth.oauth2": '{{grant: client_credentials, token_url: "{url}/token", client_id: {who}, client_secret: s}}',
    "auth.aws": "{{service: execute-api, region: eu-central-1, access_key_id: {who}, secret_access_key: s}}",
}


@pytest.mark.parametrize("login", LOGINS)
@story
async def test_an_answer_to_one_login_is_not_used_for_another_one_of_a_later_file(tmp_path, login):
    """The request looks the same: who asks is added when it is sent."""
    with Sink(answer(200, FOUND)) as crm, Sink() as chat:
        crm.at("/token", answer(200, b'{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}'))

        def file(who: str) -> str:
            auth = f"{{{login.removeprefix('auth.')}: {LOGINS[login].format(url=crm.url, who=who)}}}"
            text = elsewhere(crm, crm=f", auth: {auth}", cache=", cache: 10m")
            return text.replace(f"{crm.url}/chat", chat.url)

        async with World(tmp_path, file("ann")) as world:
            found = []
            for number, who in enumerate(["ann", "ann", "bob", "bob"]):
                world.reload(file(who))
                known = await world.receive(contact(number))
                await world.turn()
                _, attempt = await told(world, known.event_id)
                found += [each.cached for each in attempt.lookups]
    assert found == [False, True, False, True]


# --- once for each attempt ---


@pytest.mark.parametrize("recalls", [False, True], ids=["looks up", "recalls and looks up"])
@story
async def test_an_attempt_parses_its_event_once_whatever_it_does_before_it_is_sent(tmp_path, monkeypatch, recalls):
    parsed = []

    def counted(event):
        parsed.append(event.id)
        return payload_of(event)

    for module in (recalling, lookups, payload):
        monkeypatch.setattr(module, "payload_of", counted)
    with Sink(answer(200, FOUND)) as sink:
        remember = '    remember: {as: thread, per: "{{ attrs.id }}", values: {id: "json.items[0].id"}}\n'
        recall = '    recall: {thread: {from: thread, per: "{{ attrs.id }}"}}\n' + remember
        async with World(tmp_path, elsewhere(sink) + recall * recalls) as world:
            # Too large to be kept from when it was received.
            known = await world.receive(BODY + b" " * SMALL)
            await world.turn()
            delivery, attempt = await told(world, known.event_id)
    assert (delivery.state, bool(attempt.memory)) == (DeliveryState.DELIVERED, recalls)
    assert parsed == [known.event_id]


# --- what is redacted ---


@story
async def test_neither_the_address_nor_a_reason_shows_what_is_redacted_or_a_secret(tmp_path):
    from tests.world import REDACTING

    with Sink() as sink:
        sink.at("/crm/search", answer(422, b'{"message": "john@example.com and a-secret-token are wrong"}'))
        async with World(tmp_path, REDACTING + find_or_create(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            history = await world.store.event(event_id)
    kept = repr((history.deliveries, history.attempts))
    assert "answered 422" in kept
    for secret in ("john@example.com", "john%40example.com", "a-secret-token"):
        assert secret not in kept


# --- what a trace shows ---

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def traced(world: World, body: bytes = BODY) -> list[Span]:
    """The spans of look-ups and attempts of one event that its sender traces."""
    found: list[Span] = []
    world.gateway.spans = Spans(put=found.append, clock=world.clock.wall)
    source, _ = source_at(world.config, "/in/xobito")
    signed = source.verifier.sign(Request(headers=[], body=body), 0, "").headers
    headers = [(name.encode(), value.encode()) for name, value in signed]
    headers += [(b"content-type", b"application/json"), (b"traceparent", PARENT.encode())]
    await world.received(source, Request(headers=headers, body=body))
    await world.turn()
    return [each for each in found if each.kind == "CLIENT"]


@story
async def test_a_look_up_is_a_span_beside_the_attempt_that_its_request_names_as_the_parent(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(200, FOUND))
        async with World(tmp_path, elsewhere(sink)) as world:
            looked, tried = await traced(world)
    assert (looked.name, tried.name) == ("fetch crm", "attempt chat")
    assert looked.parent_id == tried.parent_id
    parents = [int(each.headers["traceparent"].split("-")[2], 16) for each in sink.requests]
    assert parents == [looked.span_id, tried.span_id]
    assert looked.error is None
    assert looked.attributes | {"gateway.event.id": "", "gateway.delivery.id": ""} == {
        "gateway.event.id": "", "gateway.event.type": "contact.created", "gateway.source": "xobito",
        "gateway.delivery.id": "", "gateway.route": "note", "gateway.destination": "crm", "gateway.fetch": "person",
        "http.request.method": "GET", "http.response.status_code": 200,
    }  # fmt: skip


@story
async def test_a_look_up_that_fails_is_a_span_with_its_reason_and_without_secrets(tmp_path):
    with Sink() as sink:
        sink.at("/crm/search", answer(503, b"no a-secret-token"))
        async with World(tmp_path, find_or_create(sink)) as world:
            looked, tried = await traced(world)
    assert (looked.name, looked.attributes["http.response.status_code"]) == ("fetch crm", 503)
    assert looked.error == tried.error
    assert "fetch person" in looked.error
    assert "a-secret-token" not in looked.error


@story
async def test_what_is_found_in_memory_is_no_span_of_its_own(tmp_path):
    with Sink(answer(200, FOUND)) as crm, Sink() as chat:
        text = elsewhere(crm, cache=", cache: 10m").replace(f"{crm.url}/chat", chat.url)
        async with World(tmp_path, text) as world:
            assert [each.name for each in await traced(world)] == ["fetch crm", "attempt chat"]
            assert [each.name for each in await traced(world, numbered(7))] == ["attempt chat"]
