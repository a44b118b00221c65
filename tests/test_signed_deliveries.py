"""Signed deliveries on a real socket: what arrives is what was signed, and an answer can turn its sender off."""

import base64
import json

from cryptography.hazmat.primitives.asymmetric import ed25519

from gateway import presets
from gateway.model import DeliveryState, Secret
from gateway.signatures import Credential, Request, Verified, Verifier
from gateway.signatures.declared import scheme_of
from tests.sink import Received, Sink, answer
from tests.world import BODY, World, story, to_crm

NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
SEED = bytes(range(32))


def verdict(preset: str, secret: str, got: Received, now: float, url: str = ""):
    headers = [(name.encode(), value.encode()) for name, value in got.headers.items()]
    scheme = scheme_of(presets.load(preset).verify[0])
    verifier = Verifier((scheme,), (Credential(Secret(secret)),), url)
    return verifier.verify(Request(method=got.method, headers=headers, body=got.body), now)


@story
async def test_every_attempt_is_signed_anew_under_the_same_id(tmp_path):
    with Sink(answer(503), answer(200)) as sink:
        async with World(tmp_path, to_crm(sink, sign={"secret": [NEW, OLD]})) as world:
            await world.receive()
            await world.turn()
            first_at = world.clock.now
            await world.later(400)
            first, second = sink.wait_for(2)
            last_at = world.clock.now
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 400
    for got, now in ((first, first_at), (second, last_at)):
        assert verdict("standard-webhooks", NEW, got, now) == Verified()
        assert verdict("standard-webhooks", OLD, got, now) == Verified()
    assert verdict("standard-webhooks", NEW, first, last_at) != Verified()


@story
async def test_the_exact_bytes_of_an_event_are_signed_when_it_is_forwarded(tmp_path):
    with Sink(answer(200)) as sink:
        signed = json.dumps({"url": sink.url, "sign": {"preset": "github", "secret": "0123456789abcdef"}})
        text = f"destinations: {{crm: {signed}}}\nroutes: [{{name: all, to: crm}}]\n"
        async with World(tmp_path, text) as world:
            await world.receive()
            await world.turn()
            [got] = sink.wait_for(1)
    assert got.body == BODY
    assert verdict("github", "0123456789abcdef", got, 0) == Verified()


@story
async def test_a_private_key_signs_what_anyone_can_verify(tmp_path):
    key = "whsk_" + base64.b64encode(SEED).decode()
    with Sink(answer(200)) as sink:
        async with World(tmp_path, to_crm(sink, sign={"key": key})) as world:
            await world.receive()
            await world.turn()
            [got] = sink.wait_for(1)
    version, _, signature = got.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    signed = b"%s.%s.%s" % (got.headers["webhook-id"].encode(), got.headers["webhook-timestamp"].encode(), got.body)
    public = ed25519.Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    public.verify(base64.b64decode(signature), signed)


@story
async def test_the_address_that_is_signed_is_the_one_that_is_asked(tmp_path):
    with Sink(answer(200)) as sink:
        signed = json.dumps({"url": sink.url + "/base", "sign": {"preset": "square", "secret": "0123456789abcdef"}})
        entry = "{name: all, to: crm, path: '/contacts/{{ attrs.id }}', body: {id: '{{ attrs.id }}'}}"
        async with World(tmp_path, f"destinations: {{crm: {signed}}}\nroutes: [{entry}]\n") as world:
            await world.receive()
            await world.turn()
            [got] = sink.wait_for(1)
    assert got.path == "/base/contacts/451"
    assert verdict("square", "0123456789abcdef", got, 0, sink.url + got.path) == Verified()


@story
async def test_a_request_to_aws_is_signed_with_the_bytes_it_sends(tmp_path):
    aws = {"service": "execute-api", "region": "eu-central-1", "access_key_id": "AKID", "secret_access_key": "wJalr"}
    with Sink(answer(200)) as sink:
        async with World(tmp_path, to_crm(sink, auth={"aws": aws}, sign={"secret": NEW})) as world:
            await world.receive()
            await world.turn()
            [got] = sink.wait_for(1)
    assert got.headers["host"] == sink.url.removeprefix("http://")
    assert got.headers["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKID/19700101/eu-central-1/execute-api/"
    )
    assert "webhook-id;webhook-signature;webhook-timestamp;x-amz-date" in got.headers["authorization"]


