"""What a sender shows to prove who it is goes nowhere: not into the store, the API, the live stream, the log or a backup."""

import json

import pytest

from gateway import presets, telemetry
from gateway.event.payload import SECRET_HEADERS
from gateway.pipeline import receive
from gateway.routing.questions import source_at
from gateway.signatures import Request, Verified
from gateway.signatures.declared import scheme_of
from gateway.store.nouns import NewEvent
from tests.sink import Sink
from tests.web.desk import READ_TOKEN, GuardedDesk
from tests.world import story

SHOWN = "shown-by-the-sender-0123456789"
#: How the secret gets into a request, by a line of the source.
WAYS = {
    "header-token": ("preset: header-token", "x-webhook-token", SHOWN),
    "gitlab-token": ("preset: gitlab-token", "x-gitlab-token", SHOWN),
    "telegram": ("preset: telegram", "x-telegram-bot-api-secret-token", SHOWN),
    "a header of its own": ("verify: {token: {header: X-My-Key}}, type: ping", "x-my-key", SHOWN),
    "another header of a preset": ("preset: gitlab-token, verify: {token: {header: x-lab}}", "x-lab", SHOWN),
    "bearer": ("preset: bearer", "authorization", f"Bearer {SHOWN}"),
}


def test_the_header_of_every_preset_that_shows_its_secret_is_never_kept_whatever_the_source():
    shown = {
        scheme_of(block).secret_header
        for name in presets.NAMES
        for block in presets.load(name).verify
        if block != {"none": True} and "jwt" not in block
    }
    assert shown - {""} == SECRET_HEADERS


@pytest.mark.parametrize("way", WAYS)
def test_a_secret_that_is_shown_is_nowhere_and_a_read_token_cannot_forge_an_event(tmp_path, way, monkeypatch):
    source, header, value = WAYS[way]
    lines = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: lines.append((name, fields)))

    @story
    async def scenario():
        with Sink() as sink:
            file = f"version: 1\nsources: {{it: {{{source}, secret: {SHOWN}}}}}\n"
            file += f"destinations: {{crm: {{url: {sink.url}}}}}\nalways: [{{to: crm}}]\n"
            async with GuardedDesk(tmp_path, file) as desk:
                own, _ = source_at(desk.config, "/in/it")
                headers = [
                    (header.encode(), value.encode()),
                    (b"content-type", b"application/json"),
                    (b"x-kept", b"yes"),
                ]
                request = Request(headers=headers, body=b'{"type": "ping", "update_id": 7}')
                assert isinstance(own.verifier.verify(request, desk.clock()), Verified)
                [known] = (await receive(desk.gateway, desk.dispatcher, desk.config, own, request)).appended
                await desk.turn()
                seen = [repr(await desk.store.event(known.event_id)), repr(lines)]
                for path in (
                    "/api/events",
                    f"/api/events/{known.event_id}",
                    "/api/rejected",
                    "/api/config",
                    f"/events/{known.event_id}",
                ):
                    status, answer = await desk.ask(path, authorization=f"Bearer {READ_TOKEN}")
                    assert status == 200
                    seen.append(json.dumps(answer))
                assert "x-kept" in seen[0]
                await desk.store.backup(str(tmp_path / "backup.db"))
                files = b"".join(file.read_bytes() for file in tmp_path.glob("*.db*"))
                assert b"x-kept" in files
                assert SHOWN.encode() not in files
                assert not [each for each in seen if SHOWN in each]
                [sent] = sink.requests
                assert SHOWN not in repr(sent.headers)

    scenario()


@story
async def test_a_secret_that_an_older_release_stored_is_not_shown_and_is_removed_in_upkeep(tmp_path):
    file = f"version: 1\nsources: {{it: {{verify: {{token: {{header: x-my-key}}}}, type: ping, secret: {SHOWN}}}}}\ndestinations: {{}}\n"
    async with GuardedDesk(tmp_path, file) as desk:
        [received] = desk.config.sources["it"].received([(b"content-type", b"application/json")], b"{}", now=1.0)
        headers = {**received.event.headers, "x-my-key": SHOWN, "x-gitlab-token": "another", "x-kept": "yes"}
        event = type(received.event)(
            **{name: getattr(received.event, name) for name in received.event.__slots__} | {"headers": headers}
        )
        await desk.store.append([NewEvent(event=event, key=received.key, window_s=60.0)])
        desk.store._database.file.db.execute("UPDATE uncleansed SET last_event = 1")
        status, shown = await desk.ask(f"/api/events/{event.id}", authorization=f"Bearer {READ_TOKEN}")
        assert (status, sorted(shown["headers"])) == (200, ["content-type", "x-kept"])
        _, found = await desk.ask(f"/api/events?q=headers.x-my-key={SHOWN}", authorization=f"Bearer {READ_TOKEN}")
        assert found["events"] == []
        await desk.upkeep.tidy()
        assert sorted((await desk.store.event(event.id)).event.headers) == ["content-type", "x-kept"]
