"""Pages show what others have written as text, whatever is in it, and are whole for every state of a gateway."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import console
from gateway.console import story
from gateway.operate.outcomes import deed
from gateway.web.refusing import SECURITY_HEADERS
from tests.console import given as g

BIDI = "\u202egnp.exe"


def live(**changes) -> str:
    options = {
        "stats": g.stats(), "destinations": g.destinations(), "rows": g.rows(), "filter": g.NO_FILTER,
        "choices": g.CHOICES, "paging": g.a_paging(), **changes,
    }  # fmt: skip
    return console.live_page(g.a_shell(), **options).decode()


def event(**changes) -> str:
    return console.event_page(g.a_shell(page=""), g.an_event(**changes), kinds=g.KINDS).decode()


def activity(verb: str = "replay", **progress) -> str:
    return console.activity_page(g.a_shell(), g.an_activity(verb=verb, progress=g.a_progress(**progress))).decode()


def inbox(*entries: dict, kinds: dict | None = None) -> str:
    return console.inbox_page(g.a_shell(page="inbox"), entries, kinds=kinds or {}).decode()


def playground(found: dict | None = None, draft: dict | None = None, **more) -> bytes:
    return console.playground_page(
        g.a_shell(page="playground"), draft=draft or g.a_draft(), found=found or g.a_play(), kinds=g.KINDS,
        choices=g.PLAY_CHOICES, loaded=g.LOADED, **more,
    )  # fmt: skip


def every_page() -> dict[str, str]:
    shell = g.a_shell(rejection=g.a_rejection(), notice="done", has_inbox=True, signed_in=True)
    pages = {
        "destinations": console.destinations_page(shell, g.destinations()),
        "dead": console.dead_page(shell, g.groups(), [g.an_activity()]),
        "group": console.dead_page(shell, [], [], g.opened()),
        "activity": console.activity_page(shell, g.an_activity()),
        "confirm": console.confirm_page(
            shell, verb="discard", plan=g.a_plan(), fields=[("state", "dead")], key="k", subject="x", back="/"
        ),
        "refused": console.refused_page(
            shell,
            rows=[g.a_refusal(), g.a_refusal(status=202, hint="")],
            filter=g.NO_REFUSED_FILTER,
            sources=["xobito"],
            more=3,
        ),
        "routes": console.routes_page(shell, g.a_map()),
        "route": console.route_page(
            shell,
            route=g.a_map()["routes"][1],
            written="- name: new-lead\n",
            destinations=g.destinations()[:1],
            rows=[g.a_row()],
        ),
        "source": console.source_page(
            shell, source=g.a_source(), routes=g.a_map()["routes"], refused=[g.a_refusal()], rows=[g.a_row()]
        ),
        "activities": console.activities_page(shell, g.activities(), following="/activity?before=x", is_later=True),
        "playground": playground(),
        "playground-asked": playground(asked={"route": "new-lead", "destination": "slack-leads"}),
        "shadow": console.shadow_page(shell, g.a_shadow()),
        "no-shadow": console.shadow_page(shell, {**g.a_shadow(), "shadows": [], "problem": "", "results": []}),
        "login": console.login_page(shell, to="/", error="no"),
        "message": console.message_page(shell, title="no", said="why"),
    }
    return {name: page.decode() for name, page in pages.items()} | {"live": live(), "event": event(), "inbox": inbox()}


@pytest.mark.parametrize("name", sorted(every_page()))
def test_a_page_is_well_formed_and_loads_and_styles_nothing_that_the_policy_refuses(name):
    page = every_page()[name]
    assert page.lstrip().startswith("<!doctype html>")
    assert unclosed(page) == []
    assert re.findall(r"\sstyle=|\son[a-z]+=|javascript:", page) == []
    assert [each for each in re.findall(r"<script[^>]*>", page) if "src" not in each] == []
    assert re.findall(r'(?:src|<link[^>]*href)="(?!/console\.|data:,)', page) == []
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


VOID = {"meta", "link", "input", "hr", "br", "img"}


def unclosed(page: str) -> list[str]:
    """Tags that are closed in another order than they were opened, or not at all."""
    wrong: list[str] = []
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in VOID:
                opened.append(tag)
            # Inside a paragraph a browser would close it first.
            if "p" in opened[:-1] and tag in ("p", "div", "form", "pre", "ul", "ol", "dl", "details", "table"):
                wrong.append(f"<{tag}> inside <p>")

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            if not opened or opened.pop() != tag:
                wrong.append(f"</{tag}>")

    Reader().feed(page)
    return wrong + opened


def test_the_policy_allows_our_own_script_and_nothing_inline():
    policy = SECURITY_HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"url(" not in console.stylesheet()
    assert b"//" not in re.sub(rb"(?m)^\s*//.*$|// .*$", b"", console.script())


# --- live ---


def test_each_delivery_has_its_fate_as_a_word_beside_the_colour():
    page = live()
    for word in ("retrying 3×", "dead", "waiting", "behind", "discarded"):
        assert re.search(rf"<em>{word}</em>", page), word
    assert 'unheard"> delivered' in page


def test_a_refused_request_says_why_and_which_secret_to_look_at():
    page = live(rows=[g.a_refusal()])
    assert "the signature is not the body" in page
    assert "XOBITO_WEBHOOK_SECRET" in page
    assert "3×" in page
    # On a line of its own, after everything else.
    assert '</span><span class="client quiet">from <bdi>203.0.113.7</bdi></span></span>' in page


def test_a_duplicate_is_no_error():
    page = live(rows=[g.a_refusal(status=202, reason="duplicate of evt_1", hint="")])
    assert "refused twice" in page
    assert "duplicate of evt_1" in page


def test_an_empty_gateway_shows_the_address_for_senders():
    page = live(rows=[], senders=g.senders(), paging=g.a_paging(next=""))
    assert "http://127.0.0.1:8080/in/xobito" in page
    assert "gateway send contact.created" in page


def test_a_search_that_ended_early_says_how_far_it_came_and_goes_on():
    page = live(rows=[], filter={**g.NO_FILTER, "q": "x"}, paging=g.a_paging(searched_to="2026-11-20T00:00:00.000Z"))
    assert "20 Nov 00:00:00" in page
    assert 'href="/?before=x">search further back' in page


def test_a_destination_that_denies_everything_names_the_events_that_it_denied():
    held = "3 different events denied, next probe in 4.0 s"
    denied = ["evt_1", "evt_2", "evt_3"]
    page = console.destinations_page(
        g.a_shell(), [g.a_destination("crm", circuit="open", denied=denied, held=held)]
    ).decode()
    assert held in page
    assert all(f'<a href="/events/{each}">' in page for each in denied)


def test_a_destination_that_is_signed_says_how_and_what_verifies_it():
    signed = g.a_destination("crm", signed="as Standard Webhooks, verified with whpk_A6EHv/POEL4dcN0Y50vA=")
    page = console.destinations_page(g.a_shell(), [signed, g.a_destination()]).decode()
    assert page.count("Requests are signed") == 1
    assert "as Standard Webhooks, verified with whpk_A6EHv/POEL4dcN0Y50vA=" in page


def test_a_refused_file_is_said_on_every_page_with_its_place():
    page = console.destinations_page(g.a_shell(rejection=g.a_rejection()), []).decode()
    assert "routes.yaml:39:5" in page
    assert "unknown key" in page


def test_who_may_only_look_is_offered_nothing_to_do():
    shell = g.a_shell(can_write=False)
    pages = [
        console.event_page(shell, g.an_event(), kinds=g.KINDS),
        console.destinations_page(shell, g.destinations()),
        console.dead_page(shell, g.groups(), [g.an_activity()], g.opened()),
    ]
    for page in pages:
        assert not re.search(r"<button[^>]*>(?:Replay|Discard|Pause|Mute|Stop|Resume)", page.decode())


# --- one event ---


def test_an_entry_that_did_not_take_the_event_shows_the_clause_and_the_value():
    clause = {"text": "attrs.type: customer", "held": False, "field": "attrs.type", "missing": False, "seen": "lead"}
    gone = {"text": "attrs.size: {gt: 5}", "held": False, "field": "attrs.size", "missing": True}
    entry = {**g.why("contact.updated")["entries"][1], "name": "vip", "clauses": [clause, gone]}
    page = event(entries=[entry])
    assert "attrs.type: customer" in page
    assert "&#34;lead&#34;" in page
    assert "is <b>missing</b>" in page


def test_routes_are_counted_without_those_that_are_told_of_what_was_given_up():
    every = g.entries("contact.created")
    routes = [each for each in every if each["section"] != "failed"]
    assert len(routes) < len(every)
    page = event(entries=every)
    assert f"{sum(each['taken'] for each in routes)} of {len(routes)} matched" in page
    assert f"of {len(every)} matched" not in page
    assert "matched</" not in event(entries=[])


def test_attempts_in_the_middle_of_many_are_folded():
    made = [g.an_attempt(number, outcome="retry", next_s=1.0) for number in range(1, 31)]
    one = {**g.a_delivery(3, state="pending", attempts=30, due_in_s=9.0), "attempts_made": made}
    page = event(deliveries=[one])
    assert "23 attempts in between" in page
    assert len(re.findall(r"· attempt \d+", page)) == 30


def test_an_attempt_shows_what_it_looked_up_and_what_it_chose():
    found = {"name": "person", "destination": "crm", "method": "GET", "status": 200, "duration_ms": 34.2, "size": 2048,
             "found": True, "cached": False, "failed": False}  # fmt: skip
    looked = [
        found,
        {**found, "name": "deal", "status": 404, "found": False},
        {**found, "name": "owner", "cached": True},
        {**found, "name": "task", "status": 503, "found": False, "failed": True},
        {**found, "name": "<b>", "status": None, "found": False},
    ]
    made = [g.an_attempt(lookups=looked, choice=2)]
    page = event(deliveries=[{**g.a_delivery(1), "attempts_made": made}])
    text = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert "fetch person: GET crm 200 34 ms · 2.0 KiB" in text
    assert "fetch deal: GET crm 404 34 ms · nothing found" in text
    assert "fetch owner: GET crm as found before · 2.0 KiB" in text
    assert "fetch task: GET crm 503 34 ms fetch" in text
    assert "fetch &lt;b&gt;: GET crm no answer 34 ms" in text
    assert "sent element 2 of choose" in text


def test_what_was_discarded_without_an_attempt_says_why():
    discarded = g.a_delivery(1, state="discarded", attempts=0, reason="superseded by dlv_2")
    assert "No attempts: <bdi>superseded by dlv_2</bdi>" in event(deliveries=[{**discarded, "attempts_made": []}])
    assert "No attempts.</p>" in event(deliveries=[{**discarded, "reason": "", "attempts_made": []}])


@pytest.mark.parametrize(("state", "said"), [("pending", "To be sent with others"), ("delivered", "Sent with others")])
def test_what_is_in_the_digest_of_another_says_so_and_has_no_attempts_to_miss(state, said):
    member = g.a_delivery(1, state=state, attempts=0, digest=g.an_id("dlv", 2))
    page = event(deliveries=[{**member, "attempts_made": []}])
    assert said in page
    assert "No attempts" not in page


def test_why_a_destination_is_held_is_said_once():
    why = "nobody has logged in yet: run `gateway login slack-leads`"
    waiting = g.a_delivery(
        1, state="pending", attempts=0, due_in_s=0.0, reason=why, held=f"paused by the gateway: {why}", attempts_made=[]
    )
    page = event(deliveries=[{**waiting, "last_error": {"reason": why, "at": g.NOW}}])
    assert page.count("nobody has logged in yet") == 1
    page = event(deliveries=[{**waiting, "last_error": {"reason": "answered 503", "at": g.NOW}}])
    assert page.count("last error of") == 1


@pytest.mark.parametrize(
    ("verb", "subject", "said", "icon", "marked"),
    [
        ("reload", "9f2c01ab: 1 route changed (new-lead)", "reload", "duplicate", "reload by sam"),
        ("reload", "refused: 2 problems", "reload refused", "dead", "reload by sam (refused)"),
        ("pause", "refused: by name", "pause", "paused", "pause by sam"),
    ],
)
def test_a_reload_that_was_refused_says_so_wherever_it_is_named(verb, subject, said, icon, marked):
    done = g.an_activity(verb=verb, subject=subject, by="sam", at=g.NOW, progress=None)
    assert (deed(done), story.deed_icon(done)) == (said, icon)
    assert [each["words"] for each in story.marks([done], g.NOW, subject)] == [marked]


def test_a_shadow_is_called_one_on_the_pages_of_its_entry_and_of_its_source():
    route = {**g.a_map()["routes"][1], "shadow": True}
    entry = console.route_page(g.a_shell(), route=route, written="", destinations=[], rows=[]).decode()
    assert "A shadow sends nothing." in entry
    source = console.source_page(g.a_shell(), source=g.a_source(), routes=[route], refused=[], rows=[]).decode()
    for page in (entry, source):
        assert 'href="/shadow">shadow</a>' in page


def test_a_line_that_is_added_or_removed_is_marked_as_such():
    page = console.shadow_page(g.a_shell(), g.a_shadow()).decode()
    assert "<del>- POST https://crm.example.com/v1</del>" in page
    assert "<ins>+ PUT https://crm.example.com/v1/&lt;b&gt;" in page
    assert "and 1,000 more, older" in page


def test_activities_that_fit_on_one_page_have_no_empty_line_below_them():
    assert "<footer>" not in console.activities_page(g.a_shell(), g.activities(), following="", is_later=False).decode()


def test_what_was_put_back_without_an_attempt_says_what_it_waits_for():
    waiting = g.a_delivery(1, state="pending", attempts=1, due_in_s=20.0, reason="waits to look in crm: paused by ann")
    failed = g.an_attempt(outcome="retry", status=503, reason="answered 503", next_s=1.0)
    page = event(deliveries=[{**waiting, "attempts_made": [failed]}])
    assert "waits to look in crm: paused by ann" in page
    retried = {**waiting, "reason": "answered 503", "attempts_made": [failed]}
    assert "waits to look" not in event(deliveries=[retried])


def test_what_the_file_discarded_is_neither_a_failure_nor_on_its_way():
    reason = "no element of choose holds (routes.yaml:12)"
    made = [g.an_attempt(outcome="discarded", status=None, reason=reason, answer="", sent_bytes=0)]
    delivery = {**g.a_delivery(1, state="discarded", reason=reason), "attempts_made": made}
    page = event(deliveries=[delivery])
    assert '<li class="t-discarded">' in page
    assert reason in page


def test_a_request_that_depends_on_a_look_up_shows_what_is_asked_and_what_it_takes_for_granted():
    asked = {"method": "GET", "url": "https://crm.example.com/search?term=%3Cb%3E", "headers": {}, "body": ""}
    lookup = {"name": "person", "destination": "crm", "request": asked, "error": ""}
    request = {"delivery_id": g.an_id("dlv", 1), "lookups": [lookup], "assumed": "as if person had found nothing"}
    page = event(
        deliveries=[{**g.a_delivery(1), "attempts_made": []}],
        requests=[{**g.requests("contact.updated")[0], **request}],
    )
    assert "https://crm.example.com/search?term=%3Cb%3E" in page
    assert "Below, <bdi>as if person had found nothing</bdi>." in page


def test_an_attempt_by_another_file_is_said():
    assert "The configuration has changed since." in event()
    same = [{**g.a_delivery(1), "attempts_made": [g.an_attempt()]}]
    assert "The configuration has changed since." not in event(deliveries=same)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body_is": "removed", "requests": [], "why_not_explained": "no longer kept"}, "The body was removed."),
        (
            {"body_is": "redacted", "requests": [], "why_not_explained": "was redacted"},
            "were removed from the stored body",
        ),
        ({"intact": False, "requests": [], "why_not_explained": "does not match"}, "no longer matches its checksum"),
        ({"deliveries": [], "requests": []}, "No route matched"),
    ],
)
def test_what_is_no_longer_there_is_said(changes, said):
    assert said in event(**changes)


def test_a_delivery_shows_what_it_waits_for_and_an_attempt_what_it_recalled_and_remembered():
    waiting = {
        **g.a_delivery(1, state="pending", attempts=0, due_in_s=540.0, waits_for=["crm-id of <b>451"]),
        "attempts_made": [],
    }
    done = {**g.a_delivery(2), "attempts_made": [g.an_attempt(1, memory=["contact: crm-id of 451: id <i>77"])]}
    page = event(deliveries=[waiting, done])
    assert "waits for <bdi>crm-id of &lt;b&gt;451</bdi>, at most 9 min" in page
    assert "contact: crm-id of 451: id &lt;i&gt;77" in page


def test_an_event_that_was_forgotten_says_so_once_and_not_for_each_delivery():
    why = "the event was forgotten, and its data is erased"
    page = event(body_is="forgotten", requests=[], why_not_explained=why, entries=[])
    assert page.count("This event was forgotten") == 1
    assert page.count(why) == 1
    assert page.count('<article class="delivery') > 1


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ({"error": "attrs.company is missing"}, "The request cannot be built: "),
        ({"not_shown": "it depends on a value that the source redacts"}, "The request is not shown: "),
    ],
)
def test_a_request_that_is_not_there_says_why(why, said):
    request = {"delivery_id": g.an_id("dlv", 1), "request": None, "error": "", "retry": "", "changed": False, **why}
    page = event(
        deliveries=[{**g.a_delivery(1), "attempts_made": []}],
        requests=[{**g.requests("contact.updated")[0], **request}],
    )
    assert said in page
    assert next(iter(why.values())) in page


def test_the_command_of_a_request_sends_all_of_it_or_there_is_none():
    def with_body(body: str) -> str:
        request = {"method": "POST", "url": "https://crm.example.com/", "headers": {"x-a": "1"}, "body": body}
        made = {**g.requests("contact.updated")[0], "delivery_id": g.an_id("dlv", 1), "request": request}
        return event(deliveries=[{**g.a_delivery(1), "attempts_made": []}], requests=[made])

    short, long = "x" * 9_000, "x" * 90_000
    assert f"--data-raw {short}" in with_body(short)
    assert "--data-raw" not in with_body(long)


def test_the_test_that_is_made_of_an_event_is_shown_as_it_is_pasted():
    page = event(test='  - name: "a"\n    expect: ["crm"]')
    text = re.search(r'<pre id="test"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]
    assert text.replace("&#34;", '"') == '  - name: "a"\n    expect: ["crm"]'
    assert "Make a test" not in event(test="")


# --- hostile content ---

NESTED = json.loads("[" * 500 + "]" * 500)


@pytest.mark.parametrize(
    "payload",
    ["<script>1</script>" + BIDI, {"<b>": BIDI}, NESTED, {"a": NESTED}, "x" * 1_000_000, {"a": "x" * 1_000_000},
     [0] * 100_000, {str(number): {} for number in range(50_000)}, "\ud800", {"\udfff": "\ud800"}, None, 0, [], {}],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_payload_makes_a_page_of_a_bounded_size(payload):
    page = console.event_page(g.a_shell(), g.an_event(payload=payload), kinds=g.KINDS)
    assert len(page) < 500_000
    assert b"<script>1" not in page
    assert "\u202e" not in page.decode()


TEXTS = st.text(max_size=60) | st.sampled_from(["<img src=x>", "*_~`<@U1|x>", "[a](javascript:x)", BIDI])


@given(TEXTS)
def test_no_text_of_others_becomes_markup(text):
    hostile = {"name": text, text or "x": [text]}
    page = event(type=text or "x", payload=hostile, headers={"x": text}, source=text)
    delivery = g.a_delivery(reason=text, route=text or "x", destination=text or "x")
    rows = live(rows=[g.a_row(deliveries=[delivery], type=text, source=text), g.a_refusal(reason=text, source=text)])
    letter = inbox({**letter_of(json.dumps({"text": text})), "path": text}, kinds={"slack-leads": "slack"})
    for found in (page, rows, letter):
        assert not re.search(rf"<(?!/?(?:{'|'.join(OURS)})\b|!doctype)", found)
        assert unclosed(found) == []
        assert BIDI[0] not in found


OURS = [
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "a",
    "header",
    "svg",
    "circle",
    "path",
    "rect",
    "span",
    "nav",
    "div",
    "button",
    "kbd",
    "main",
    "section",
    "h1",
    "h2",
    "h3",
    "p",
    "dl",
    "dt",
    "dd",
    "form",
    "input",
    "label",
    "select",
    "option",
    "ol",
    "ul",
    "li",
    "time",
    "details",
    "summary",
    "pre",
    "code",
    "b",
    "strong",
    "em",
    "bdi",
    "article",
    "aside",
    "figure",
    "figcaption",
    "dialog",
    "footer",
    "del",
    "blockquote",
    "noscript",
    "progress",
    "u",
]


def confirm(verb: str = "replay", **plan) -> str:
    page = console.confirm_page(
        g.a_shell(), verb=verb, plan=g.a_plan(**plan), fields=[], key="k", subject="x", back="/dead"
    )
    return page.decode()


def test_what_is_about_to_be_replayed_is_shown_with_its_type_time_and_reason():
    page = confirm()
    [first, *_] = re.findall(r'<li class="row sample".*?</li>', page, re.DOTALL)
    for each in ("contact.updated", "02:41:11", "contact-to-crm", "phone is not valid", "/events/evt_"):
        assert each in first
    assert "1,199 more" in page


def test_what_cannot_be_taken_back_is_not_one_key_away():
    assert " autofocus" in confirm("replay")
    assert " autofocus" not in confirm("discard")


def test_many_warnings_are_folded_and_none_is_left_out():
    few, many = (confirm(warnings=[f"contact {at} is overtaken" for at in range(most)]) for most in (3, 20))
    assert "<details" not in few
    assert few.count("is overtaken") == 3
    assert "<strong>20 warnings</strong>" in many
    folded = many.partition('<details class="banner note"')[2].partition("</details>")[0]
    assert folded.count("is overtaken") == 20


def test_a_row_of_a_group_has_its_whole_reason_in_its_title():
    long = {**g.opened()["rows"][0], "reason": "answered 422: " + "phone " * 60}
    page = console.dead_page(g.a_shell(), [], [], {**g.opened(), "rows": [long]}).decode()
    assert f'title="{long["reason"].strip()}' in page


PACED = {"total": 9993, "moved": 9993, "finished": True, "pending": 9900, "delivered": 91, "dead": 2}
SENT = {**PACED, "pending": 0, "delivered": 9991, "over": True}
STOPPED = {**PACED, "pending": 0, "not_sent": 9900, "over": True, "stopped_by": "mira"}


@pytest.mark.parametrize(
    ("verb", "progress", "bar", "said", "can_be_stopped"),
    [
        pytest.param(
            "replay", {"moved": 800, "delivered": 676, "dead": 12}, (688, 1204), "in progress,", True, id="begun"
        ),
        pytest.param("replay", PACED, (93, 9993), "being sent,", True, id="paced"),
        pytest.param("replay", SENT, (9993, 9993), "all sent,", False, id="sent"),
        pytest.param("replay", STOPPED, (9993, 9993), "stopped by ", False, id="stopped"),
        pytest.param("discard", {"moved": 800}, (800, 1204), "in progress,", True, id="discard"),
    ],
)
def test_a_replay_is_over_and_its_bar_full_when_nothing_of_it_waits_any_more(verb, progress, bar, said, can_be_stopped):
    page = activity(verb, **progress)
    value, most = bar
    assert f'<progress max="{most}" value="{value}"' in page
    assert f"<b>{value:,}</b> of {most:,}" in page
    assert said in page
    assert ("/stop" in page) == can_be_stopped


def test_what_a_stop_took_back_is_not_sent_and_not_dead_again():
    page = activity(**STOPPED)
    assert "<b>9,900</b> not sent" in page
    assert "<b>2</b> dead again" in page
    assert "not sent" not in activity(**SENT)


def test_a_replay_of_nothing_says_so_and_has_no_bar():
    page = activity(total=0, moved=0, pending=0, delivered=0, dead=0, finished=True, over=True)
    assert 'nothing left to replay: see <a href="/dead">' in page
    assert "<progress" not in page
    assert "all sent" not in page


def letter_of(body: str) -> dict:
    return {
        "received_at": "2026-04-16T12:34:56.000Z", "destination": "slack-leads", "method": "POST", "path": "/",
        "headers": {"content-type": "application/json"}, "body": body,
    }  # fmt: skip


@pytest.mark.parametrize("body", ["", "[" * 5000, "\ud800", '{"text": 5}', "null", '{"text": "\\ud800"}'])
def test_any_body_makes_an_inbox(body):
    assert "POST" in inbox(letter_of(body), kinds={"slack-leads": "slack"})


def test_an_empty_inbox_says_how_to_fill_it():
    assert "gateway send contact.created" in inbox()


TRACKED = {
    "before": {"status_id": 1, "note": "<b>"},
    "changes": [{"name": "status_id", "before": 1, "after": 3}, {"name": "<i>", "before": "<b>", "after": None}],
    "record": {"status_id": 3},
}


@pytest.mark.parametrize(
    ("tracked", "said"),
    [
        pytest.param(TRACKED, "status_id", id="changed"),
        pytest.param({**TRACKED, "changes": []}, "None of the known fields of its record.", id="the same"),
        pytest.param(
            {"before": {}, "changes": [], "record": {}}, "Unknown: nothing was known of its record", id="first"
        ),
    ],
)
def test_the_page_of_an_event_says_what_it_changed_in_its_record(tracked, said):
    page = event(tracked=tracked)
    assert "What it changed" in page
    assert said in page
    assert "<b>" not in page[page.index("What it changed") : page.index("payload-title")]
    assert "What it changed" not in event()


@pytest.mark.parametrize(
    ("fired_at", "said"), [("2026-11-27T22:09:00.000Z", "5 h earlier"), ("2026-11-28T03:09:58.000Z", "just before")]
)
def test_a_route_that_was_held_back_says_how_long_before_it_had_fired(fired_at, said):
    [held] = g.an_event()["held_back"]
    page = event(held_back=[{**held, "fired_at": fired_at}], received_at="2026-11-28T03:09:58.000Z")
    assert f">{said}</a>" in page


def test_what_waits_gathers_and_is_in_a_digest_says_so():
    waiting = {"state": "pending", "attempts": 0, "status": None}
    late = g.a_delivery(1, **waiting, due_in_s=4000.0, waits_until="2026-11-30T09:00:00.000Z")
    soon = g.a_delivery(2, **waiting, due_in_s=240.0, waits_until="2026-11-30T09:00:00.000Z")
    head = g.a_delivery(3, **waiting, due_in_s=90.0, waits_until="2026-11-30T09:00:00.000Z", gathered=3)
    head["digest"] = head["id"]
    member = {**g.a_delivery(4, **waiting, waits_until="2026-11-30T09:00:00.000Z"), "digest": head["id"]}
    deliveries = [{**each, "attempts_made": []} for each in (late, soon, head, member)]
    page = event(deliveries=deliveries)
    assert "waits until Mon 09:00 UTC" in page
    assert "due in 4 min" in page
    assert "gathers until Mon 09:00 UTC, 3 events so far" in page
    assert f"in digest {head['id']}" in page
    assert "gathers in a digest, due 30 Nov 09:00:00 UTC" in page
    assert f'href="/events/{head["id"]}"' in page


@pytest.mark.parametrize(
    ("why", "said"), [("waits until Sun 01:00 (Asia/Tokyo)", "waiting, held"), ("", "waiting, due now")]
)
def test_what_is_due_and_held_does_not_say_that_it_goes_out_now(why, said):
    waiting = g.a_delivery(1, state="pending", attempts=0, status=None, due_in_s=0.0, held=why, attempts_made=[])
    assert said in event(deliveries=[waiting])
