"""The JSON API over a real store: what it answers, and what it refuses."""

import json
from dataclasses import replace

import pytest

from gateway.store.nouns import Retention
from tests.operate.test_operations import a_contact, dead
from tests.sink import Sink, answer
from tests.web.desk import Desk
from tests.world import numbered, story, to_crm


@story
async def test_events_are_pages_newest_first(tmp_path):
    async with Desk(tmp_path, "") as desk:
        ids = [(await desk.receive(numbered(number))).event_id for number in range(5)]
        _, first = await desk.ask("/api/events?limit=2")
        _, second = await desk.ask(f"/api/events?limit=2&before={first['next']}")
        _, third = await desk.ask(f"/api/events?limit=2&before={second['next']}")
        _, newer = await desk.ask(f"/api/events?after={ids[2]}")
    seen = [row["id"] for page in (first, second, third) for row in page["events"]]
    assert seen == ids[::-1]
    assert (third["next"], third["searched_to"]) == (None, None)
    assert [row["id"] for row in newer["events"]] == [ids[4], ids[3]]


@pytest.mark.parametrize("is_indexed", [False, True], ids=["not yet indexed", "indexed"])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=data.id=451", [451]),
        ("q=attrs.id=7", [7]),
        ("q=attrs.lastname=Lovelace", [451]),
        ("q=lovelace", [451]),
        ("q=lovel", [451]),
        ("q=headers.content-type=application/json", [7, 451]),
        ("q=nobody", []),
        ("source=xobito", [7, 451]),
        ("source=other", []),
        ("type=contact.*", [7, 451]),
        ("type=contact.updated", [7]),
        ("destination=crm&state=delivered", [7]),
        ("destination=crm&state=dead", [451]),
        ("destination=gone", []),
        ("since=1h", [7, 451]),
        ("until=1h", []),
        ("q=data.id=7&type=contact.created", []),
    ],
)
def test_a_filter_narrows(tmp_path, query, found, is_indexed):
    @story
    async def scenario():
        async with Desk(tmp_path, to_crm(sink)) as desk:
            by_id = {(await desk.receive(a_contact(451, "Lovelace"))).event_id: 451}
            await desk.turn()
            by_id[(await desk.receive(a_contact(7, "Doe", "updated"))).event_id] = 7
            await desk.turn()
            if is_indexed:
                await desk.store.index()
            status, page = await desk.ask(f"/api/events?{query}")
            assert status == 200
            assert [by_id[row["id"]] for row in page["events"]] == found

    with Sink(answer(422), answer(200)) as sink:
        scenario()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/events?state=nonsense", "is not known"),
        ("/api/events?limit=0", "out of range"),
        ("/api/events?limit=many", "limit"),
        ("/api/events?since=yesterday", "neither a duration nor a time"),
        ("/api/events?q=", None),
        ("/api/events?q=%20", "cannot be searched for"),
        ("/api/events?q==5", "is not a path"),
        ("/api/events?before=x", "is not a position"),
        ("/api/events?after=evt_nothing", 'there is no event "evt_nothing"'),
        ("/api/events?destnation=crm", '"destnation" is not a filter here (known: after,'),
        ("/api/events?route=all", '"route" is not a filter here'),
        ("/api/deliveries?q=x", '"q" is not a filter here'),
        ("/api/deliveries?cause=x&state=pending", "only dead deliveries have a cause"),
        ("/api/live?state=nonsense", "is not known"),
        ("/api/live?limit=5", '"limit" is not a filter here'),
        ("/api/rejected?limit=1001", "out of range"),
        ("/api/activity?limit=0", "out of range"),
    ],
)
def test_a_filter_that_makes_no_sense_is_a_clear_400(tmp_path, path, said):
    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk:
            status, answered = await desk.ask(path)
            assert status == (400 if said else 200)
            assert not said or said in answered["error"]

    scenario()


