"""The verbs that look, at a running gateway and at its store: what they find, and how they show it."""

import json
import re

import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources:
  xobito: {{preset: xobito, secret: acceptance-secret}}
destinations:
  crm: {{url: "{url}/crm"}}
  archive: {{url: "{url}/archive"}}
routes:
  - name: to-crm
    match: contact.created
    to: crm
  - name: to-archive
    match: contact.*
    to: archive
"""

#: Clears a terminal, turns the reading order round, and begins a sequence in one character.
HOSTILE = "\x1b[2J\x9b2J\u202egpj.exe\u2066\u061c\x07"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def sink():
    with Sink(answer(200)) as sink:
        yield sink.at("/crm", answer(422, f"bad {HOSTILE}".encode()))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sink):
    with GatewayProcess(tmp_path_factory.mktemp("look"), ROUTES.format(url=sink.url)) as gateway:
        for number in range(1, 6):
            gateway.post(distinct(number))
        hostile = json.loads(distinct(6))
        hostile["data"]["attributes"]["firstname"] = HOSTILE
        last = gateway.post(json.dumps(hostile, ensure_ascii=False).encode())[1]["id"]
        gateway.settled(last)
        gateway.verb("destinations", "mute", "archive", "--reason", f"noisy {HOSTILE}")
        yield gateway


def rows(gateway, *arguments):
    return json.loads(gateway.verb(*arguments, "--json").stdout)


@pytest.mark.parametrize(
    ("find", "found"),
    [
        ("data.id=3", 1),
        ("attrs.id=3", 1),
        ("headers.content-type=application/json", 6),
        ("john", 6),
        ("exe", 1),
        ("nobody", 0),
    ],
)
def test_events_are_found_by_what_they_hold(gateway, find, found):
    assert len(rows(gateway, "events", "--source", "xobito", "--find", find)) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["events", "--source", "xobto"],
            'no source "xobto", neither in routes.yaml nor in the store  (did you mean "xobito"?)',
        ),
        (["events", "--destination", "crmm"], 'no destination "crmm"'),
        (["dead", "--route", "to-crn"], '(did you mean "to-crm"?)'),
        (["dead", "--destination", "crmm", "--json"], '(did you mean "crm"?)'),
        (["dead", "--cause", "answerd 422"], '(did you mean "answered 422"?)'),
        (["tail", "--source", "xobto"], 'no source "xobto"'),
        (["refused", "--source", "xobto"], '(did you mean "xobito"?)'),
        (["discard", "--dead", "--route", "to-crn", "--yes"], 'no route "to-crn"'),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_an_unknown_name_is_a_mistake_and_no_empty_answer(gateway, arguments, said):
    done = gateway.verb(*arguments, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["events", "--source", "gateway"], ["dead", "--cause", "answered 404"], ["refused", "--source", "unknown"]],
)
def test_a_known_name_without_anything_is_an_empty_answer(gateway, arguments):
    assert json.loads(gateway.verb(*arguments, "--json").stdout) == []


@pytest.mark.parametrize(
    ("event_type", "said"),
    [
        ("contact.creatd", 'No such event: did you mean "contact.created"?'),
        ("contct.*", 'No such event: did you mean "contact.*"?'),
        ("contact.removed", 'No such event: did you mean "contact.deleted"?'),
        ("contact.restored", "No such event."),
        ("message.deleted.forever", "No such event."),
        ("contact.updated", "No such event."),
    ],
)
def test_a_type_of_which_there_is_no_event_may_be_misspelt(gateway, event_type, said):
    done = gateway.verb("events", "--type", event_type)
    assert (done.stdout, done.stderr) == (f"{said}\n", "")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--destination", "crm", "--state", "dead"], 6),
        (["--destination", "archive", "--state", "dead"], 0),
        (["--type", "contact.*", "--since", "1h"], 6),
        (["--source", "xobito", "--until", "1h"], 0),
    ],
)
def test_events_are_narrowed_by_where_they_went_and_when_they_came(gateway, filters, found):
    assert len(rows(gateway, "events", *filters)) == found


def test_a_page_says_how_to_go_on_and_the_next_one_begins_there(gateway):
    first = gateway.verb("events", "--source", "xobito", "--limit", "4", "--json")
    cursor = re.search(r"there are more: --before (\S+)", first.stderr)[1]
    second = gateway.verb("events", "--source", "xobito", "--limit", "4", "--before", cursor, "--json")
    ids = [each["id"] for page in (first, second) for each in json.loads(page.stdout)]
    assert len(ids) == len(set(ids)) == 6
    assert second.stderr == ""


def test_one_event_is_shown_with_all_that_became_of_it(gateway):
    [row] = rows(gateway, "events", "--find", "data.id=3")
    shown = gateway.verb("show", row["id"]).stdout
    for said in (
        "contact.created from xobito",
        "content-type: application/json",
        "to-crm > crm  dead",
        '"id": 3',
        "422",
    ):
        assert said in shown


def test_it_is_said_why_each_route_took_it_and_what_would_be_sent(gateway):
    [row] = rows(gateway, "events", "--find", "data.id=3")
    shown = gateway.verb("show", row["id"], "--why", "--request").stdout
    assert re.search(r"yes\s+to-crm \(routes\.yaml:\d+\)", shown)
    assert re.search(r"POST http://\S+/crm", shown)


def test_dead_letters_are_counted_by_cause_and_listed_one_by_one(gateway):
    assert rows(gateway, "dead") == [{"destination": "crm", "cause": "answered 422", "count": 6}]
    assert rows(gateway, "dead", "--destination", "archive") == []
    assert len(rows(gateway, "dead", "--list", "--cause", "answered 422")) == 6
    assert len(rows(gateway, "dead", "--since", "1h", "--limit", "2")) == 2
    assert re.search(r"6\s+crm\s+answered 422", gateway.verb("dead").stdout)


def test_destinations_are_listed_with_their_health(gateway):
    crm, archive = rows(gateway, "destinations")
    assert (crm["name"], crm["dead"], crm["died_1h"], crm["circuit"]) == ("crm", 6, 6, "closed")
    assert archive["muted"]["reason"].startswith("noisy ")
    assert "1h delivered" in gateway.verb("destinations").stdout.splitlines()[0]


def test_who_did_what_is_listed(gateway):
    [deed] = rows(gateway, "activity")
    assert (deed["verb"], deed["subject"]) == ("mute", "archive")
    assert deed["by"]


@pytest.mark.parametrize(
    "verb",
    [
        ["events"],
        ["show", "ID"],
        ["dead", "--list"],
        ["dead"],
        ["destinations"],
        ["activity"],
        ["show", "ID", "--json"],
    ],
)
def test_nothing_of_a_sender_or_a_destination_steers_the_terminal(gateway, verb):
    id_ = rows(gateway, "events", "--find", "attrs.id=6")[0]["id"]
    arguments = [id_ if each == "ID" else each for each in verb]
    piped = gateway.verb(*arguments)
    assert piped.stdout
    assert STEERING.search(piped.stdout + piped.stderr) is None
    shown = gateway.verb(*arguments, environ={"NO_COLOR": "1"}, columns=80)
    assert STEERING.search(shown.stdout + shown.stderr) is None


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
@pytest.mark.parametrize("verb", [["events"], ["dead", "--list"], ["destinations"], ["activity"]])
def test_a_row_takes_one_line_of_the_terminal(gateway, columns, verb):
    lines = gateway.verb(*verb, columns=columns, environ={"NO_COLOR": "1"}).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) == 1 + len(rows(gateway, *verb))


def test_colours_are_for_terminals_only_and_not_for_those_that_want_none(gateway):
    assert "\x1b" not in gateway.verb("events", environ={"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}).stdout
    colourful = gateway.verb("events", columns=160)
    plain = gateway.verb("events", columns=160, environ={"NO_COLOR": "1"})
    assert "\x1b[31mdead" in colourful.stdout
    assert "\x1b" not in plain.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["events", "--since", "tomorrow"], 2, "write 30m, 2h, 7d"),
        (["dead", "--until", "tomorrow"], 2, "write 30m, 2h, 7d"),
        (["events", "--before", "here"], 2, "is not a position"),
        (["replay", "--dead", "--rate", "fast"], 2, "write 5/s"),
        (["handshake", "xobto"], 2, 'did you mean "xobito"?'),
        (["render", "nothing.txt.j2"], 2, 'unknown template "nothing.txt.j2"'),
        (["events", "--state", "lost"], 2, "pending"),
        (["show", "evt_nothing"], 1, "no event or delivery evt_nothing"),
        (["events", "--url", "http://127.0.0.1:1"], 3, "is it running"),
        (["replay"], 2, "give ids, or --dead"),
        (["replay", "dlv_x", "--dead"], 2, "leave one of them out"),
        (["discard", "--destination", "crm"], 2, "add --dead"),
        (["destinations", "pause", "crn", "--reason", "x"], 2, 'did you mean "crm"?'),
        (["destinations", "resume", "nowhere"], 2, "known: crm, archive"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(gateway, arguments, code, said):
    done = gateway.verb(*arguments, check=False)
    assert done.returncode == code
    assert "answered 4" not in done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_the_store_says_the_same_when_the_gateway_has_ended(tmp_path, sink):
    verbs = [
        ["events"],
        ["dead"],
        ["dead", "--list"],
        ["destinations"],
        ["activity"],
        ["events", "--find", "data.id=2"],
    ]
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        for number in (1, 2):
            event_id = gateway.post(distinct(number))[1]["id"]
        gateway.settled(event_id)
        gateway.verb("destinations", "pause", "archive", "--reason", "their migration")
        verbs.append(["show", event_id])
        running = [rows(gateway, *each) for each in verbs]
        gateway.terminate()
        for verb, expected in zip(verbs, running, strict=True):
            found = rows(gateway, *verb)
            if verb == ["destinations"]:
                for each in (*expected, *found):
                    del each["held"], each["traffic"]
                    # A gateway knows its last attempt, the store the newest delivery that failed.
                    each["last_error"] = each["last_error"] and each["last_error"]["reason"]
            assert found == expected, verb
        assert "No gateway is running" in gateway.verb("replay", event_id, "--yes").stdout
        # A file with problems hides no events.
        (tmp_path / "routes.yaml").write_text("version: 2\n")
        assert len(rows(gateway, "events")) == len(running[0])
        assert "gateway: " not in gateway.verb("activity").stderr
        problems = gateway.verb("show", event_id, check=False)
        assert (problems.returncode, problems.stdout) == (1, "")
        assert "routes.yaml:1" in problems.stderr


def test_refused_requests_are_listed_with_what_to_do_also_when_the_gateway_has_ended(tmp_path, sink):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        body = distinct(1)
        assert gateway.post(body, headers={"x-webhook-signature": signature(body, "another secret")})[0] == 401
        eventually(lambda: gateway.api("/api/rejected")[1], "it is written")
        running = gateway.verb("refused", "--reason", "401")
        assert "does not match the body and the secret" in running.stdout
        assert "Its secret at Xobito differs from the one here" in running.stderr
        assert "No such request was refused." in gateway.verb("refused", "--source", "unknown").stdout
        gateway.terminate()
        ended = gateway.verb("refused", "--from", "127.")
        assert "does not match the body and the secret" in ended.stdout
        assert "Its secret at Xobito differs from the one here" in ended.stderr
