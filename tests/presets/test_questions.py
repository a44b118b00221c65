"""The questions of single senders at a source of their preset: who is answered, and what is stored."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

from tests.web.test_door import AtTheDoor
from tests.world import story

SECRET = "a-secret-of-tests"
JSON = {"content-type": "application/json"}


def file_of(preset):
    return f"version: 1\nsources: {{asks: {{preset: {preset}, secret: {SECRET}}}}}\ndestinations: {{}}\n"


async def stored(desk):
    return (await desk.store.events()).rows


VALIDATION = [
    {
        "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
        "topic": "/subscriptions/xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
        "subject": "",
        "data": {
            "validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
            "validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/eventsubscriptions/estest/validate",
        },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2018-01-25T22:12:19.4556811Z",
        "metadataVersion": "1",
        "dataVersion": "1",
    }
]
CREATED = [
    {
        "topic": "/subscriptions/a",
        "id": "1",
        "eventType": "Microsoft.Storage.BlobCreated",
        "data": {"url": "https://a.example.com/blob"},
    },
    {"topic": "/subscriptions/a", "id": "2", "eventType": "recordInserted", "data": {"make": "Ducati"}},
]


@story
async def test_event_grid_is_answered_where_its_address_has_the_secret_and_each_element_of_a_batch_is_an_event(
    tmp_path,
):
    async with AtTheDoor(tmp_path, file_of("azure-event-grid")) as desk:
        body, token = json.dumps(VALIDATION).encode(), f"token={SECRET}".encode()
        answer = await desk.send(body, path="/in/asks", query=token, headers=JSON)
        assert (answer.status, json.loads(answer.body)) == (
            200,
            {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
        )
        assert (await desk.send(body, path="/in/asks", query=b"token=another", headers=JSON)).status == 401
        assert await stored(desk) == ()
        answer = await desk.send(json.dumps(CREATED).encode(), path="/in/asks", query=token, headers=JSON)
        assert answer.status == 202
        assert {row.type for row in await stored(desk)} == {"Microsoft.Storage.BlobCreated", "recordInserted"}


@story
async def test_an_address_of_event_grids_cloudevents_is_allowed_to_its_origin(tmp_path):
    async with AtTheDoor(tmp_path, file_of("azure-event-grid")) as desk:
        asked = {"webhook-request-origin": "eventgrid.azure.net"}
        answer = await desk.send(
            b"", path="/in/asks", method="OPTIONS", query=f"token={SECRET}".encode(), headers=asked
        )
        assert (answer.status, answer.headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
        answer = await desk.send(b"", path="/in/asks", method="OPTIONS", query=b"token=another", headers=asked)
        assert "webhook-allowed-origin" not in answer.headers


def of_twitch(body, moment, kind, secret=SECRET):
    said = (
        "e76c6bd4-55c9-4987-8304-da1588d8988b",
        datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z"),
    )
    made = hmac.new(secret.encode(), "".join(said).encode() + body, hashlib.sha256).hexdigest()
    return {
        **JSON,
        "twitch-eventsub-message-id": said[0],
        "twitch-eventsub-message-timestamp": said[1],
        "twitch-eventsub-message-signature": f"sha256={made}",
        "twitch-eventsub-message-type": kind,
    }


@story
async def test_twitchs_challenge_comes_back_as_text_and_a_revocation_is_an_event(tmp_path):
    async with AtTheDoor(tmp_path, file_of("twitch")) as desk:
        now = desk.clock.wall()
        about = {"subscription": {"type": "channel.follow", "status": "webhook_callback_verification_pending"}}
        body, kind = (
            json.dumps({"challenge": "pogchamp-kappa-360noscope", **about}).encode(),
            "webhook_callback_verification",
        )
        answer = await desk.send(body, path="/in/asks", headers=of_twitch(body, now, kind))
        assert (answer.status, answer.body) == (200, b"pogchamp-kappa-360noscope")
        assert answer.headers["content-type"].startswith("text/plain")
        refused = await desk.send(body, path="/in/asks", headers=of_twitch(body, now, kind, "another"))
        assert refused.status == 401
        assert await stored(desk) == ()
        body = json.dumps({"subscription": {"type": "channel.follow", "status": "authorization_revoked"}}).encode()
        answer = await desk.send(body, path="/in/asks", headers=of_twitch(body, now, "revocation"))
        assert answer.status == 202
        assert [row.type for row in await stored(desk)] == ["channel.follow"]


def of_front(body, moment, secret=SECRET, **more):
    said = str(int(moment * 1000))
    made = hmac.new(secret.encode(), said.encode() + b":" + body, hashlib.sha256).digest()
    signature = base64.b64encode(made).decode()
    return {**JSON, "x-front-request-timestamp": said, "x-front-signature": signature, **more}


@story
async def test_fronts_challenge_comes_back_and_is_no_event(tmp_path):
    async with AtTheDoor(tmp_path, file_of("front")) as desk:
        now, asked = desk.clock.wall(), {"x-front-challenge": "b1c5"}
        body = b'{"type": "sync", "authorization": {"id": "cmp_abc"}}'
        answer = await desk.send(body, path="/in/asks", headers=of_front(body, now, **asked))
        assert (answer.status, answer.json) == (200, {"challenge": "b1c5"})
        assert (await desk.send(body, path="/in/asks", headers=of_front(body, now, "another", **asked))).status == 401
        assert await stored(desk) == ()
        body = b'{"type": "tag_added", "payload": {"id": "evt_1"}}'
        assert (await desk.send(body, path="/in/asks", headers=of_front(body, now))).status == 202
        assert [row.type for row in await stored(desk)] == ["tag_added"]
