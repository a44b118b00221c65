"""What a form of the console asks for, and what of a busy stream its page is sent."""

import json
import re
from types import SimpleNamespace

import pytest
from litestar.datastructures import FormMultiDict

from gateway.config import load
from gateway.errors import BadRequest, SignatureRefused
from gateway.operate import refusals
from gateway.routing.questions import asked
from gateway.signatures import Request
from gateway.store.queries import EventQuery, EventRow, Rejected
from gateway.web import forms, pages
from gateway.web.live import Turn
from tests.operate.test_operations import dead
from tests.sink import Sink
from tests.web.desk import READ_TOKEN, TOKEN, Desk, GuardedDesk
from tests.world import numbered, story, to_crm


def meant(*fields: tuple[str, str], verb: str = "replay"):
    return forms._meant(verb, FormMultiDict(fields))


def test_all_that_match_are_a_selection_and_the_ticked_ones_are_ids():
    group = [("state", "dead"), ("destination", "crm"), ("cause", "answered 422"), ("ids", "dlv_1"), ("ids", "dlv_2")]
    every, _, back = meant(*group, ("which", "all"))
    assert (every.ids, every.filter.destination, every.filter.cause) == ((), "crm", "answered 422")
    assert back == "/dead?destination=crm&cause=answered+422"
    some, _, _ = meant(*group, ("which", "ids"))
    assert some.ids == ("dlv_1", "dlv_2")


def test_dead_letters_without_a_cause_are_a_group_and_not_all_of_them():
    assert meant(("destination", "crm"), ("cause", ""), ("which", "all"))[0].filter.cause == ""
    assert meant(("destination", "crm"), ("which", "all"))[0].filter.cause is None


def test_the_page_that_asks_sends_the_same_selection_again():
    asked = [("state", "dead"), ("destination", "crm"), ("cause", ""), ("which", "all")]
    move, fields, _ = meant(*asked)
    assert meant(*fields)[0] == move
    move, fields, _ = meant(("ids", "evt_1"), ("back", "evt_1"))
    assert meant(*fields)[0] == move


def test_nothing_selected_is_nobody_s_wish():
    with pytest.raises(BadRequest, match="nothing is selected"):
        meant(("which", "ids"))


@pytest.mark.parametrize(
    ("back", "page"), [("evt_1", "/events/evt_1"), ("//evil.example", "/events/%2F%2Fevil.example"), ("", "/")]
)
def test_the_way_back_stays_here(back, page):
    assert meant(("ids", "evt_1"), ("back", back))[2] == page


@story
async def test_a_form_leads_to_a_page_that_asks_and_can_be_come_back_to(tmp_path):
    form = {"state": "dead", "destination": "crm", "cause": "", "which": "all", "step": "ask"}
    async with Desk(tmp_path, "") as desk:
        asked = await desk.client.post("/discard", data=form)
        page = await desk.client.get(asked.headers["location"])
        assert (await desk.store.activities(limit=1)).rows == ()
    assert (asked.status_code, page.status_code) == (303, 200)
    assert "dead for crm" in page.text
    # An empty cause is one, and another than none.
    assert '<input type="hidden" name="cause" value="">' in page.text


@story
async def test_a_form_about_more_than_an_address_holds_is_asked_back_at_once(tmp_path):
    async with Desk(tmp_path, "") as desk:
        event = (await desk.receive(numbered(1))).event_id
        answer = await desk.client.post("/replay", data={"ids": [event] * 200, "step": "ask"})
    assert answer.status_code == 200
    assert "Nothing to replay" in answer.text


@story
async def test_a_reader_sees_what_a_replay_would_do_and_cannot_begin_it(tmp_path):
    with Sink() as sink:
        async with GuardedDesk(tmp_path, to_crm(sink)) as desk:
            await dead(desk, 1, sink)
            path = "/replay?destination=crm&which=all"
            pages = [(await desk.ask(path, authorization=f"Bearer {each}"))[1] for each in (TOKEN, READ_TOKEN)]
    assert [page.count("Replay 1 delivery?") for page in pages] == [1, 1]
    assert ['name="step" value="do"' in page for page in pages] == [True, False]


def a_row(number: int) -> EventRow:
    return EventRow(position="", id=f"evt_{number:04}", source="xobito", type="x", received_at=0.0, size=1)


