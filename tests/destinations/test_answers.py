"""What an answer comes to: rules of success first, then the kind's own reading; and the wait that its JSON asks for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.destinations import KINDS, Target
from gateway.destinations.answers import ABORT, DISABLE, asks, hinted, obeyed, read_status, said
from gateway.model import Dead, Delivered, Reply, Retry
from gateway.routing.changes import changed

FILE = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: s}}}}
{defaults}
destinations:
  crm: {{{keys}}}
always: [{{to: crm, text: hi}}]
"""


@pytest.fixture
def judged(tmp_path):
    def judge(keys: str, status: int, body: bytes = b"", defaults: str = "", **headers: str):
        (tmp_path / "routes.yaml").write_text(FILE.format(keys=keys, defaults=defaults and f"defaults: {{{defaults}}}"))
        crm = load(tmp_path / "routes.yaml", environ={"TOKEN": "s3cr3t"}).destinations["crm"]
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return crm.kind.judge(crm.target, Reply(status=status, body=body, headers=fields), 0.0)

    return judge


URL = "url: https://crm.example.com"


@pytest.mark.parametrize(
    ("rule", "status", "body", "is_met"),
    [
        ("{json: {ok: true}}", 200, b'{"ok": true}', True),
        ("{json: {ok: true}}", 200, b'{"ok": false}', False),
        ("{json: {ok: true}}", 200, b"ok: true", False),
        ("{json: {ok: true}}", 200, b"", False),
        ("{json: {errors: {empty: true}}}", 201, b'{"results": []}', True),
        ("{json: {errors: {empty: true}}}", 201, b'{"errors": [{"message": "no"}]}', False),
        ("{json: {errors: {empty: true}}}", 200, b"<html>maintenance</html>", False),
        ("{json: {data.0.status: [done, queued]}}", 200, b'{"data": [{"status": "queued"}]}', True),
        ("{json: {0.id: {gt: 5}}}", 200, b'[{"id": 6}]', True),
        ("{json: {any: [{ok: true}, {status: success}]}}", 200, b'{"status": "success"}', True),
        ("{text: {contains: accepted}}", 200, b"all accepted", True),
        ("{text: {contains: accepted}}", 200, b"refused", False),
        ("{text: ok}", 200, b"ok", True),
        ("{text: ok}", 200, b"ok, but", False),
        ("{text: {not: {contains: error}}}", 200, b"fine", True),
        ("{status: 202}", 202, b"", True),
        ("{status: 202}", 200, b"", False),
        ("{status: [200, 204]}", 204, b"", True),
        ("{status: 2xx, json: {ok: true}}", 200, b'{"ok": true}', True),
        ("[{json: {ok: true}}, {status: 204}]", 204, b"", True),
    ],
)
def test_a_2xx_counts_when_it_meets_a_rule_and_is_tried_again_when_it_meets_none(judged, rule, status, body, is_met):
    verdict = judged(f"{URL}, success: {rule}", status, body)
    if is_met:
        assert verdict == Delivered()
    else:
        assert isinstance(verdict, Retry)
        assert verdict.reason.startswith(f"answered {status}, but no rule of success matched")
        assert body.decode() in verdict.reason


TAKEN = 'success: [{status: 2xx}, {status: 422, text: {contains: "already been taken"}}]'


def test_a_422_for_what_is_there_already_counts_as_done_and_any_other_does_not(judged):
    body = b'{"message": "Validation failed", "errors": {"email": ["The email has already been taken."]}}'
    assert judged(f"{URL}, {TAKEN}", 422, body) == Delivered()
    assert isinstance(judged(f"{URL}, {TAKEN}", 422, b'{"errors": {"phone": ["is required"]}}'), Dead)
    assert judged(f"{URL}, {TAKEN}", 200) == Delivered()
    assert isinstance(judged(f"{URL}, {TAKEN}", 500, b"already been taken"), Retry)


def test_a_rule_without_a_status_speaks_of_2xx_alone(judged):
    assert isinstance(judged(f"{URL}, success: {{json: {{ok: true}}}}", 500, b'{"ok": true}'), Retry)
    assert isinstance(judged(f"{URL}, success: {{json: {{ok: true}}}}", 404, b'{"ok": true}'), Dead)


def test_the_rules_of_defaults_are_for_http_and_a_destinations_own_replace_them(judged):
    defaults = "success: {json: {ok: true}}"
    assert isinstance(judged(URL, 200, b"{}", defaults), Retry)
    assert judged(f"{URL}, success: {{status: 2xx}}", 200, b"{}", defaults) == Delivered()
    assert judged(f"{URL}, type: slack", 200, b"ok", defaults) == Delivered()


