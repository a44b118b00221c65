"""What today's file makes of an event of the store: entries, requests, what has changed, and why nothing can be said."""

import asyncio
import hashlib
import json

import pytest
from msgspec.structs import replace

from gateway.config import load
from gateway.console.story import _curl
from gateway.egress import Egress
from gateway.model import Attempt, Delivery, Lookup, Notice
from gateway.operate import views
from gateway.pipeline import deliver
from gateway.process import Gateway
from gateway.rehearsal.explained import entries, explained, explained_history, in_words
from gateway.rehearsal.rehearse import rehearse, sender_headers
from gateway.routing.cases import sample
from gateway.store.nouns import HeldBack
from gateway.store.queries import EventHistory

NOW = 1_767_225_600.0
ROUTES = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret}}
vars: {token: "${TOKEN}"}
destinations:
  crm: {url: https://crm.example/api, auth: {bearer: "${TOKEN}"}}
  archive: {type: file, path: "FOLDER/archive.ndjson"}
  ops: {type: slack, url: "https://hooks.slack.example/services/T0/B0/hidden"}
always: [{to: archive}]
routes:
  - name: welcome
    match: contact.*
    once: {per: "{{ attrs.id }}"}
    to: crm
    body: {id: "{{ attrs.id }}", token: "{{ vars.token }}"}
failed: [{to: ops, text: "{{ delivery.reason }} {{ delivery.link }}"}]
"""


def configured(folder, text=ROUTES):
    path = folder / "routes.yaml"
    path.write_text(text.replace("FOLDER", str(folder)), "utf-8")
    return load(path, environ={"TOKEN": "t0ken-of-crm"})


@pytest.fixture
def config(tmp_path):
    return configured(tmp_path)


def history_of(config, *deliveries, attempts=(), **fields):
    """Of the sample contact.created, with (route, destination) of each of its deliveries, and the first one's attempts."""
    source = config.sources["xobito"]
    body = sample(source, "contact.created")
    event = rehearse(config, source, body, sender_headers(source, body), NOW).event
    made = tuple(
        Delivery(id=f"dlv_{number}", event_id=event.id, route=route, destination=destination)
        for number, (route, destination) in enumerate(deliveries, start=1)
    )
    known = {"event": event, "intact": True, "deliveries": made, "attempts": {"dlv_1": tuple(attempts)}}
    return EventHistory(**{**known, **fields})


def an_attempt(sha256: bytes) -> Attempt:
    return Attempt(number=1, started_at=NOW, duration_s=0.1, outcome="delivered", status=200, sent_sha256=sha256)


def delivered(config, history):
    """The history after a real attempt at its first delivery."""

    async def run():
        gateway = Gateway(config=config, store=None, egress=Egress(), clock=lambda: NOW)
        try:
            return await deliver(history.deliveries[0], history.event, gateway)
        finally:
            await gateway.egress.close()

    attempt = asyncio.run(run()).attempt
    return replace(history, attempts={"dlv_1": (attempt,)})


def test_every_entry_and_the_request_of_every_delivery_are_there_without_a_secret(config):
    found = explained_history(config, history_of(config, ("welcome", "crm"), ("always/archive", "archive")))
    assert (found["why_not_explained"], found["config"]) == ("", config.revision)
    assert [(each["name"], each["taken"]) for each in found["entries"]] == [
        ("always/archive", True), ("welcome", True), ("failed/ops", True)
    ]  # fmt: skip
    crm, archive = found["requests"]
    assert (crm["delivery_id"], crm["destination"], crm["error"]) == ("dlv_1", "crm", "")
    assert crm["request"]["body"] == {"id": 451, "token": "***"}
    assert crm["request"]["headers"]["webhook-id"] == "dlv_1"
    assert archive["request"]["line"]["type"] == "contact.created"
    assert "t0ken-of-crm" not in json.dumps(found)


def test_a_request_says_how_its_destination_is_reached_without_a_login(tmp_path, config):
    ways = "{http2: true, proxy: 'http://ada:pr0xy-login@proxy.lan:3128', "
    config = configured(tmp_path, ROUTES.replace("crm: {", f"crm: {ways}"))
    [request] = explained_history(config, history_of(config, ("welcome", "crm")))["requests"]
    assert request["request"]["curl_options"] == ["--proxy http://proxy.lan:3128", "--http2"]
    command = _curl(request["request"], request["request"]["body"])
    assert "--proxy http://proxy.lan:3128" in command
    assert "--http2" in command
    assert "pr0xy-login" not in json.dumps(request) + command


def test_a_file_that_says_the_same_has_not_changed_and_one_that_says_more_has(tmp_path, config):
    before = delivered(config, history_of(config, ("always/archive", "archive")))
    [request] = explained_history(config, before)["requests"]
    assert request["changed"] is False
    more = configured(tmp_path, ROUTES.replace("{to: archive}", "{to: archive, text: only this}"))
    [request] = explained_history(more, before)["requests"]
    assert request["changed"] is True


def test_secrets_count_when_a_change_is_looked_for_and_are_still_not_shown(tmp_path, config):
    sent = hashlib.sha256(b'{"id":451,"token":"t0ken-of-crm"}').digest()
    [request] = explained_history(config, history_of(config, ("welcome", "crm"), attempts=[an_attempt(sent)]))[
        "requests"
    ]
    assert request["changed"] is False
    assert request["request"]["body"]["token"] == "***"


@pytest.mark.parametrize(("preset", "changed"), [("github", True), ("mailgun", None)])
def test_where_the_signature_is_in_the_body_nothing_says_what_has_changed(tmp_path, preset, changed):
    sign = f"crm: {{sign: {{preset: {preset}, secret: 5c1f0e8a9b7d42e6a1c3}}, "
    config = configured(tmp_path, ROUTES.replace("crm: {", sign))
    history = history_of(config, ("welcome", "crm"), attempts=[an_attempt(b"x" * 32)])
    [request] = explained_history(config, history)["requests"]
    assert request["changed"] is changed


def test_what_can_no_longer_be_made_has_changed_and_says_why(tmp_path, config):
    history = history_of(config, ("welcome", "gone"), attempts=[an_attempt(b"x" * 32)])
    [request] = explained_history(config, history)["requests"]
    assert (request["request"], request["changed"], request["retry"]) == (None, True, "")
    assert request["error"].startswith('the destination "gone" is no longer in routes.yaml')


@pytest.mark.parametrize("attempts", [[], [an_attempt(b"")]], ids=["no attempt", "an attempt that sent nothing"])
def test_nothing_sent_is_nothing_to_compare_with(config, attempts):
    [request] = explained_history(config, history_of(config, ("welcome", "crm"), attempts=attempts))["requests"]
    assert request["changed"] is None


def test_a_route_that_had_fired_says_for_what(config):
    held = HeldBack(name="welcome", key="451", event_id="evt_first", fired_at=NOW)
    found = explained_history(config, history_of(config, held_back=(held,)))
    [welcome] = [each for each in found["entries"] if each["name"] == "welcome"]
    assert welcome["once"] == "already fired for the key 451: evt_first, 2026-01-01T00:00:00.000Z"
    assert found["requests"] == []


def test_a_notice_is_built_of_what_it_tells_of(config):
    notice = Notice(id="dlv_9", destination="crm", route="welcome", attempts=3, reason="HTTP 500")
    told = Delivery(id="dlv_1", event_id="e", route="failed/ops", destination="ops", notice=notice)
    history = history_of(config, deliveries=(told,))
    [request] = explained_history(config, history, "http://127.0.0.1:8081")["requests"]
    assert request["request"]["body"]["text"] == f"HTTP 500 http://127.0.0.1:8081/events/{history.event.id}"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body_is": "removed"}, "no longer kept (retention.bodies)"),
        ({"body_is": "redacted"}, "was redacted after its last delivery"),
        ({"intact": False}, "no longer matches its checksum"),
    ],
)
def test_an_event_without_its_body_is_not_explained(config, fields, said):
    found = explained_history(config, history_of(config, ("welcome", "crm"), **fields))
    assert said in found["why_not_explained"]
    assert (found["entries"], found["requests"]) == ([], [])


