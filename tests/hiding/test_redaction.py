"""What a source redacts is in nothing that is shown, whatever its events look like, and all else is as it was."""

import dataclasses
import hashlib
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config import load
from gateway.event.paths import lookup
from gateway.event.payload import ENVELOPE
from gateway.hiding.redaction import MASK, NOTHING, of, seen
from gateway.model import Event
from gateway.presets import load as load_preset

XOBITO = load_preset("xobito").naming
SECRET_HEADERS = {"content-type": "application/json", "x-user": "ada@example.com", "x-other": "kept"}


def redaction(*paths, is_stored=False):
    return of(XOBITO, paths, is_stored=is_stored)


def event(body: bytes, content_type="application/json", **headers):
    return Event(
        id="evt_1", source="xobito", type="contact.created", received_at=0.0,
        headers={**SECRET_HEADERS, "content-type": content_type, **headers}, body=body, sha256=hashlib.sha256(body).digest(),
    )  # fmt: skip


# --- which fields ---


@pytest.mark.parametrize(
    ("path", "payload", "masked"),
    [
        ("payload.a", {"a": 1, "b": 2}, {"a": MASK, "b": 2}),
        ("payload.a", {"a": {"b": [1, {"c": 2}]}, "d": 3}, {"a": MASK, "d": 3}),
        ("payload.a", {"a": None}, {"a": MASK}),
        ("payload.a.b", {"a": {"b": 1, "c": 2}}, {"a": {"b": MASK, "c": 2}}),
        ("payload.a.b", {"a": 1}, {"a": 1}),
        ("payload.a.b", {"b": 1}, {"b": 1}),
        ("payload.*.b", {"a": {"b": 1}, "c": {"b": 2}, "d": 3}, {"a": {"b": MASK}, "c": {"b": MASK}, "d": 3}),
        ("payload.a.*", {"a": [1, 2], "b": 3}, {"a": [MASK, MASK], "b": 3}),
        ("payload.a.1", {"a": [1, 2, 3]}, {"a": [1, MASK, 3]}),
        ("payload.a.1", {"a": {"1": "x", "2": "y"}}, {"a": {"1": MASK, "2": "y"}}),
        ("payload.a.99999999999999999999", {"a": [1]}, {"a": [1]}),
        ("payload.a.*.b", {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": MASK, "c": 2}]}),
        ("payload.a.b", {"a": [{"b": 1, "c": 2}, [{"b": 3}]]}, {"a": [{"b": MASK, "c": 2}, [{"b": MASK}]]}),
        ("payload", {"a": 1}, MASK),
        ("payload.a", "<a>1</a>", MASK),
        ("payload.a", [{"a": 1}, {"b": 2}], [{"a": MASK}, {"b": 2}]),
        ("headers.x-user", "<a>1</a>", "<a>1</a>"),
    ],
)  # fmt: skip
def test_a_path_means_a_field_and_all_below_it(path, payload, masked):
    assert redaction(path).masked(payload) == masked


@pytest.mark.parametrize(
    ("payload", "masked"),
    [
        ({"data": {"id": 1, "attributes": {"id": 2, "email": "a"}}}, {"data": {"id": MASK, "attributes": {"id": MASK, "email": MASK}}}),
        ({"data": {"resource": {"attributes": {"email": "a"}}}}, {"data": {"resource": {"attributes": {"email": MASK}}}}),
        ({"data": {"email": "a", "name": "b"}}, {"data": {"email": MASK, "name": "b"}}),
        ({"email": "a"}, {"email": "a"}),
    ],
    ids=["a record", "the newer envelope", "data itself", "no record"],
)  # fmt: skip
def test_a_shortcut_is_redacted_wherever_it_may_find_its_field(payload, masked):
    assert redaction("attrs.email", "attrs.id").masked(payload) == masked


def test_headers_are_redacted_by_name_in_any_case_or_all_of_them():
    assert redaction("headers.X-User").masked_headers(SECRET_HEADERS) == {**SECRET_HEADERS, "x-user": MASK}
    assert set(redaction("headers.*").masked_headers(SECRET_HEADERS).values()) == {MASK}


def test_nothing_redacted_is_the_payload_itself():
    payload = {"a": [1]}
    assert NOTHING.masked(payload) is payload
    assert NOTHING.mask_of(event(b"{}"))("text") == "text"


# --- of anything ---

NAMES = st.sampled_from(["a", "b", "email", "0", "1", "*", "é"])
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(NAMES, inner, max_size=4)
    | st.lists(st.dictionaries(NAMES, inner, min_size=1, max_size=3), min_size=1, max_size=3),
    max_leaves=25,
)  # fmt: skip
PATHS = st.lists(NAMES | st.just("data"), max_size=4).map(lambda names: ".".join(["payload", *names]))


def leaves(value, at=()):
    """(segments, value) of all that holds nothing, or nothing more."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for name, each in inner for leaf in leaves(each, (*at, name))]
    return found or [(at, value)]


def meant(segments, path):
    """Whether a path means what stands at the segments, which are names of maps and positions of lists; told by trying all ways."""
    if not path:
        return True
    if not segments:
        return False
    head, rest = segments[0], path[1:]
    if isinstance(head, str):
        return path[0] in ("*", head) and meant(segments[1:], rest)
    if path[0] == "*" or path[0].isdigit():
        return path[0] in ("*", str(head)) and meant(segments[1:], rest)
    return meant(segments[1:], path)


def marked(value, numbers):
    """The same shape, with another text in each leaf."""
    if isinstance(value, dict):
        return {name: marked(each, numbers) for name, each in value.items()}
    return [marked(each, numbers) for each in value] if isinstance(value, list) else f"leaf-{next(numbers)}-"


@st.composite
def redactions(draw):
    """A payload, and paths of which most mean something in it: each segment as it is, as a *, or, of a position, left out."""
    made = draw(st.dictionaries(NAMES, PAYLOADS, min_size=1, max_size=4) | st.lists(PAYLOADS, min_size=1, max_size=4))
    payload = marked(made, iter(range(10_000)))
    paths = draw(st.just([]) | st.lists(PATHS, max_size=1))
    for segments, _ in draw(st.lists(st.sampled_from(leaves(payload)), min_size=1, max_size=2)):
        written = [str(each) for each in segments]
        for at, segment in enumerate(segments):
            if draw(st.booleans()):
                written[at] = "" if isinstance(segment, int) else "*"
        end = draw(st.just(len(written)) | st.integers(1, max(1, len(written))))
        paths.append(".".join(["payload", *filter(None, written[:end])]))
    return payload, paths


@given(redactions())
def test_no_redacted_leaf_is_left_and_the_rest_is_unchanged(case):
    payload, paths = case
    before = json.dumps(payload)
    masked = redaction(*paths).masked(payload)
    assert json.dumps(payload) == before, "the payload itself is left alone"
    shown, fields = json.dumps(masked), [path.split(".")[1:] for path in paths]
    for segments, value in leaves(payload):
        is_redacted = any(meant(segments, path) for path in fields)
        if isinstance(value, str):
            assert (value not in shown) == is_redacted
            if not is_redacted:
                assert lookup(masked, [str(each) for each in segments]) == value


@given(PAYLOADS, st.lists(PATHS, min_size=1, max_size=3), st.binary(max_size=20), st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml", "text/plain", ""]
))  # fmt: skip
def test_redacting_is_total_and_masking_twice_is_masking_once(payload, paths, noise, content_type):
    one = redaction(*paths)
    masked = one.masked(payload)
    assert one.masked(masked) == masked
    for body in (json.dumps(payload).encode(), noise):
        left = json.loads(one.stripped(event(body, content_type)))
        assert isinstance(left, dict | list)
        assert isinstance(one.mask_of(event(body, content_type))(body.decode("latin-1")), str)


# --- what stays in the store ---


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("payload.a", {"b": [1, {"c": 2}]}),
        ("payload.b.*.c", {"a": {"x": 1}, "b": [1, {}]}),
        ("payload.b.0", {"a": {"x": 1}, "b": [{"c": 2}]}),
        ("payload.b.*", {"a": {"x": 1}, "b": []}),
        ("payload.nothing", {"a": {"x": 1}, "b": [1, {"c": 2}]}),
        ("payload", {}),
    ],
)
def test_what_is_redacted_goes_out_of_the_stored_body(path, left):
    body = b'{"a": {"x": 1}, "b": [1, {"c": 2}]}'
    assert json.loads(redaction(path, is_stored=True).stripped(event(body))) == left


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a=1&email=x", "application/x-www-form-urlencoded"),
        (b'payload={"a":1}', "application/x-www-form-urlencoded"),
        (b"<a>1</a>", "application/xml"),
        (b"hello", "text/plain"),
        (b'"hello"', "application/json"),
        (b"{", "application/json"),
    ],
)
def test_of_a_body_that_is_no_json_nothing_stays(body, content_type):
    assert redaction("payload.email").stripped(event(body, content_type)) == b"{}"


# --- texts about an event ---

ABOUT = {
    "data": {
        "email": 'Ada "A" <ada@example.com>',
        "phone": 14155551234,
        "pin": "123",
        "tags": ["secretword"],
        "on": True,
    }
}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("no such user 14155551234", "no such user •••"),
        ('{"email":"Ada \\"A\\" <ada@example.com>"}', '{"email":"•••"}'),
        ('ADA "a" <ADA@EXAMPLE.COM> has SecretWord', "••• has •••"),
        ("HTTP 123", "HTTP 123"),
        ("ada@example.org", "ada@example.org"),
        ("", ""),
    ],
)
def test_an_answer_that_repeats_a_value_is_masked(text, hidden):
    hide = redaction("attrs.email", "attrs.phone", "attrs.pin", "attrs.tags", "attrs.on").mask_of(
        event(json.dumps(ABOUT).encode())
    )
    assert hide(text) == hidden


def test_a_redacted_header_is_masked_in_texts_too():
    assert redaction("headers.x-user").mask_of(event(b"{}"))("hello ada@example.com") == "hello •••"


def test_an_event_with_more_values_than_are_looked_for_masks_the_whole_text():
    body = json.dumps({"data": {"all": [f"value-{number}" for number in range(5000)]}}).encode()
    hide = redaction("attrs.all").mask_of(event(body))
    assert (hide("anything"), hide("")) == (MASK, "")


@given(st.text(string.ascii_letters + '"\\é<>&', min_size=4, max_size=12), st.text(max_size=6), st.text(max_size=6))
def test_no_text_repeats_a_value_plainly_or_inside_json(value, before, after):
    hide = redaction("attrs.email").mask_of(event(json.dumps({"data": {"email": value}}).encode()))
    assert value not in hide(f"{before}{value}{after}").replace(MASK, "")
    assert hide(json.dumps({"said": value})) == json.dumps({"said": "?"}).replace("?", MASK)


# --- what a condition saw ---

CONTACT = {
    "event": "created",
    "data": {"id": 451, "type": "contacts", "attributes": {"email": "a@b.c", "type": "lead"}},
}


@pytest.mark.parametrize(
    ("redacted", "path", "shown"),
    [
        ("attrs.email", "attrs.email", MASK),
        ("attrs.email", "payload.data.attributes.email", MASK),
        ("payload.data.attributes.email", "attrs.email", MASK),
        ("payload.data.attributes", "attrs.email", MASK),
        ("payload.data.attributes.*", "attrs.email", MASK),
        ("attrs.email", "payload.data.attributes", {"email": MASK, "type": "lead"}),
        ("attrs.email", "attrs.type", "lead"),
        ("attrs.id", "attrs.id", MASK),
        ("headers.x-user", "headers.x-user", MASK),
        ("headers.x-user", "headers.x-other", "kept"),
        ("payload", "event.type", "contact.created"),
    ],
)
def test_what_a_condition_saw_is_masked_by_whatever_way_it_is_called(redacted, path, shown):
    one, of_contact = redaction(redacted), event(b"{}")
    facts = XOBITO.facts(of_contact, CONTACT)
    masked = {**facts, "payload": one.masked(CONTACT), "headers": one.masked_headers(of_contact.headers)}
    segments = tuple(path.split("."))
    assert seen(XOBITO, segments, lookup(facts, segments), facts, masked) == shown


# --- in a file ---


def redacting(folder, written):
    path = folder / "routes.yaml"
    path.write_text(
        f"version: 1\nsources: {{xobito: {{preset: xobito, secret: s3cret, redact: {written}}}}}\n"
        "destinations: {crm: {url: 'https://crm.example'}}\nroutes: [{to: crm}]\n"
    )
    return load(path, environ={})


@pytest.mark.parametrize(
    ("written", "paths", "is_stored"),
    [
        ("attrs.email", ("attrs.email",), False),
        ("[attrs.email, payload.data.id]", ("attrs.email", "payload.data.id"), False),
        ("{paths: attrs.email}", ("attrs.email",), False),
        ("{paths: [attrs.email], store: true}", ("attrs.email",), True),
    ],
)
def test_a_source_says_what_it_redacts(tmp_path, written, paths, is_stored):
    found = redacting(tmp_path, written).sources["xobito"].redaction
    assert (found.paths, found.is_stored) == (paths, is_stored)


def test_what_no_longer_says_how_it_is_redacted_goes_whole(tmp_path):
    config = redacting(tmp_path, "{paths: [attrs.email], store: true}")
    kept = event(json.dumps(CONTACT).encode())
    assert json.loads(config.stripped(kept))["data"]["attributes"] == {"type": "lead"}
    assert config.stripped(replace(kept, source="gone")) == b"{}"
    assert (
        dataclasses.replace(config, sources={"xobito": replace(config.sources["xobito"], redaction=NOTHING)}).stripped(
            kept
        )
        == b"{}"
    )


def test_events_of_a_source_that_is_gone_are_hidden_whole_where_the_file_redacts_anything(tmp_path):
    config = redacting(tmp_path, "attrs.email")
    kept = replace(event(json.dumps(CONTACT).encode()), source="gone")
    assert config.redaction(kept).masked(CONTACT) == MASK
    assert set(config.redaction(kept).masked_headers(kept.headers).values()) == {MASK}
    open_file = dataclasses.replace(config, sources={"xobito": replace(config.sources["xobito"], redaction=NOTHING)})
    assert open_file.redaction(kept).masked(CONTACT) == CONTACT


def test_the_envelope_of_a_split_request_is_hidden_as_a_whole_once_anything_is_redacted():
    headers = {ENVELOPE: '{"customer": {"email": "ada@example.com"}}', "x-other": "kept"}
    assert redaction("attrs.email").masked_headers(headers) == {ENVELOPE: MASK, "x-other": "kept"}
    assert NOTHING.masked_headers(headers) == headers
    hidden = replace(event(b"{}"), headers=redaction("attrs.email").masked_headers(headers))
    assert XOBITO.facts(hidden, {})["envelope"] == {}