@pytest.mark.parametrize(
    ("age_s", "said"),
    [
        (3600, "It was signed too long ago"),
        (-3600, "It was signed later than now: the clock of Stripe is ahead, or the clock of this machine is behind."),
    ],
    ids=["in the past", "in the future"],
)
def test_a_request_signed_at_another_time_says_whose_clock_to_look_at(tmp_path, age_s, said):
    file = tmp_path / "routes.yaml"
    file.write_text("version: 1\nsources: {stripe: {preset: stripe, secret: s3cret}}\n")
    config, now = load(file, environ={}), 1_700_000_000.0
    verifier = config.sources["stripe"].verifier
    body = b"{}"
    signed = verifier.sign(Request(headers=[], body=body), now - age_s, "")
    headers = [(name.encode(), value.encode()) for name, value in dict(signed.headers).items()]
    verdict = verifier.verify(Request(headers=headers, body=body), now)
    refused = Rejected(at=now, source="stripe", path="/in/stripe", status=401, reason=verdict.reason)
    assert said in refusals.hint(config, refused)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ', verify: {handshake_token: "${META_VERIFY_TOKEN}"}',
            (
                "The verify token entered at Meta (WhatsApp, Instagram, Messenger) differs from the one under verify: "
                "{handshake_token: ...} of the source: make them the same. The one here comes from ${META_VERIFY_TOKEN}, which "
                "is read at start."
            ),
        ),
        (
            "",
            (
                "Without verify: {handshake_token: ...}, the verify token entered at Meta (WhatsApp, Instagram, Messenger) has "
                "to be the source's secret: set handshake_token to the token that was entered there. The secret comes from "
                "${META_APP_SECRET}, which is read at start."
            ),
        ),
    ],
    ids=["a token of its own", "the secret"],
)
def test_a_handshake_with_a_wrong_token_names_the_token_to_correct(tmp_path, more, said):
    file = tmp_path / "routes.yaml"
    file.write_text(f'version: 1\nsources: {{meta: {{preset: meta, secret: "${{META_APP_SECRET}}"{more}}}}}\n')
    config = load(file, environ={"META_APP_SECRET": "s3cret-of-the-app", "META_VERIFY_TOKEN": "the-token-of-meta"})
    query = b"hub.mode=subscribe&hub.challenge=42&hub.verify_token=wrong"
    with pytest.raises(SignatureRefused) as caught:
        asked(config.sources["meta"], Request(headers=[], body=b"", method="GET", query=query), 0.0)
    refused = Rejected(at=0.0, source="meta", path="/in/meta", status=401, reason=str(caught.value))
    assert refused.reason == "the verify token of a handshake is missing or wrong"
    assert refusals.hint(config, refused) == said


def test_a_stream_shows_the_newest_and_counts_the_others():
    context = SimpleNamespace(gateway=SimpleNamespace(clock=lambda: 0.0))
    shown = pages._Shown(context, can_write=False)

    def sent(**turn) -> tuple[list[str], list[str], int, int]:
        [(_, data)] = shown.messages(Turn(**turn))
        rows = json.loads(data)
        new, changed = (re.findall(r'id="(evt_\d+)"', rows[part]) for part in ("new", "changed"))
        return new, changed, rows["fresh"], rows["skipped"]

    def ids(*numbers: int) -> list[str]:
        return [a_row(number).id for number in numbers]

    there = [a_row(number) for number in range(50, 0, -1)]
    assert sent(new=there) == (ids(*range(50, 0, -1)), [], 0, 0)
    new = [a_row(number) for number in range(100, 50, -1)]
    assert sent(new=new, skipped=475) == (ids(*range(100, 80, -1)), [], 20, 505)
    # What was only counted is not on the page: its script leaves it out.
    assert sent(changed=[a_row(81), a_row(60), a_row(7)]) == ([], ids(81, 60, 7), 0, 0)


@story
async def test_the_number_of_dead_letters_is_in_the_frame_of_every_page(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await dead(desk, 1, sink)
            event = (await desk.store.events(EventQuery())).rows[0].id
            found = {}
            for path in ("/", f"/events/{event}", "/destinations", "/dead", "/refused", "/routes", "/routes/all",
                         "/sources/xobito", "/playground", "/activity", "/shadow", "/replay?destination=crm&which=all"):  # fmt: skip
                found[path] = (await desk.client.get(path, headers={"accept": "text/html"})).text
    assert {path for path, text in found.items() if 'class="badge"' not in text} == set()