def test_what_the_process_died_over_is_not_played_in_it_again(config):
    [deadly] = history_of(config, ("welcome", "crm")).deliveries
    history = history_of(config, deliveries=(replace(deadly, crashes=2),))
    found = explained_history(config, history)
    assert found["why_not_explained"].startswith("the gateway died 2 times while it worked on dlv_1")
    assert f"gateway explain {history.event.id}" in found["why_not_explained"]
    assert found["entries"] == []


def test_an_event_of_a_source_that_has_gone_names_it(tmp_path, config):
    history = history_of(config, ("welcome", "crm"))
    renamed = configured(tmp_path, ROUTES.replace("{xobito:", "{crm-events:"))
    reason = explained_history(renamed, history)["why_not_explained"]
    assert reason == f"{history.event.id} came from xobito, which is no longer in routes.yaml"


def test_a_body_that_is_no_payload_any_more_says_so(config):
    history = history_of(config, ("welcome", "crm"))
    broken = replace(history, event=replace(history.event, body=b"{"))
    assert "cannot be read: the body is not valid JSON" in explained_history(config, broken)["why_not_explained"]


# --- what is redacted ---

REDACTING = ROUTES.replace("secret: s3cret", "secret: s3cret, redact: [attrs.email, attrs.id, headers.x-user]").replace(
    "failed:",
    """  - name: by-email
    source: xobito
    where: {attrs.email: {suffix: example.com}, payload.data.attributes: {empty: false}, attrs.firstname: John}
    once: {per: "{{ attrs.email }}"}
    to: crm
    body: {name: "{{ attrs.firstname }}", mail: "{{ attrs.email | upper }}"}
  - name: computing
    match: contact.created
    to: crm
    body: {next: "{{ attrs.id + 1 }}"}
  - name: failing
    match: contact.created
    to: crm
    body: {at: "{{ attrs.email | date('%Y') }}"}
failed:""",
)