@story
async def test_what_cannot_be_signed_is_dead_and_was_not_sent(tmp_path):
    with Sink(answer(200)) as sink:
        sign = {"preset": "adyen", "secret": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"}
        async with World(tmp_path, to_crm(sink, sign=sign)) as world:
            appended = await world.receive()
            await world.turn()
            delivery = await world.delivery(appended.event_id)
    assert delivery.state is DeliveryState.DEAD
    assert delivery.reason.startswith("cannot be signed: no text or whole number at payload.notificationItems")
    assert sink.requests == []


@story
async def test_what_a_destination_repeats_of_its_secrets_is_not_kept(tmp_path):
    secrets = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrEXAMPLE", "session_token": "token-of-the-key"}
    aws = {"service": "sqs", "region": "eu-central-1", **secrets}
    said = f"bad signature by {' '.join(secrets.values())} and {NEW}, {NEW.removeprefix('whsec_')}"
    with Sink(answer(400, said.encode())) as sink:
        async with World(tmp_path, to_crm(sink, auth={"aws": aws}, sign={"secret": NEW})) as world:
            appended = await world.receive()
            await world.turn()
            delivery = await world.delivery(appended.event_id)
    assert "bad signature by *** *** *** and ***, ***" in delivery.reason
    assert delivery.last_answer == "bad signature by *** *** *** and ***, ***"


# --- what its receiver asks ---


def asking(status: int, what: str):
    return answer(status, headers=[("Webhook-Delivery", what)])


@story
async def test_an_answer_that_disables_pauses_its_destination_and_keeps_what_waits(tmp_path):
    with Sink(asking(503, "disable"), answer(200)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            appended = await world.receive()
            await world.later(100_000)
            pause = world.dispatcher.holds.standing("crm").paused
            waiting = await world.delivery(appended.event_id)
            assert len(sink.requests) == 1
            await world.dispatcher.holds.resume("crm", by="test")
            await world.later(1)
            delivered = await world.delivery(appended.event_id)
    assert pause.reason == "its answer said webhook-delivery: disable: ask the people who run it, then resume it"
    assert (waiting.state, waiting.spent_s) == (DeliveryState.PENDING, 0.0)
    assert delivered.state is DeliveryState.DELIVERED


@story
async def test_a_success_that_disables_is_delivered_and_the_next_one_waits(tmp_path):
    with Sink(asking(200, "disable")) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            appended = await world.receive()
            await world.turn()
            delivered = await world.delivery(appended.event_id)
            is_paused = world.dispatcher.holds.is_paused("crm")
    assert delivered.state is DeliveryState.DELIVERED
    assert is_paused


@story
async def test_an_answer_that_aborts_ends_its_delivery_and_nothing_else(tmp_path):
    with Sink(asking(503, "abort-message")) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            appended = await world.receive()
            await world.turn()
            delivery = await world.delivery(appended.event_id)
            is_paused = world.dispatcher.holds.is_paused("crm")
    assert delivery.state is DeliveryState.DEAD
    assert delivery.reason.endswith("its answer says webhook-delivery: abort-message, so it is not tried again")
    assert not is_paused


@story
async def test_a_success_that_aborts_is_delivered(tmp_path):
    with Sink(asking(200, "abort-message")) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            appended = await world.receive()
            await world.turn()
            delivery = await world.delivery(appended.event_id)
    assert delivery.state is DeliveryState.DELIVERED


@story
async def test_an_address_made_from_the_event_disables_only_its_own_delivery(tmp_path):
    with Sink(asking(503, "disable")) as sink:
        text = to_crm(sink).replace("to: crm", "to: crm, path: '/{{ attrs.id }}'")
        async with World(tmp_path, text) as world:
            appended = await world.receive()
            await world.turn()
            delivery = await world.delivery(appended.event_id)
            is_paused = world.dispatcher.holds.is_paused("crm")
    assert delivery.state is DeliveryState.DEAD
    assert "only this delivery is given up" in delivery.reason
    assert not is_paused
