"""The pages that show what leads where, what was refused, what people did, and what an entry would make of an event."""

import asyncio
import json
from urllib.parse import urlencode

import pytest

from gateway.cli.offline import Offline
from gateway.cli.show import _last_error
from gateway.config import load
from gateway.operate import refusals
from gateway.operate.refusals import Which
from gateway.operate.search import Search
from gateway.store.queries import EventQuery, Rejected
from tests.sink import Sink, answer
from tests.web.desk import READ_TOKEN, TOKEN, Desk, GuardedDesk
from tests.world import BODY, numbered, story, to_crm

HTML = {"accept": "text/html"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
PAGES = [
    "/",
    "/destinations",
    "/dead",
    "/refused",
    "/routes",
    "/routes/all",
    "/sources/xobito",
    "/activity",
    "/playground",
]


def refused(number: int = 0, **changes) -> Rejected:
    return Rejected(
        **{
            "at": 1_000.0 + number, "source": "xobito", "path": "/in/xobito", "status": 401, "client": "203.0.113.7",
            "reason": "x-webhook-signature does not match the body and the secret", **changes,
        }
    )  # fmt: skip


async def posted(desk: Desk, path: str, token: str = "", **fields: str):
    headers = {**HTML, **FORM, **({"authorization": f"Bearer {token}"} if token else {})}
    return await desk.client.post(path, content=urlencode(fields), headers=headers)


# --- every page ---


@pytest.mark.parametrize("path", PAGES)
@story
async def test_a_page_is_there_for_both_tokens_and_for_nobody_else(tmp_path, path):
    with Sink() as sink:
        async with GuardedDesk(tmp_path, to_crm(sink)) as desk:
            await desk.receive()
            await desk.turn()
            for token in (TOKEN, READ_TOKEN):
                found = await desk.client.get(path, headers={**HTML, "authorization": f"Bearer {token}"})
                assert found.status_code == 200, found.text[:500]
            assert (await desk.client.get(path, headers=HTML)).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/routes/nothing",
        "/sources/nothing",
        "/playground?route=nothing",
        "/playground?event=evt_1",
        "/playground?sample=xobito/nothing",
    ],
)
@story
async def test_what_is_not_there_is_said(tmp_path, path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            found = await desk.client.get(path, headers=HTML)
            assert found.status_code == 404
            assert "nothing" in found.text or "evt_1" in found.text


@story
async def test_the_map_has_numbers_and_says_what_is_silent(tmp_path):
    with Sink() as sink:
        more = "unmatched: [{name: never, to: crm}]\n"
        async with Desk(tmp_path, to_crm(sink) + more) as desk:
            for number in range(3):
                await desk.receive(numbered(number))
            await desk.turn()
            await desk.store.reject([refused(count=7, at=desk.clock.wall())])
            page = (await desk.client.get("/routes", headers=HTML)).text
            assert "<b>3</b> events/h" in page
            assert "<b>7</b> refused" in page
            assert "<b>3</b> delivered/h" in page
            assert page.count("silent since the reload") == 1
            desk.clock.now += 5.0
            desk.reloader.since = desk.clock.wall()
            page = (await desk.client.get("/routes", headers=HTML)).text
            assert "silent since the reload" not in page, "nothing came since then that it could have matched"
            desk.clock.now += 5.0
            await desk.receive(numbered(9))
            page = (await desk.client.get("/routes", headers=HTML)).text
            assert page.count("silent since the reload") == 1, "all matched, never did not"


@story
async def test_the_page_of_an_entry_shows_how_it_is_written_and_its_events(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            event_id = (await desk.receive()).event_id
            await desk.turn()
            page = (await desk.client.get("/routes/all", headers=HTML)).text
            assert event_id in page
            assert "/playground?route=all" in page


@story
async def test_the_timeline_says_who_did_what_and_why(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.operations.pause("crm", by="ann", reason="their <b>migration</b>")
            desk.write(to_crm(sink).replace("name: all", "name: every"))
            await desk.reloader.reload(by="file watcher")
            page = (await desk.client.get("/activity", headers=HTML)).text
            assert "ann" in page
            assert "their &lt;b&gt;migration&lt;/b&gt;" in page
            assert "1 route added (every), 1 route removed (all)" in page
            charts = (await desk.client.get("/destinations", headers=HTML)).text
            assert "reload by file watcher 0 min ago" in charts
            assert "pause by ann 0 min ago" in charts


# --- refused requests ---


@story
async def test_refused_requests_are_filtered_and_each_says_what_to_do(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.store.reject(
                [
                    refused(),
                    refused(1, client="198.51.100.2", reason="over 1048576 bytes", status=413),
                    refused(2, source="unknown", status=404, path="/in/xobit", reason="no source there"),
                ]
            )
            page = (await desk.client.get("/refused", headers=HTML)).text
            assert "Its secret at Xobito differs" in page
            assert "Raise max_body" in page
            assert "the sources listen at /in/xobito" in page
            for query, there, gone in (
                ("source=unknown", "no source there", "over 1048576"),
                ("client=198.51", "over 1048576", "does not match"),
                ("reason=401", "does not match", "over 1048576"),
                ("reason=SIGNATURE", "does not match", "over 1048576"),
            ):
                page = (await desk.client.get(f"/refused?{query}", headers=HTML)).text
                assert there in page
                assert gone not in page
            status, rows = await desk.ask("/api/rejected?source=unknown")
            assert (status, [each["hint"][:7] for each in rows]) == (200, ["Correct"])


def test_a_filter_that_is_empty_means_all():
    rows = [refused(), refused(1, source="github")]
    assert refusals.meant(rows, Which()) == rows
    assert refusals.meant(rows, Which(source="github")) == rows[1:]


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 413, 415, 429, 431, 503])
def test_every_refusal_has_a_remedy(tmp_path, status):
    (tmp_path / "routes.yaml").write_text("version: 1\nsources: {xobito: {preset: xobito, secret: s3cret-of-xobito}}\n")
    config = load(tmp_path / "routes.yaml", environ={})
    hint = refusals.hint(config, refused(status=status, reason="something new"))
    assert hint.endswith(".")
    assert "s3cret-of-xobito" not in hint


@story
async def test_a_request_that_is_refused_appears_on_a_page_that_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.web.live.INTERVAL_S", 0.0)
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.store.reject([refused()])
            turns = desk.live.turns(Search(query=EventQuery()), refused_of="xobito")
            assert not (await anext(turns)).refused
            await desk.store.reject([refused(1, source="github"), refused(2)])
            seen = []
            while not seen:
                seen = list((await anext(turns)).refused)
            assert [each.at for each in seen] == [1_002.0]
            await turns.aclose()


# --- the playground ---


@story
async def test_the_playground_shows_what_is_written_and_keeps_what_it_is_given(tmp_path):
    with Sink() as sink:
        file = f"destinations: {{crm: {{url: '{sink.url}'}}}}\nroutes:\n  - name: all  # a note\n    to: crm\n"
        async with Desk(tmp_path, file) as desk:
            page = (await desk.client.get("/playground?route=all", headers=HTML)).text
            assert "- name: all  # a note" in page
            assert "What would be sent" in page
            entry = "name: mine\nto: crm\nbody: {text: '</textarea><script>{{ attrs.firstname }}'}\n"
            page = (await posted(desk, "/playground", source="xobito", payload=BODY.decode(), entry=entry)).text
            assert "&lt;/textarea&gt;&lt;script&gt;" in page
            assert "</textarea><script>" not in page
            assert "mine" in page
            assert sink.requests == []
            assert (await desk.store.events()).rows == ()


@story
async def test_a_stored_event_comes_into_the_playground_as_it_may_be_shown(tmp_path):
    text = (
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret, redact: [attrs.email]}}\n"
        "destinations: {crm: {url: 'http://127.0.0.1:1'}}\nroutes: [{name: all, to: crm}]\n"
    )
    async with Desk(tmp_path, text) as desk:
        event_id = (await desk.receive()).event_id
        page = (await desk.client.get(f"/playground?event={event_id}", headers=HTML)).text
        assert json.loads(BODY)["data"]["attributes"]["email"] not in page
        assert "•••" in page