@pytest.fixture
def redacting(tmp_path):
    return configured(tmp_path, REDACTING)


def of_ada(config, *deliveries, **fields):
    history = history_of(config, *deliveries, **fields)
    body = history.event.body.replace(b"john@example.com", b"ada.lovelace@example.com")
    return replace(
        history, event=replace(history.event, body=body, headers={**history.event.headers, "x-user": "ada-l"})
    )


def test_what_is_redacted_is_in_nothing_that_explains_an_event(redacting):
    names = ["welcome", "by-email", "computing", "failing"]
    held = HeldBack(name="by-email", key="ada.lovelace@example.com", event_id="evt_1", fired_at=NOW)
    history = of_ada(redacting, ("always/archive", "archive"), *((name, "crm") for name in names), held_back=(held,))
    # The name of the file in force may have any figures.
    found = {**explained_history(redacting, history), "config": ""}
    assert found["why_not_explained"] == ""
    for hidden in ("lovelace", "LOVELACE", "451", "ada-l"):
        assert hidden not in json.dumps(found), hidden


def test_a_condition_saw_the_real_value_and_shows_none_of_it(redacting):
    found = explained_history(redacting, of_ada(redacting))
    [entry] = [each for each in found["entries"] if each["name"] == "by-email"]
    assert entry["taken"]
    clauses = {each["field"]: each["seen"] for each in entry["clauses"]}
    assert (clauses["attrs.email"], clauses["attrs.firstname"]) == ("•••", "John")
    assert (clauses["payload.data.attributes"]["email"], clauses["payload.data.attributes"]["lastname"]) == (
        "•••",
        "Doe",
    )
    assert entry["once"] == "fires once in 30d for the key •••"


def test_a_request_is_shown_as_of_the_masked_event(redacting):
    history = of_ada(redacting, ("by-email", "crm"), ("always/archive", "archive"))
    mail, archive = explained_history(redacting, history)["requests"]
    assert mail["request"]["body"] == {"name": "John", "mail": "•••"}
    attributes = archive["request"]["line"]["body"]["data"]["attributes"]
    assert (attributes["email"], attributes["firstname"]) == ("•••", "John")


def test_a_request_that_needs_the_value_is_not_shown_and_one_that_fails_on_it_says_so_without_it(redacting):
    history = of_ada(redacting, ("computing", "crm"), ("failing", "crm"))
    computing, failing = explained_history(redacting, history)["requests"]
    assert (computing["request"], computing["error"]) == (None, "")
    assert computing["not_shown"] == "it depends on a value that the source redacts"
    assert failing["request"] is None
    assert "•••" in failing["error"]


def test_a_change_is_told_by_the_real_body(tmp_path, redacting):
    history = delivered(redacting, of_ada(redacting, ("by-email", "crm")))
    [request] = explained_history(redacting, history)["requests"]
    assert request["changed"] is False


