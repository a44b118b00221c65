"""What people write is what they mean, or a clear word about why it makes no sense."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.errors import BadRequest
from gateway.model import DeliveryState, Event
from gateway.operate import selection
from gateway.operate.selection import Filter

NOW = 1_776_340_800.0  # 2026-04-16T12:00:00Z


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "routes.yaml"
    path.write_text("version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n")
    return load(path, environ={})


def an_event(payload: object, *, source: str = "xobito", **headers: str) -> Event:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Event(
        id="evt_1", source=source, type="contact.created", received_at=NOW, headers=headers, body=body, sha256=b""
    )


# --- times ---


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2h", 7200),
        ("30m", 1800),
        ("7d", 7 * 86400),
        ("1h30m", 5400),
        ("2026-04-16T11:00:00Z", 3600),
        ("2026-04-16T11:00:00", 3600),
        ("2026-04-16T13:00:00+02:00", 3600),
        ("2026-04-15", 36 * 3600),
    ],
)
def test_a_time_is_a_duration_or_an_iso_time(text, ago):
    assert selection.ago_s("since", text, NOW) == ago


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Filter(since="yesterday"), 'since: "yesterday" is neither a duration nor a time: write 30m'),
        (Filter(since="2"), "neither a duration nor a time"),
        (Filter(until="-2h"), "neither a duration nor a time"),
        (Filter(since="2026-04-17"), "since: 2026-04-17 is in the future"),
        (Filter(since="1h", until="2h"), "since 1h is not before until 2h"),
        (Filter(since="1h", until="1h"), "since 1h is not before until 1h"),
        (Filter(state="waiting"), 'state: "waiting" is not known (known: pending, delivered, dead, discarded)'),
        (Filter(source="a\nb"), 'source: "a?b" is not a valid source'),
        (Filter(type="x" * 501), "at most 500 printable characters"),
    ],
)
def test_what_makes_no_sense_is_said(config, asked, said):
    with pytest.raises(BadRequest) as of_events:
        selection.event_search(asked, config, NOW)
    with pytest.raises(BadRequest) as of_deliveries:
        selection.delivery_query(asked, NOW)
    assert said in str(of_events.value)
    assert str(of_deliveries.value) == str(of_events.value)


def test_what_ends_in_the_future_has_not_ended(config):
    assert selection.event_search(Filter(since="1h", until="2026-04-17"), config, NOW).query.until_s is None


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_bounds(config, limit):
    with pytest.raises(BadRequest, match=r"limit: .* is out of range: from 1 to 1,000"):
        selection.event_search(Filter(), config, NOW, limit=limit)


def test_a_page_lies_on_one_side_of_a_row(config):
    with pytest.raises(BadRequest, match="before and after together"):
        selection.event_search(Filter(), config, NOW, before="7", after="evt_1")


def test_only_dead_deliveries_have_a_cause():
    assert selection.delivery_query(Filter(cause="answered 422"), NOW).state is DeliveryState.DEAD
    with pytest.raises(BadRequest, match="only dead deliveries have a cause"):
        selection.delivery_query(Filter(cause="answered 422", state="pending"), NOW)


def test_ids_are_named_up_to_a_thousand():
    assert len(selection.delivery_query(Filter(), NOW, ids=["dlv_1"] * 1000).ids) == 1000
    with pytest.raises(BadRequest, match="1,001 ids: at most 1,000"):
        selection.delivery_query(Filter(), NOW, ids=["dlv_1"] * 1001)


@pytest.mark.parametrize(("rate", "interval_s"), [("", 0), ("none", 0), ("5/s", 0.2), ("60/min", 1), ("2/h", 1800)])
def test_a_rate_is_a_time_between_two(rate, interval_s):
    assert selection.interval_s(rate) == pytest.approx(interval_s)


@pytest.mark.parametrize("rate", ["5", "0/s", "5/day", "fast", "-1/s", "5 / s"])
def test_what_is_no_rate_is_said(rate):
    with pytest.raises(BadRequest, match="write 5/s, 60/min or 100/h"):
        selection.interval_s(rate)


@pytest.mark.parametrize(
    ("asked", "ids", "said"),
    [
        (Filter(state="dead", destination="crm", cause="answered 422", since="2h"), (),
         "dead for crm, answered 422, since 2h"),
        (Filter(source="xobito", type="contact.*", until="1d"), (), "from xobito, contact.*, until 1d"),
        (Filter(route="leads"), (), "of the route leads"),
        (Filter(), ("evt_1",), "evt_1"),
        (Filter(), ("evt_1", "evt_2"), "2 ids, starting with evt_1"),
    ],
)  # fmt: skip
def test_a_selection_can_be_read(asked, ids, said):
    assert selection.in_words(asked, ids) == said


@given(
    asked=st.builds(
        Filter, **{name: st.text(max_size=30) for name in ("source", "type", "state", "since", "until", "q")}
    ),
    limit=st.integers(),
    before=st.text(max_size=10),
)
def test_any_filter_is_a_query_or_refused(config, asked, limit, before):
    for ask in (
        lambda: selection.event_search(asked, config, NOW, limit=limit, before=before).query,
        lambda: selection.delivery_query(asked, NOW, limit=limit, before=before),
    ):
        try:
            assert 1 <= ask().limit <= 1000
        except BadRequest as error:
            assert str(error).isprintable()


# --- q ---

CONTACT = {
    "event": "created",
    "data": {
        "id": 451,
        "attributes": {"id": 451, "firstname": "Ada", "phone": "+14155551234", "vip": True, "age": 1.5},
    },
}


@pytest.mark.parametrize(
    "q",
    [
        "data.id=451",
        "payload.data.id=451",
        "attrs.id=451",
        "attrs.firstname=Ada",
        "attrs.phone=+14155551234",
        "attrs.vip=true",
        "attrs.age=1.5",
        "headers.x-webhook-event=contact.created",
        "headers.X-Webhook-Event=contact.created",
        "event=created",
        "14155551234",
        "ada",
        "ADA",
        "+1415",
        '"+14155551234"',
    ],
)
def test_what_is_there_is_found(config, q):
    _, holds = selection.searched(q, config)
    assert holds(an_event(CONTACT, **{"x-webhook-event": "contact.created"}))


@pytest.mark.parametrize(
    "q",
    [
        "data.id=45",
        "data=451",
        "data.attributes=Ada",
        "attrs.firstname=ada",
        "attrs.vip=True",
        "attrs.nothing=null",
        "headers.x-webhook-event=contact",
        "headers.authorization=",
        "vars.id=451",
        "Grace",
        '"data.id=451"',
    ],
)
def test_what_is_not_there_is_not_found(config, q):
    _, holds = selection.searched(q, config)
    assert not holds(an_event(CONTACT, **{"x-webhook-event": "contact.created"}))


@pytest.mark.parametrize(
    ("q", "words"),
    [
        ("attrs.phone=+14155551234", ("14155551234",)),
        ("attrs.email=ada@example.com", ("ada", "example", "com")),
        ("Ada Love", ("Ada", "Love*")),
        ("Ada!", ("Ada",)),
        ("headers.x-y=z", ()),
        ("attrs.name=José", ("José",)),
        ("José Doe", ("Doe*",)),
        ("attrs.x=null", ()),
        ("attrs.x=0.1234567890123456", ()),
        ("attrs.x=123456789012345678901", ()),
        ("---", ()),
    ],
)
def test_the_index_is_asked_for_the_words_that_it_surely_has(config, q, words):
    assert selection.searched(q, config)[0] == words


@pytest.mark.parametrize(
    ("q", "said"),
    [
        (" ", "write 1 to 500 characters"),
        ("x" * 501, "write 1 to 500 characters"),
        ("=451", 'q: "" is not a path: write data.id=451, or "=451" in quotes'),
        ("data..id=451", 'q: "data..id" is not a path'),
        (".id=451", 'q: ".id" is not a path'),
    ],
)
def test_what_cannot_be_searched_for_is_said(config, q, said):
    with pytest.raises(BadRequest) as refused:
        selection.searched(q, config)
    assert said in str(refused.value)


def test_what_is_redacted_is_not_found_by_guessing(tmp_path):
    path = tmp_path / "routes.yaml"
    source = "{preset: xobito, secret: s3cret, redact: [attrs.phone, headers.x-who]}"
    path.write_text(f"version: 1\nsources: {{xobito: {source}}}\n")
    redacting = load(path, environ={})
    event = an_event(CONTACT, **{"x-who": "Ada"})
    for q in ("attrs.phone=+14155551234", "data.attributes.phone=+14155551234", "14155551234", "headers.x-who=Ada"):
        assert not selection.searched(q, redacting)[1](event)
    assert selection.searched("attrs.firstname=Ada", redacting)[1](event)


def test_a_source_that_is_gone_has_no_shortcuts_and_is_still_found_by_its_payload(config):
    event = an_event(CONTACT, source="gone")
    assert selection.searched("data.id=451", config)[1](event)
    assert not selection.searched("attrs.id=451", config)[1](event)


@given(q=st.text(max_size=40), body=st.binary(max_size=60))
def test_any_text_is_a_search_or_refused_and_any_body_is_looked_into(config, q, body):
    try:
        _, holds = selection.searched(q, config)
    except BadRequest:
        return
    assert holds(an_event(body)) in (True, False)


leaves = st.one_of(
    st.text(max_size=12), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
)


@given(leaf=leaves)
def test_every_leaf_is_found_by_its_text(config, leaf):
    text = leaf if isinstance(leaf, str) else json.dumps(leaf)
    shown = selection.as_text(leaf)
    if text == shown and len(text) < 400 and text.strip() == text:
        assert selection.searched(f"data.x={text}", config)[1](an_event({"data": {"x": leaf}}))