HOSTILE = ["%00", "%ff", "%f0%9f%92%a5", "%ed%a0%80", "'", "%22", "[", "*", "**", "%25", "9" * 400, "-1", "1e9", "%0a"]


@pytest.mark.parametrize("name", ["source", "type", "destination", "state", "since", "until", "q", "before", "after"])
def test_no_value_of_a_filter_is_an_error_of_ours(tmp_path, name):
    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk:
            await desk.receive()
            for value in HOSTILE:
                status, answered = await desk.ask(f"/api/events?{name}={value}")
                assert status in (200, 400), (value, answered)
            for value in HOSTILE:
                assert (await desk.ask(f"/api/events/{value}"))[0] in (400, 404), value

    scenario()


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/api/replay", {}, 400, "nothing to replay is selected"),
        ("/api/replay", [], 400, ""),
        ("/api/replay", {"ids": "dlv_1"}, 400, ""),
        ("/api/replay", {"nonsense": 1}, 400, "unknown field `nonsense`"),
        ("/api/replay", {"ids": ["dlv_1"]}, 404, "no event or delivery dlv_1"),
        ("/api/replay", {"state": "dead", "rate": "fast"}, 400, "is not a valid rate"),
        ("/api/discard", {"state": "delivered"}, 400, "is for dead or pending deliveries"),
        ("/api/discard", {"rate": "5/s"}, 400, "unknown field `rate`"),
        (
            "/api/destinations/cmr/pause",
            {"reason": "x"},
            404,
            'no destination cmr in routes.yaml (did you mean "crm"?)',
        ),
        ("/api/destinations/gone/resume", {}, 404, "no destination gone in routes.yaml (known: crm)"),
        ("/api/destinations/crm/pause", {}, 400, "reason"),
        ("/api/destinations/crm/mute", {"reason": "x", "for_s": -1}, 400, "for_s: -1 is out of range"),
        ("/api/activity/act_1/stop", {}, 404, "no replay or discard act_1"),
    ],
)
def test_a_body_that_makes_no_sense_is_a_clear_error(tmp_path, path, body, status, said):
    @story
    async def scenario():
        async with Desk(tmp_path, to_crm(sink)) as desk:
            answered, what = await desk.ask(path, body)
            assert answered == status
            assert said in what["error"]

    with Sink() as sink:
        scenario()


@pytest.mark.parametrize("path", ["/api/events/evt_1", "/api/activity/act_1", "/api/nowhere"])
def test_what_is_not_there_is_a_404(tmp_path, path):
    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk:
            status, answered = await desk.ask(path)
            assert (status, bool(answered["error"])) == (404, True)

    scenario()