def test_a_history_is_shown_without_what_is_redacted(redacting):
    held = HeldBack(name="by-email", key="ada.lovelace@example.com", event_id="evt_1", fired_at=NOW)
    history = of_ada(redacting, ("by-email", "crm"), held_back=(held,))
    shown = views.event_history(history, redacting.redaction(history.event))
    assert shown["payload"]["data"]["attributes"]["email"] == "•••"
    assert (shown["headers"]["x-user"], shown["held_back"][0]["key"]) == ("•••", "•••")
    assert "lovelace" not in json.dumps(shown)


@pytest.mark.parametrize(
    "body", [b"a=1&email=ada.lovelace@example.com", b"<mail>ada.lovelace@example.com</mail>", b"{"]
)
def test_a_body_in_which_no_field_can_be_told_is_masked_whole(redacting, body):
    history = of_ada(redacting)
    kept = replace(history, event=replace(history.event, body=body, headers={"content-type": "text/plain"}))
    assert views.event_history(kept, redacting.redaction(kept.event))["payload"] == "•••"


def test_of_a_redacted_body_the_rest_is_shown(redacting):
    history = of_ada(redacting)
    event = replace(history.event, body=b'{"a": 1}', headers={"content-type": "application/x-www-form-urlencoded"})
    held = HeldBack(name="by-email", key="ada.lovelace@example.com", event_id="evt_1", fired_at=NOW)
    left = replace(history, event=event, body_is="redacted", held_back=(held,))
    shown = views.event_history(left, redacting.redaction(event))
    assert (shown["payload"], shown["held_back"][0]["key"]) == ({"a": 1}, "•••")


def test_what_a_condition_saw_in_a_list_is_shown_element_by_element_and_redacted(tmp_path):
    text = """version: 1
sources: {app: {preset: bearer, secret: own-secret-of-the-tests, redact: ["payload.items[*].name"]}}
destinations: {log: {type: file, path: log.ndjson}}
routes:
  - to: log
    where:
      payload.items[*].price: {number: true, gte: 10}
      payload.items[*].name: [Ada, Bob]
      payload.items[*].none: {exists: false}
      payload.labels["a.b"]: {not: web}
"""
    (tmp_path / "routes.yaml").write_text(text)
    config = load(tmp_path / "routes.yaml", environ={})
    source = config.sources["app"]
    body = b'{"items": [{"price": "9"}, {"price": "10.5", "name": "Ada"}], "labels": {"a.b": "db"}}'
    rehearsal = rehearse(config, source, body, sender_headers(source, body), NOW)
    [entry] = entries(config, rehearsal)
    clauses = {each["field"]: each for each in entry["clauses"] if each.get("field", "").startswith("payload")}
    assert all(each["held"] for each in clauses.values())
    assert clauses["payload.items[*].price"]["seen"] == ["9", "10.5"]
    assert clauses["payload.items[*].name"]["seen"] == ["•••"]
    assert clauses["payload.items[*].none"]["missing"]
    assert clauses['payload.labels["a.b"]']["seen"] == "db"