@story
async def test_a_read_token_plays_and_cannot_send(tmp_path):
    with Sink(answer(200)) as sink:
        async with GuardedDesk(tmp_path, to_crm(sink)) as desk:
            fields = {"source": "xobito", "payload": BODY.decode(), "delivery": "all\ncrm", "step": "do"}
            assert (await posted(desk, "/playground", READ_TOKEN, **fields)).status_code == 200
            assert (await posted(desk, "/playground/send", READ_TOKEN, **fields)).status_code == 403
            assert sink.requests == []
            page = await posted(desk, "/playground", READ_TOKEN, **fields)
            assert "Send …" not in page.text


@story
async def test_sending_is_asked_about_first(tmp_path):
    with Sink(answer(200, b"taken")) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            fields = {"source": "xobito", "payload": BODY.decode(), "delivery": "all\r\ncrm"}
            asked = await posted(desk, "/playground/send", **fields)
            assert "Send this to" in asked.text
            assert sink.requests == []
            done = await posted(desk, "/playground/send", **fields, step="do", by="ann")
            assert "accepted it" in done.text
            assert len(sink.requests) == 1
            [activity] = (await desk.store.activities()).rows
            assert (activity.verb, activity.by, activity.subject) == ("send", "ann", "crm")


@story
async def test_a_message_that_choose_does_not_choose_is_answered_with_400_and_the_reason(tmp_path):
    with Sink(answer(200)) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            entry = "name: mine\nto: crm\nchoose: [{if: attrs.firstname == 'Jane', body: {}}]\n"
            fields = {"source": "xobito", "payload": BODY.decode(), "entry": entry, "delivery": "mine\ncrm"}
            refused = await posted(desk, "/playground/send", **fields, step="do", by="ann")
            assert refused.status_code == 400
            assert "nothing was sent: no element of choose holds" in refused.text
            assert sink.requests == []