@story
async def test_a_replay_is_tried_carried_out_followed_and_known_by_its_key(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            ids = await dead(desk, 3, sink)
            asked = {"destination": "crm", "cause": "answered 422", "by": "ann"}
            _, preview = await desk.ask("/api/replay", {**asked, "dry_run": True})
            assert (preview["count"], len(preview["sample"]), preview["warnings"]) == (3, 3, [])
            _, groups = await desk.ask("/api/dead")
            assert groups == {"groups": [{"destination": "crm", "cause": "answered 422", "count": 3}]}
            _, first = await desk.ask("/api/replay", asked, idempotency_key="k1")
            await desk.turn()
            _, again = await desk.ask("/api/replay", asked, idempotency_key="k1")
            assert again["activity"]["id"] == first["activity"]["id"]
            _, done = await desk.ask(f"/api/activity/{first['activity']['id']}")
            assert (done["progress"]["total"], done["progress"]["delivered"], done["progress"]["finished"]) == (
                3,
                3,
                True,
            )
            assert done["subject"] == "dead for crm, answered 422"
            status, _ = await desk.ask("/api/replay", {**asked, "key": "k2"}, idempotency_key="k1")
            assert status == 400
            _, named = await desk.ask("/api/replay", {"ids": [ids[0]]})
            assert [each["event_id"] for each in named["replayed"]] == [ids[0]]
            _, page = await desk.ask("/api/activity?limit=1")
            assert page["next"] == page["activity"][0]["id"]
            _, rest = await desk.ask(f"/api/activity?before={page['next']}")
            assert [each["id"] for each in rest["activity"]] == [first["activity"]["id"]]


@story
async def test_a_replay_of_what_retention_has_taken_the_body_of_is_a_409(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            event_id = (await desk.receive()).event_id
            await desk.later(100)
            while await desk.store.prune(Retention(bodies_s=10)):
                pass
            status, answered = await desk.ask("/api/replay", {"ids": [event_id]})
    assert status == 409
    assert answered["error"] == f"event {event_id} cannot be sent again: retention.bodies has removed its body"


@story
async def test_a_reroute_shows_what_it_would_do(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, "") as desk:
            event_id = (await desk.receive()).event_id
            desk.reload(to_crm(sink))
            _, preview = await desk.ask("/api/replay", {"ids": [event_id], "reroute": True, "dry_run": True})
    assert preview["diff"] == [{"event_id": event_id, "route": "all", "destination": "crm", "fate": "new"}]


@story
async def test_an_event_is_shown_with_every_entry_and_every_request_and_without_what_is_redacted(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            path = desk.folder / "routes.yaml"
            path.write_text(path.read_text().replace("secret: s3cret", "secret: s3cret, redact: [attrs.phone]"))
            await desk.ask("/api/reload", {})
            event_id = (await desk.receive()).event_id
            await desk.turn()
            _, shown = await desk.ask(f"/api/events/{event_id}")
            [delivery] = shown["deliveries"]
            assert (await desk.ask(f"/api/events/{delivery['id']}"))[1]["id"] == event_id
            desk.gateway.config = replace(desk.gateway.config, sources={})
            _, gone = await desk.ask(f"/api/events/{event_id}")
    assert [(each["name"], each["taken"]) for each in shown["entries"]] == [("all", True)]
    assert [each["delivery_id"] for each in shown["requests"]] == [delivery["id"]]
    assert (shown["why_not_explained"], shown["body_is"], shown["intact"]) == ("", "kept", True)
    assert shown["payload"]["data"]["attributes"]["phone"] == "•••"
    assert delivery["attempts_made"][0]["outcome"] == "delivered"
    assert gone["why_not_explained"] == f"{event_id} came from xobito, which is no longer in routes.yaml"


@story
async def test_destinations_say_how_it_stands_with_them_and_no_secret(tmp_path):
    with Sink() as sink:
        sign = {"preset": "github", "secret": "a-long-secret-to-sign-with"}
        text = to_crm(sink, rate="10/s", sign=sign).replace(sink.url, f"{sink.url}/hooks/a-long-secret-path-part")
        async with Desk(tmp_path, text) as desk:
            await desk.receive()
            await desk.later(1)
            _, paused = await desk.ask("/api/destinations/crm/pause", {"reason": "why", "for_s": 60, "by": "ann"})
            _, muted = await desk.ask("/api/destinations/crm/mute", {"reason": "known", "by": "bob"})
            _, [crm] = await desk.ask("/api/destinations")
            _, resumed = await desk.ask("/api/destinations/crm/resume", {})
            _, unmuted = await desk.ask("/api/destinations/crm/unmute", {})
            _, config = await desk.ask("/api/config")
            desk.reload("")
            _, [gone] = await desk.ask("/api/destinations")
    assert crm == muted
    assert (crm["paused"]["by"], crm["paused"]["reason"], crm["muted"]["by"]) == ("ann", "why", "bob")
    assert crm["paused"]["until"].endswith("Z")
    assert crm["muted"]["until"] is None
    assert crm["held"].startswith("paused by ann until ")
    assert (paused["muted"], resumed["was_paused"], unmuted["was_muted"]) == (None, True, True)
    assert (crm["rate"], crm["concurrency"], crm["circuit"], crm["in_file"]) == ("10/s", 32, "closed", True)
    assert (crm["delivered"], crm["delivered_1h"], sum(crm["traffic"]["delivered"])) == (1, 1, 1)
    assert crm["address"] == f"{sink.url}/hooks/***"
    assert crm["signed"] == "as GitHub"
    assert "a-long-secret" not in json.dumps([config, crm])
    assert (gone["name"], gone["in_file"], gone["delivered"]) == ("crm", False, 1)


@story
async def test_stats_are_the_numbers_of_the_last_hour(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await dead(desk, 1, sink)
            for number in range(1, 4):
                await desk.receive(numbered(number))
            await desk.later(60)
            _, stats = await desk.ask("/api/stats")
    assert (stats["received_1h"], stats["delivered_1h"], stats["delivered_pct"]) == (4, 3, 75.0)
    assert (stats["dead"], stats["pending"]) == (1, 0)
    assert stats["in_per_s"] == round(4 / 300, 2)
    assert len(stats["received"]["xobito"]) == 60


@story
async def test_what_the_gateway_tells_of_itself_was_not_received(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.receive(numbered(1))
            await desk.ask("/api/destinations/crm/pause", {"by": "ann", "reason": "their migration"})
            await desk.later(60)
            _, events = await desk.ask("/api/events")
            _, stats = await desk.ask("/api/stats")
    assert {each["source"] for each in events["events"]} == {"xobito", "gateway"}
    assert (stats["received_1h"], stats["in_per_s"]) == (1, round(1 / 300, 2))
    assert list(stats["received"]) == ["xobito"]


@story
async def test_a_reload_is_asked_for_with_or_without_a_body_and_leaves_a_trace(tmp_path):
    async with Desk(tmp_path, "") as desk:
        assert await desk.ask("/api/reload", {"by": "ann"}) == (200, {"changed": "nothing"})
        assert (await desk.client.post("/api/reload")).status_code == 200
        (desk.folder / "routes.yaml").write_text("nonsense: 1\n")
        status, answered = await desk.ask("/api/reload", {})
        assert (status, len(answered["problems"]) > 0) == (422, True)
        _, config = await desk.ask("/api/config")
        _, done = await desk.ask("/api/activity")
    assert config["rejection"]["problems"] == answered["problems"]
    assert [each["by"] for each in done["activity"]] == ["api", "api", "ann"]
    assert done["activity"][0]["subject"].startswith("refused: ")


@story
async def test_the_openapi_document_describes_every_endpoint(tmp_path):
    async with Desk(tmp_path, "") as desk:
        _, document = await desk.ask("/api/openapi.json")
    operations = [(path, verb, each) for path, verbs in document["paths"].items() for verb, each in verbs.items()]
    assert len(operations) >= 19
    for path, verb, each in operations:
        assert path.startswith("/api/"), path
        assert each["summary"], (path, verb)
        for parameter in each.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
            assert parameter["schema"].get("type") or parameter["schema"].get("oneOf"), (path, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        for field, shape in schema["properties"].items():
            assert name == "Refusal" or shape["description"], (name, field)


@story
async def test_a_body_that_is_nested_too_deeply_is_refused_like_any_other(tmp_path):
    async with Desk(tmp_path, "") as desk:
        body = b'{"ids":' + b"[" * 100_000
        answer = await desk.client.post("/api/replay", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize("path", ["/api/events", "/api/deliveries", "/api/rejected", "/api/activity"])
def test_a_page_of_no_number_is_refused_in_our_own_words(tmp_path, path):
    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk:
            assert await desk.ask(f"{path}?limit=x") == (400, {"error": "limit: write a number from 1 to 1000"})

    scenario()


@pytest.mark.parametrize("path", ["/api/events", "/api/deliveries", "/api/activity"])
def test_a_place_that_is_in_no_list_is_refused(tmp_path, path):
    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk:
            status, answered = await desk.ask(f"{path}?before=x")
            assert (status, answered["error"].partition(":")[0]) == (400, '"x" is not a position')

    scenario()