def test_the_kinds_own_refusal_stays_final_beside_a_rule(judged):
    rule = f"{URL}, type: slack, success: {{status: 202}}"
    assert isinstance(judged(rule, 200, b"channel_not_found"), Dead)
    assert isinstance(judged(rule, 200, b"ok"), Retry)
    assert judged(rule, 202) == Delivered()


def test_a_reload_sees_that_a_rule_has_changed_and_that_it_has_not(tmp_path):
    def loaded(keys: str):
        (tmp_path / "routes.yaml").write_text(FILE.format(keys=f"{URL}, success: {keys}", defaults=""))
        return load(tmp_path / "routes.yaml", environ={})

    one, same, other = (loaded(f"{{text: {{regex: {word}}}}}") for word in ("a", "a", "b"))
    assert one.destinations["crm"] == same.destinations["crm"]
    assert changed(one, same) == "nothing"
    assert changed(one, other) == "1 destination changed (crm)"


# --- how long to wait ---


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"retry_after": 45}, 45),
        ({"retry_after": 1.5}, 1.5),
        ({"retry_after": "45"}, 45),
        ({"retry_after": 10**30}, 86_400),
        ({"retry_after": "9" * 5_000}, 86_400),
        ({"retry_after": -5}, 0),
        ({"retry_after": True}, 0),
        ({"retry_after": None}, 0),
        ({"retry_after": "soon"}, 0),
        ({"retry_after": [45]}, 0),
        ({"other": 45}, 0),
        ([45], 0),
    ],
)
def test_a_hint_is_seconds_as_a_number_or_a_text_of_at_most_a_day_and_garbage_is_ignored(judged, body, seconds):
    verdict = judged(f"{URL}, retry_after: json:retry_after", 429, json.dumps(body).encode())
    assert isinstance(verdict, Retry)
    assert verdict.after_s == seconds


def test_a_hint_may_stand_deeper_and_the_larger_of_hint_and_header_counts(judged):
    keys, body = f"{URL}, retry_after: json:error.details.0.wait", b'{"error": {"details": [{"wait": 30}]}}'
    assert judged(keys, 503, body).after_s == 30
    assert judged(keys, 503, body, retry_after="60").after_s == 60
    assert judged(keys, 503, body, retry_after="5").after_s == 30


def test_a_hint_of_ones_own_stands_beside_that_of_the_kind(judged):
    keys = f"{URL}, type: discord, retry_after: json:wait"
    assert judged(keys, 429, b'{"retry_after": 3, "wait": 7}').after_s == 7
    assert judged(keys, 429, b'{"retry_after": 9, "wait": 7}').after_s == 9


def test_a_200_that_meets_no_rule_may_say_how_long_to_wait(judged):
    keys = f"{URL}, retry_after: json:retry_after, success: {{json: {{ok: true}}}}"
    assert judged(keys, 200, b'{"ok": false, "retry_after": 20}').after_s == 20