TIMELY = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret, redact: attrs.firstname}}
destinations:
  ops: {type: slack, url: "https://hooks.slack.example/services/T0/B0/hidden"}
  crm: {url: https://crm.example/api, hours: {days: mon-fri, from: 09:00, to: 18:00, zone: Europe/Berlin}}
routes:
  - {name: week, match: contact.created, to: ops, digest: {every: 15m, by: attrs.firstname}, text: "{{ count }} new"}
  - {name: calm, match: contact.created, to: crm, debounce: {per: "{{ attrs.id }}", for: 2m}, text: hi}
  - {name: day, match: contact.created, to: ops, hours: {days: mon-fri, otherwise: skip}, text: hi}
"""


def test_it_is_said_until_when_an_event_would_wait_and_with_which_others_it_gathers(tmp_path):
    config = configured(tmp_path, TIMELY)
    source = config.sources["xobito"]
    body = sample(source, "contact.created")
    # Saturday, 3 January 2026, noon.
    rehearsal = rehearse(config, source, body, sender_headers(source, body), NOW + 2.5 * 86400)
    found = explained(config, rehearsal)
    by_name = {each["name"]: in_words(each) for each in found["entries"]}
    assert by_name["week"] == "gathers in a digest of at most 100 events, for •••"
    assert by_name["calm"] == "sent once no other event of the key 451 has come for 2m"
    assert by_name["day"] == "skipped: outside its hours, so nothing is sent"
    waits = {each["route"]: each["waits"] for each in found["deliveries"]}
    assert waits == {
        "week": "gathers until Sat 12:15 UTC",
        "calm": "waits until Mon 09:00 (Europe/Berlin)",
    }


# --- what is looked up first ---

LOOKING_UP = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret, redact: {paths: [attrs.email]}}}
destinations:
  crm: {url: https://crm.example/api, auth: {bearer: "${TOKEN}"}}
routes:
  - name: welcome
    match: contact.*
    to: crm
    fetch: {person: {from: crm, path: /search, query: {term: "{{ attrs.email }}"}}}
"""
CHOOSING = (
    LOOKING_UP
    + """\
    choose:
      - {if: person.items, method: PUT, path: "/{{ person.items[0].id }}", body: {}}
      - {if: attrs.firstname == FIRST, method: POST, path: /persons, body: {}}
"""
)


def requests_of(tmp_path, text, **fields):
    config = configured(tmp_path, text)
    return explained_history(config, history_of(config, ("welcome", "crm"), **fields))["requests"]


def test_the_request_of_a_look_up_is_shown_without_secrets_and_redacted_values_and_what_is_sent_if_nothing_is_found(
    tmp_path,
):
    [found] = requests_of(tmp_path, CHOOSING.replace("FIRST", '"John"'))
    [lookup] = found["lookups"]
    assert (lookup["name"], lookup["destination"], lookup["request"]["method"]) == ("person", "crm", "GET")
    assert lookup["request"]["url"].startswith("https://crm.example/api/search?term=")
    assert lookup["request"]["headers"]["authorization"] == "***"
    assert found["assumed"] == "as if person had found nothing"
    assert found["request"]["url"] == "https://crm.example/api/persons"
    shown = json.dumps(found)
    assert "john" not in shown
    assert "t0ken-of-crm" not in shown


@pytest.mark.parametrize(
    "text",
    [CHOOSING.replace("FIRST", '"Jane"'), LOOKING_UP + '    body: {id: "{{ person.id }}"}\n'],
    ids=["none of choose holds", "the content needs it"],
)
def test_what_is_sent_only_if_something_is_found_is_not_shown_and_not_called_broken(tmp_path, text):
    [found] = requests_of(tmp_path, text)
    assert (found["request"], found["error"]) == (None, "")
    assert found["not_shown"] == "it depends on what person finds, which is looked up at the attempt"


def test_nobody_can_say_whether_what_depends_on_a_look_up_has_changed(tmp_path):
    [found] = requests_of(tmp_path, CHOOSING.replace("FIRST", '"John"'), attempts=[an_attempt(b"x" * 32)])
    assert found["changed"] is None


def test_what_the_file_discards_without_a_look_up_says_so(tmp_path):
    text = LOOKING_UP.partition("    fetch:")[0] + "    choose: [{if: attrs.nowhere, body: {}}]\n"
    [found] = requests_of(tmp_path, text)
    assert found["discarded"].startswith("no element of choose holds (routes.yaml:")
    assert (found["request"], found["error"]) == (None, "")


def test_what_is_sent_with_others_is_shown_as_if_it_were_alone_and_says_so(tmp_path):
    text = ROUTES.replace("    once:", "    digest: {every: 1h}\n    once:").replace(
        'attrs.id }}", token', 'count }}", token'
    )
    config = configured(tmp_path, text)

    def assumed(**fields):
        history = history_of(config, ("welcome", "crm"))
        [delivery] = history.deliveries
        shown = explained_history(config, replace(history, deliveries=(replace(delivery, **fields),)))
        return shown["requests"][0].get("assumed")

    assert assumed(digest="dlv_1", gathered=1) is None
    assert assumed(digest="dlv_1", gathered=3) == "as if its digest had no other event"
    assert assumed(digest="dlv_2") == "as if its digest had no other event"


def test_a_look_up_that_failed_is_told_from_one_that_found_nothing():
    found = [Lookup(name=name, destination="crm", status=status) for name, status in (("deal", 404), ("person", 503))]
    made = replace(an_attempt(b""), outcome="retry", reason="fetch person: crm answered 503", lookups=tuple(found))
    assert [each["failed"] for each in views.attempt(made)["lookups"]] == [False, True]
    assert [each["failed"] for each in views.attempt(replace(made, reason="answered 503"))["lookups"]] == [False, False]
