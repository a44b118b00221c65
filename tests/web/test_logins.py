"""The API takes a login, and never gives one; the console shows how it is."""

import time

from gateway.model import DeliveryState
from tests.oauth.given import ENVIRON, guarded, to_crm
from tests.oauth_server import AuthorizationServer
from tests.sink import Sink
from tests.web.desk import READ_TOKEN, TOKEN, GuardedDesk
from tests.world import numbered, story

WRITER, READER = f"Bearer {TOKEN}", f"Bearer {READ_TOKEN}"


@story
async def test_a_login_is_taken_from_those_who_may_write_and_frees_what_waited_for_it(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "device_code", device_url=f"{server.url}/device")
        desk = GuardedDesk(tmp_path, text, environ=ENVIRON)
        desk.clock.jump = time.time() - desk.clock.now
        async with desk:
            event_id = (await desk.receive(numbered(1))).event_id
            await desk.turn()
            _, [crm] = await desk.ask("/api/destinations", authorization=READER)
            assert (crm["condition"], crm["login"]["state"]) == ("paused", "none")
            token = server.first_refresh_token()
            path, given = "/api/destinations/crm/login", {"refresh_token": token, "by": "ann"}
            assert (await desk.ask(path, given, authorization=READER))[0] == 403
            assert (await desk.ask("/api/destinations/cmr/login", given, authorization=WRITER))[0] == 404
            for wrong in ({}, {**given, "refresh_token": "a b"}, {**given, "refresh_token": ""}, {**given, "by": "\n"}):
                status, answer = await desk.ask(path, wrong, authorization=WRITER)
                assert (status, token in str(answer)) == (400, False)
            assert await desk.ask(path, given, authorization=WRITER) == (200, {"destinations": ["crm"]})
            await desk.turn()
            assert (await desk.delivery(event_id)).state is DeliveryState.DELIVERED
            _, [crm] = await desk.ask("/api/destinations", authorization=READER)
            assert (crm["login"]["state"], crm["login"]["by"], crm["login"]["grant"]) == ("ok", "ann", "device_code")
            assert crm["login"]["until"].startswith("20")
            _, page = await desk.ask("/destinations", authorization=READER, accept="text/html")
            assert "Login at <bdi>127.0.0.1</bdi> (device_code) by <bdi>ann</bdi>; token valid until " in page
            _, done = await desk.ask("/api/activity", authorization=READER)
            assert [(each["verb"], each["subject"], each["by"]) for each in done["activity"]][-2:] == [
                ("login", "crm", "ann"), ("pause", "crm", "the gateway"),
            ]  # fmt: skip
            for shown in ("/api/destinations", "/destinations", "/api/config", "/api/activity", "/metrics"):
                answer = str(await desk.ask(shown, authorization=READER))
                assert not any(each in answer for each in (token, *server.access, *server.refresh))