@story
async def test_what_looks_something_up_is_played_and_not_offered_to_be_sent(tmp_path):
    with Sink(answer(200)) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            looking = "fetch: {person: {from: crm, path: /p}}"
            for more, is_offered in (("delay: 1h", True), (looking, False)):
                entry = f"name: mine\nto: crm\nbody: {{}}\n{more}\n"
                page = (await posted(desk, "/playground", source="xobito", payload=BODY.decode(), entry=entry)).text
                assert ("Send …" in page) == is_offered
                assert ("fetch <strong>" in page) == (not is_offered)
                assert ("waits until" in page.partition("What would be sent")[2]) == is_offered


@story
async def test_a_form_of_another_site_is_refused(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            for path in ("/playground", "/playground/send"):
                found = await desk.client.post(path, content="a=b", headers={**FORM, "origin": "https://evil.example"})
                assert found.status_code == 403


@story
async def test_an_event_over_which_the_process_died_is_not_played_here(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink, paused=True)) as desk:
            event_id = (await desk.receive()).event_id
            await desk.store.crashed((await desk.delivery(event_id)).id)
            found = await desk.client.get(f"/playground?event={event_id}", headers=HTML)
            assert found.status_code == 400
            assert "gateway explain" in found.text
            rows = await desk.ask("/api/events")
            assert rows[1]["events"][0]["summary"] == ""


# --- why it is open ---


@story
async def test_a_destination_says_its_last_error_in_its_own_words_first(tmp_path):
    with Sink(answer(422, b'{"message": "property unknown"}')) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            event_id = (await desk.receive()).event_id
            await desk.turn()
            _, [crm] = await desk.ask("/api/destinations")
            assert crm["condition"] == "giving up"
            assert crm["last_error"]["event_id"] == event_id
            assert crm["last_error"]["reason"].startswith("answered 422: property unknown")
            for path in ("/", "/destinations", "/dead?destination=crm", f"/events/{event_id}"):
                assert "property unknown" in (await desk.client.get(path, headers=HTML)).text


@story
async def test_another_replica_or_the_next_process_finds_the_last_error_in_the_store(tmp_path):
    with Sink(answer(422, b'{"message": "property unknown"}')) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.receive()
            await desk.turn()
        async with Desk(tmp_path, to_crm(sink)) as desk:
            _, [crm] = await desk.ask("/api/destinations")
            assert crm["last_error"]["reason"].startswith("answered 422: property unknown")