@given(
    st.binary()
    | st.recursive(st.none() | st.floats() | st.text(), lambda t: st.dictionaries(st.just("a"), t)).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_any_answer_has_a_hint_of_0_to_24_hours(body):
    assert 0 <= hinted(body, ("a", "a")) <= 86_400


#: Mail servers have statuses of their own: tests/destinations/test_email.py.
OF_HTTP = {name: kind for name, kind in KINDS.items() if not kind.is_mail}


@pytest.mark.parametrize("kind", OF_HTTP.values(), ids=OF_HTTP)
@pytest.mark.parametrize("status", [300, 399, 400, 401, 404, 422, 451])
def test_what_is_final_is_final_for_every_kind(kind, status):
    assert isinstance(kind.judge(Target(url="https://a.example"), Reply(status=status), 0.0), Dead)


@pytest.mark.parametrize("kind", OF_HTTP.values(), ids=OF_HTTP)
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_be_better_later_is_tried_again_by_every_kind(kind, status):
    assert isinstance(kind.judge(Target(url="https://a.example"), Reply(status=status), 0.0), Retry)


@pytest.mark.parametrize(
    ("keys", "login"),
    [
        ('auth: {bearer: "${TOKEN}"}', "auth.bearer is ${TOKEN}, which is read at start"),
        ('auth: {bearer: "${TOKEN:-other-s3cr3t}"}', "auth.bearer is ${TOKEN}, which is read at start"),
        ("auth: {bearer: other-s3cr3t}", "auth.bearer is written in the file"),
        ('auth: {basic: {user: me, password: "${TOKEN}"}}', "auth.basic is ${TOKEN}, which is read at start"),
        ('auth: {header: {name: x-key, value: "${TOKEN}"}}', "auth.header is ${TOKEN}, which is read at start"),
        ('auth: {bearer: "${file:token.txt}"}', "auth.bearer is ${file:token.txt}, which is read on every reload"),
        ("method: POST", "the destination has no auth"),
    ],
)
def test_a_401_says_where_the_login_comes_from_and_when_that_is_read_and_never_what_it_is(
    judged, tmp_path, keys, login
):
    (tmp_path / "token.txt").write_text("s3cr3t")
    verdict = judged(f"{URL}, {keys}", 401)
    assert verdict == Dead(f"answered 401 (it does not accept the login; {login})")


# --- its own words ---


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "property unknown"}', "property unknown"),
        (b'{"status":"error","message":"Property values were not valid","correlationId":"x"}', "Property values were not valid"),
        (b'{"error": {"message": "No such customer", "type": "invalid_request_error"}}', "No such customer"),
        (b'{"error": "the contact has open invoices"}', "the contact has open invoices"),
        (b'{"error": "invalid_grant", "error_description": "The code is used"}', "The code is used"),
        (b'{"type": "about:blank", "title": "Bad Request", "detail": "age must be a number"}', "age must be a number"),
        (b'{"title": "Bad Request"}', "Bad Request"),
        (b'{"errors": [{"code": 3, "message": "E-mail is taken"}]}', "E-mail is taken"),
        (b'{"errors": ["E-mail is taken"]}', "E-mail is taken"),
        (b'{"detail": [{"loc": ["body", "age"], "msg": "field required"}]}', "field required"),
        (b'[{"message": "duplicate value", "errorCode": "DUPLICATE_VALUE"}]', "duplicate value"),
        (b'{"ok": false, "description": "chat not found"}', "chat not found"),
        (b'{"message": ""}', ""),
        (b'{"message": {"no": "text"}}', ""),
        (b"{}", ""),
        (b"[]", ""),
        (b"<h1>no</h1>", ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_the_sentence_of_an_answer_is_found_where_apis_have_it(body, words):
    assert said(body) == words


@given(body=st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["error", "errors", "message", "detail"]), inner, max_size=3),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_answer_has_a_text_or_none(body):
    assert isinstance(said(body), str)


def test_the_destinations_own_words_come_before_what_its_status_means():
    reply = Reply(status=422, body=b'{"message": "property unknown"}')
    assert read_status(Target(url="https://crm.example.com"), reply).reason.startswith(
        "answered 422: property unknown (it does not accept these values"
    )


# --- what a receiver asks of its sender ---


ONLY_THIS = "path or query is made from the event, so only this delivery is given up"


def asking(header: str | None) -> Reply:
    return Reply(status=503, headers={} if header is None else {"webhook-delivery": header})


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, set()),
        ("", set()),
        ("disable", {DISABLE}),
        ("abort-message", {ABORT}),
        (" Disable ", {DISABLE}),
        ("abort-message, disable", {ABORT, DISABLE}),
        ("disabled", set()),
        ("do not disable", set()),
    ],
)
def test_what_an_answer_asks_of_its_sender(header, asked):
    assert {each for each in (DISABLE, ABORT) if asks(asking(header), each)} == asked


@pytest.mark.parametrize("verdict", [Delivered(), Dead("answered 400")])
@pytest.mark.parametrize("is_own_address", [True, False])
def test_what_is_over_is_not_changed_by_what_an_answer_asks(verdict, is_own_address):
    assert obeyed(verdict, asking("abort-message, disable"), is_own_address=is_own_address) is verdict


@pytest.mark.parametrize(
    ("header", "is_own_address", "reason"),
    [
        (
            "abort-message",
            False,
            "answered 503; its answer says webhook-delivery: abort-message, so it is not tried again",
        ),
        ("disable", False, None),
        (
            "disable",
            True,
            f"answered 503; its answer says webhook-delivery: disable; {ONLY_THIS}",
        ),
    ],
)
def test_a_failure_is_final_if_its_receiver_says_so(header, is_own_address, reason):
    verdict = Retry("answered 503", after_s=3)
    found = obeyed(verdict, asking(header), is_own_address=is_own_address)
    assert found == (verdict if reason is None else Dead(reason))


@given(header=st.text(max_size=40))
def test_no_value_of_the_header_is_an_error(header):
    assert isinstance(obeyed(read_status(Target(), asking(header)), asking(header), is_own_address=False), Retry | Dead)
    assert asks(asking(header), DISABLE) in (True, False)
