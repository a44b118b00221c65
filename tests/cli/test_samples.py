"""``gateway send`` sends an event that the gateway has not had, whoever the sender is."""

from urllib.parse import urlencode

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from gateway import presets
from gateway.cli.given import Given
from gateway.cli.samples import fresh, posted
from gateway.event.forms import pairs
from gateway.event.payload import parse
from gateway.signatures import CannotSign
from tests.test_presets import source_of

NOW = 1_800_000_000.25
SAMPLES = [
    pytest.param(name, type_, id=f"{name}: {type_}")
    for name in presets.NAMES
    for type_, headers in presets.load(name).sample_headers.items()
    if headers["content-type"] in ("application/json", "application/x-www-form-urlencoded")
]


def received(name, type_, body, now=NOW):
    source = source_of(name)
    try:
        event = Given(name=type_, body=body, headers=source.sample_headers[type_])
        return source.received(posted(source, body, event, now).headers, body, now=now)
    except CannotSign:
        pytest.skip("only the sender can sign")


@pytest.mark.parametrize(("name", "type_"), SAMPLES)
def test_two_events_of_a_sample_have_different_keys_and_the_same_type(name, type_):
    sample, naming = presets.load(name).samples[type_], source_of(name).naming
    made = [received(name, type_, fresh(sample, naming, NOW + number), NOW + number) for number in range(2)]
    before = received(name, type_, sample)
    assert [each.event.type for each in made[0]] == [each.event.type for each in before]
    keys = [each.key for events in (*made, before) for each in events]
    assert len(set(keys)) == len(keys)


def test_an_id_keeps_its_kind_and_a_time_its_unit():
    naming = source_of("stripe").naming
    made = parse(fresh(b'{"id": "evt_1Nabc", "timestamp": 1772443805}', naming, NOW))
    assert made["id"].startswith("evt_")
    assert made["id"] != "evt_1Nabc"
    assert made["timestamp"] == 1_800_000_000
    made = parse(fresh(b'{"id": 7, "timestamp": 1772443805000}', naming, NOW))
    assert (made["id"], made["timestamp"]) == (1_800_000_000_250_000, 1_800_000_000_250)
    made = parse(fresh(b'{"id": "0188d1b5-7a4c-7c3e-9a54-5d3a2d3f4a11"}', naming, NOW))
    assert len(made["id"]) == 36


def test_what_is_neither_json_nor_a_form_is_sent_as_it_is():
    assert fresh(b"<a>x=1</a>", source_of("stripe").naming, NOW) == b"<a>x=1</a>"


@whatever(
    st.lists(st.tuples(st.sampled_from(["a", "b", "timestamp", "é"]), st.text(max_size=4)), min_size=1, max_size=8)
)
def test_a_form_keeps_all_of_its_fields_and_their_order(fields):
    form = urlencode(fields).encode()
    # As twilio names its events: by a field that this form does not have.
    made = pairs(fresh(form, source_of("twilio").naming, NOW))
    times = [at for at, (name, _) in enumerate(fields) if name == "timestamp"][:1]
    before = [each for at, each in enumerate(fields) if at not in times]
    after = [each for at, each in enumerate(made) if at not in times and each[0] != "gateway_sample"]
    assert after == before
    assert (len(made) == len(fields)) == bool(times)


@pytest.mark.parametrize("form", [b"a=1&b", b"a=100%&b=%zz", b"a=1&&a=2"])
def test_a_form_is_read_as_the_gateway_reads_it(form):
    assert pairs(fresh(form, source_of("twilio").naming, NOW))[: len(pairs(form))] == pairs(form)