@story
async def test_one_with_dead_letters_is_not_healthy(tmp_path):
    with Sink(answer(422)) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.receive()
            await desk.turn()
            desk.clock.now += 7200
            sink.at("/", answer(200))
            await desk.receive(numbered(1))
            await desk.turn()
            _, [crm] = await desk.ask("/api/destinations")
            assert crm["condition"] == "dead letters"


@story
async def test_what_waits_for_another_attempt_is_tried_at_once(tmp_path):
    with Sink(answer(503), answer(503), answer(200)) as sink:
        async with Desk(tmp_path, to_crm(sink, retry={"for": "1d", "first": "1h"})) as desk:
            event_id = (await desk.receive()).event_id
            await desk.turn()
            [delivery] = (await desk.ask(f"/api/events/{event_id}"))[1]["deliveries"]
            assert delivery["due_in_s"] > 1000.0
            page = (await desk.client.get(f"/events/{event_id}", headers=HTML)).text
            assert "Try now" in page
            assert await desk.ask(f"/api/events/{delivery['id']}/try", {"by": "ann"}) == (200, {"tried": 1})
            await desk.turn()
            assert len(sink.requests) == 2
            gone = await posted(desk, f"/events/{event_id}/try", ids=delivery["id"])
            assert gone.headers["location"] == f"/events/{event_id}"
            await desk.turn()
            assert len(sink.requests) == 3
            assert await desk.ask(f"/api/events/{event_id}/try", {"by": "ann"}) == (200, {"tried": 0})
            assert (await desk.ask("/api/events/evt_none/try", {"by": "ann"}))[0] == 404
            done = (await desk.ask("/api/activity"))[1]["activity"]
            assert [(each["verb"], each["subject"], each["by"]) for each in done] == [
                ("try", delivery["id"], "console"),
                ("try", delivery["id"], "ann"),
            ]
            assert f"/events/{delivery['id']}" in (await desk.client.get("/activity", headers=HTML)).text


@story
async def test_what_waits_for_a_destination_that_is_down_names_its_last_error_whether_a_gateway_runs_or_not(tmp_path):
    with Sink() as sink:
        routes = to_crm(sink, retry={"for": "1d", "first": "1h"})
    async with Desk(tmp_path, routes) as desk:
        tried = [(await desk.receive(numbered(number))).event_id for number in range(5)]
        await desk.turn()
        held = (await desk.receive(numbered(5))).event_id
        await desk.turn()

        def stored(event_id: str):
            with Offline.opened(
                f"sqlite:///{tmp_path}/gateway.db", lambda: desk.gateway.config, has_file=True
            ) as found:
                return found.event(event_id)

        for event_id, attempts in ((tried[0], 1), (held, 0)):
            for document in ((await desk.ask(f"/api/events/{event_id}"))[1], await asyncio.to_thread(stored, event_id)):
                [delivery] = document["deliveries"]
                assert len(delivery["attempts_made"]) == attempts
                assert delivery["held"].startswith("circuit open after 5 consecutive failures")
                assert "refused" in delivery["last_error"]["reason"].lower()
                assert ("last error of crm" in _last_error(delivery)) == (attempts == 0)
            page = (await desk.client.get(f"/events/{event_id}", headers=HTML)).text
            assert ("last error of <bdi>crm</bdi>" in page) == (attempts == 0)


@story
async def test_try_now_and_resume_say_what_they_did(tmp_path):
    with Sink(answer(429, headers=[("Retry-After", "600")])) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.receive()
            await desk.turn()
            _, [crm] = await desk.ask("/api/destinations")
            assert crm["condition"] == "throttled"
            assert "Try now" in (await desk.client.get("/destinations", headers=HTML)).text
            _, tried = await desk.ask("/api/destinations/crm/try", {})
            assert tried["did"] == "crm is sent to again now, although it asked to wait"
            _, resumed = await desk.ask("/api/destinations/crm/resume", {})
            assert resumed["did"] == "crm was not paused, and nothing holds it now"
            gone = await posted(desk, "/destinations/crm/try")
            assert gone.headers["location"] == "/destinations?did=nothing#d-crm"
            assert "nothing holds it now" in (await desk.client.get("/destinations?did=nothing", headers=HTML)).text
