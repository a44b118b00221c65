"""A remedy that is pasted into the file is accepted, and says what was meant."""

import importlib
import inspect
import json
import pkgutil

import pytest

from gateway import presets
from gateway.config import load, schema
from gateway.config.schema.keys import Section, keys_of
from gateway.config.schema.remedies import Instead
from gateway.errors import ConfigError
from gateway.event.likeness import type_like
from tests.config.given import HEAD

OWN = """version: 1
sources:
  own:
    {}
    secret: s3cret-of-the-tests
"""


def reported(tmp_path, text):
    """What check reports about a file, by its hints without "write"."""
    (tmp_path / "routes.yaml").write_text(text)
    try:
        problems = load(tmp_path / "routes.yaml", environ={}).warnings
    except ConfigError as refused:
        problems = refused.problems
    return [each.hint.removeprefix("write ") for each in problems]


def loads(tmp_path, text):
    (tmp_path / "routes.yaml").write_text(text)
    return load(tmp_path / "routes.yaml", environ={})


# --- tables of remedies ---


def sections():
    names = (each.name for each in pkgutil.iter_modules(schema.__path__, f"{schema.__name__}."))
    modules = map(importlib.import_module, names)
    found = {each for module in modules for _, each in inspect.getmembers(module, inspect.isclass)}
    return sorted((each for each in found if issubclass(each, Section)), key=lambda each: each.__name__)


@pytest.mark.parametrize("section", sections(), ids=lambda each: each.__name__)
def test_a_key_that_is_meant_by_another_one_is_a_key_of_the_section(section):
    meant = {remedy for remedy in section.foreign.values() if isinstance(remedy, str)}
    assert meant <= keys_of(section).keys()


EVERY_KEY = frozenset(key for section in sections() for key in keys_of(section))


@pytest.mark.parametrize("section", sections(), ids=lambda each: each.__name__)
def test_the_keys_that_a_remedy_says_to_write_are_in_its_text(section):
    for remedy in (each for each in section.foreign.values() if isinstance(each, Instead)):
        assert set(remedy.keys) <= EVERY_KEY
        assert all(key in remedy.hint for key in remedy.keys)


# --- sources ---


@pytest.mark.parametrize(
    ("around", "written", "right"),
    [
        ("{{signature: {{header: x-sig, signed: '{{timestamp}}.{{body}}'}}, {}}}", "timestamp: X-Timestamp", "timestamp: {header: X-Timestamp}"),
        ("{{signature: {{header: x-sig, signed: '{{id}}.{{body}}'}}, {}}}", "id: X-Request-Id", "id: {header: X-Request-Id}"),
        ("{{{}}}", "signature: X-Billing-Signature", "signature: {header: X-Billing-Signature}"),
    ],
)  # fmt: skip
def test_the_name_of_a_header_alone_is_put_below_header(tmp_path, around, written, right):
    text = OWN.format(f"type: a\n    verify: {around}")
    assert reported(tmp_path, text.format(written)) == [right]
    assert loads(tmp_path, text.format(right))


def test_a_part_of_a_signature_beside_it_is_added_to_it(tmp_path):
    text = OWN.format("type: a\n    verify: {}")
    beside = text.format("{signature: {header: x-sig}, algorithm: sha1}")
    assert reported(tmp_path, beside) == ["add algorithm: sha1 to the existing signature"]
    config = loads(tmp_path, text.format("{signature: {header: x-sig, algorithm: sha1}}"))
    assert config.sources["own"].verifier.schemes[0].signature.algorithm == "sha1"


@pytest.mark.parametrize(
    ("written", "hint", "right"),
    [
        ("verify: {signature: {header: x-sig}}\n    algorithm: sha1", "add algorithm: sha1 to signature of verify", "verify: {signature: {header: x-sig, algorithm: sha1}}"),
        ("verify: {signature: {header: x-sig}}\n    header: x-sig", "remove it: verify says the same", "verify: {signature: {header: x-sig}}"),
        ("verify: {signature: {header: x-sig, algorithm: sha1}, hmac: sha1}", "remove it: signature says the same", "verify: {signature: {header: x-sig, algorithm: sha1}}"),
        ("verify: {signature: {header: x-sig, signed: '{timestamp}.{body}'}}\n    timestamp: X-At", "add timestamp: {header: X-At} to the existing verify", "verify: {signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp: {header: X-At}}"),
    ],
)  # fmt: skip
def test_a_signature_is_written_once(tmp_path, written, hint, right):
    # What verify lacks without the key is reported, too.
    assert hint in reported(tmp_path, OWN.format(f"type: a\n    {written}"))
    assert loads(tmp_path, OWN.format(f"type: a\n    {right}"))


def verify_with(signed, timestamp="{header: X-Time}"):
    verify = f"signature: {{header: x-sig, signed: '{signed}'}}" + (f", timestamp: {timestamp}" if timestamp else "")
    return OWN.format(f"type: a\n    verify: {{{verify}}}")


@pytest.mark.parametrize(
    ("signed", "timestamp", "named", "right"),
    [
        ("{header:X-Time}.{body}", "{header: X-Time}", "{header:X-Time}", "{timestamp}.{body}"),
        ("{header:x-time}.{body}", "{header: X-Time, tolerance: 1h}", "{header:x-time}", "{timestamp}.{body}"),
        ("v0:{header:X-Time}:{body}", "{header: X-Time}", "{header:X-Time}", "v0:{timestamp}:{body}"),
        ("{header:X-Id}.{header:X-Time}.{body}", "{header: X-Time}", "{header:X-Time}", "{header:X-Id}.{timestamp}.{body}"),
        ("{payload:at}.{payload:id}", "{payload: at}, unsigned_body: accept", "{payload:at}", "{timestamp}.{payload:id}"),
    ],
)  # fmt: skip
def test_the_header_of_the_timestamp_is_signed_as_the_timestamp(tmp_path, signed, timestamp, named, right):
    assert reported(tmp_path, verify_with(signed, timestamp)) == [f'signed: "{right}"']
    with pytest.raises(ConfigError) as refused:
        loads(tmp_path, verify_with(signed, timestamp))
    message = f'verify of source "own": {named} is the timestamp, which is signed as {{timestamp}}'
    assert refused.value.problems[0].message == message
    assert loads(tmp_path, verify_with(right, timestamp))


@pytest.mark.parametrize(
    ("signed", "right"),
    [
        ("{headers.x-id}.{body}", "{header:x-id}.{body}"),
        ("{header.X-Id}.{body}", "{header:X-Id}.{body}"),
        ("{request.header.X-Id}.{body}", "{header:X-Id}.{body}"),
        ('{headers["x-id"]}.{body}', "{header:x-id}.{body}"),
        ("{{header:X-Id}}.{{body}}", "{header:X-Id}.{body}"),
        ("${header:X-Id}.${body}", "{header:X-Id}.{body}"),
        ("{X-Id}.{body}", "{header:X-Id}.{body}"),
    ],
)
def test_a_header_that_is_signed_is_named_as_one(tmp_path, signed, right):
    assert reported(tmp_path, verify_with(signed, "")) == [f'signed: "{right}"']
    assert loads(tmp_path, verify_with(right, ""))


def test_another_header_does_not_cover_the_timestamp(tmp_path):
    assert reported(tmp_path, verify_with("{header:X-Id}.{body}")) == ["put {timestamp} into signed"]


BILLING = 'signature: {header: X-Billing-Signature, algorithm: sha256, signed: "{timestamp}.{body}"}'
TIMED = f"verify: {{{BILLING}, timestamp: {{header: X-Billing-Timestamp, tolerance: 5m}}}}"
UNTIMED = "header: X-Billing-Signature, algorithm: sha256"
SIGNED_TIME = 'payload: "{timestamp}.{body}"'
TIME = "timestamp_header: X-Billing-Timestamp, tolerance: 5m"
DOCUMENTED = ", with signed as the sender documents it"


@pytest.mark.parametrize("tolerance", ["tolerance", "max_age", "maxAge", "replay_window", "clock_skew"])
@pytest.mark.parametrize("header", ["timestamp_header", "timestampHeader", "timestamp-header", "timestamp"])
@pytest.mark.parametrize(
    ("written", "more"),
    [
        (f"signature: {{{UNTIMED}, {SIGNED_TIME}, {TIME}}}", ""),
        (f"signature: {{{UNTIMED}, {SIGNED_TIME}}}, {TIME}", ""),
        (f"{{{UNTIMED}, hmac: sha256, {TIME}}}", DOCUMENTED),
        (f"hmac: {{{UNTIMED}, secret: s3cret-of-the-tests, {TIME}}}", DOCUMENTED),
        (f"verify: {{{UNTIMED}, signed: '{{timestamp}}.{{body}}', {TIME}}}", ""),
        (f"verify: {{hmac: {{{UNTIMED}, secret: s3cret-of-the-tests}}, {TIME}}}", ""),
        (f"verify: {{hmac: {{{UNTIMED}, {TIME}}}}}", ""),
        (f"verify: {{{UNTIMED}, signed: '{{timestamp}}.{{body}}', timestamp: {{header: X-Billing-Timestamp}}, tolerance: 5m}}", ""),
    ],
)  # fmt: skip
def test_a_signature_with_its_time_is_put_right_at_once(tmp_path, written, more, header, tolerance):
    written = written.removeprefix("{").replace("timestamp_header", header).replace("tolerance", tolerance)
    text = "version: 1\nsources:\n  own: {{type: a, secret: s3cret-of-the-tests, {}}}\n"
    line = written if written.count("{") == written.count("}") else written.removesuffix("}")
    assert reported(tmp_path, text.format(line)) == [TIMED + more]
    assert loads(tmp_path, text.format(TIMED))


@pytest.mark.parametrize(
    ("written", "hint", "right"),
    [
        (f"verify: {{{BILLING}, tolerance: 5m}}", "timestamp: {header: x-timestamp, tolerance: 5m}, with the header that the sender documents", f"verify: {{{BILLING}, timestamp: {{header: x-timestamp, tolerance: 5m}}}}"),
        (f"verify: {{{BILLING}, timestamp: {{header: X-Billing-Timestamp}}, tolerance: 5m}}", "add tolerance: 5m to the existing timestamp", TIMED),
        (f"verify: {{{BILLING}, timestamp: {{header: X-Billing-Timestamp, tolerance: 5m}}, max_age: 1m}}", "tolerance of timestamp is already there: keep one of them", TIMED),
        (f"verify: {{{BILLING}, timestamp: X-Billing-Timestamp, tolerance: 5m}}", "timestamp: {header: X-Billing-Timestamp, tolerance: 5m}", TIMED),
        (f"verify: {{{BILLING}, {TIME}}}", "timestamp: {header: X-Billing-Timestamp, tolerance: 5m}", TIMED),
        (f"verify: {{{UNTIMED}, signed: '{{timestamp}}.{{body}}', timestamp: {{header: X-Billing-Timestamp}}, tolerance: 5m}}", TIMED, TIMED),
        (f"verify: {{signature: {{{UNTIMED}}}, {TIME}}}", 'add signed: "{timestamp}.{body}" to the existing signature, and write timestamp: {header: X-Billing-Timestamp, tolerance: 5m}', TIMED),
        (f"verify: {{{BILLING[:-1]}, fields: {{signature: v1, timestamp: t}}}}, tolerance: 5m}}", "timestamp: {field: true, tolerance: 5m}", f"verify: {{{BILLING[:-1]}, fields: {{signature: v1, timestamp: t}}}}, timestamp: {{field: true, tolerance: 5m}}}}"),
        (f"verify: {{{BILLING}}}, timestamp: {{header: X-Billing-Timestamp, tolerance: 5m}}", "add timestamp: {header: X-Billing-Timestamp, tolerance: 5m} to the existing verify", TIMED),
        (f"verify: {{{BILLING}}}, {TIME}", "add timestamp: {header: X-Billing-Timestamp, tolerance: 5m} to the existing verify", TIMED),
        (f"verify: {{{BILLING}}}, tolerance: 5m", "add timestamp: {header: x-timestamp, tolerance: 5m} to the existing verify, with the header that the sender documents", f"verify: {{{BILLING}, timestamp: {{header: x-timestamp, tolerance: 5m}}}}"),
        (f"verify: {{{BILLING}, timestamp: {{header: X-Billing-Timestamp}}}}, tolerance: 5m", "add tolerance: 5m to the existing timestamp of verify", TIMED),
        (f"verify: {{{BILLING[:-1]}, replay_window: 300}}, timestamp: {{header: X-Billing-Timestamp}}}}", "tolerance: 300s in timestamp, next to signature", TIMED.replace("5m", "300s")),
        (f"verify: {{{BILLING[:-1]}, {TIME}}}}}", "timestamp: {header: X-Billing-Timestamp, tolerance: 5m} next to signature", TIMED),
        (f"verify: {{signature: {{{UNTIMED}, {SIGNED_TIME}, {TIME}}}}}", 'timestamp: {header: X-Billing-Timestamp, tolerance: 5m} next to signature, and in it signed: "{timestamp}.{body}"', TIMED),
        (f"verify: {{{BILLING}}}", "add timestamp: {header: X-...} next to signature", TIMED),
        (f"verify: {{{BILLING}, timestamp: {{header: x-billing-signature}}}}", "the header of the time, or field: true if it is a field of the signature's header", TIMED),
    ],
)  # fmt: skip
def test_the_time_of_a_signature_is_put_where_it_belongs(tmp_path, written, hint, right):
    text = "version: 1\nsources:\n  own: {{type: a, secret: s3cret-of-the-tests, {}}}\n"
    assert reported(tmp_path, text.format(written)) == [hint]
    assert loads(tmp_path, text.format(right))


@pytest.mark.parametrize("around", ["max_age: 10m", "verify: {tolerance: 10m}", "verify: {maxAge: 10m}"])
def test_the_tolerance_of_a_preset_is_changed_in_its_timestamp(tmp_path, around):
    text = "version: 1\nsources:\n  own: {{preset: slack, secret: s3cret-of-the-tests, {}}}\n"
    (hint,) = reported(tmp_path, text.format(around))
    right = "timestamp: {tolerance: 10m}"
    assert hint == (right if "verify" in around else f"verify: {{{right}}}")
    assert loads(tmp_path, text.format("verify: {timestamp: {tolerance: 10m}}"))


@pytest.mark.parametrize("name", ["tolerance", "max_age"])
def test_a_preset_without_a_time_has_no_tolerance(tmp_path, name):
    text = f"version: 1\nsources:\n  own: {{preset: github, secret: s3cret-of-the-tests, {name}: 10m}}\n"
    assert not [each for each in reported(tmp_path, text) if "timestamp:" in each]


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("#leads", '"#leads"'),
        ('#leads and "more"', "'#leads and \"more\"'"),
        ("#it's new", '"#it\'s new"'),
    ],
)
@pytest.mark.parametrize("is_flow", [False, True])
def test_a_value_that_yaml_reads_as_a_comment_is_quoted(tmp_path, is_flow, written, right):
    keys = ("to: leads", "text: {}")
    entry = f"{{{', '.join(keys)}}}" if is_flow else "\n    ".join(keys)
    text = HEAD + f"routes:\n  - to: [crm, log]\n  - {entry}\n"
    assert [each.partition("write ")[2] or each for each in reported(tmp_path, text.replace("{}", written))] == [
        f"text: {right}"
    ]
    assert reported(tmp_path, text.replace("{}", right)) == []


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_that_is_written_as_the_type_is_named(tmp_path, name):
    assert reported(tmp_path, OWN.format(f"type: {name}")) == [f"preset: {name} instead of type: {name}"]


@pytest.mark.parametrize("key", ["kind", "name", "from", "platform", "provider"])
def test_a_preset_under_another_key_is_put_below_preset(tmp_path, key):
    (right,) = reported(tmp_path, OWN.format(f"{key}: github"))
    assert right in ("preset", "preset: github")
    assert loads(tmp_path, OWN.format("preset: github"))


@pytest.mark.parametrize(("written", "right"), [("githb", "github"), ("Xobito", "xobito"), ("strip", "stripe")])
def test_a_preset_in_another_spelling_that_is_written_as_the_type_is_named(tmp_path, written, right):
    assert reported(tmp_path, OWN.format(f"type: {written}")) == [f"preset: {right} instead of type: {written}"]


@pytest.mark.parametrize("key", ["type", "id"])
@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("{{ payload.kind }}", "{payload.kind}"),
        ("{{payload.kind}}", "{payload.kind}"),
        ("{{ kind }}", "{payload.kind}"),
        ("{{ body.kind }}", "{payload.kind}"),
        ("{{ headers.x-event }}", "{headers.x-event}"),
        ("{{ payload.kind }}.{{ payload.action }}", "{payload.kind}.{payload.action}"),
        ("{{ payload.kind | lower }}", "{payload.kind}"),
        ('"{{ kind }}"', "{payload.kind}"),
        ("{payload.kind}", "{payload.kind}"),
    ],
)
def test_what_names_or_identifies_events_is_right_after_one_round(tmp_path, key, value, right):
    text = OWN.format(
        f"verify: {{signature: {{header: x-sig}}}}\n    {'type: a' if key == 'id' else 'max_body: 1MiB'}\n    {{}}"
    )
    (written,) = reported(tmp_path, text.replace("{}", f"{key}: {value}"))
    assert written.removeprefix(f"{key}: ") == f'"{right}"'
    assert loads(tmp_path, text.replace("{}", f'{key}: "{right}"'))


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("    split: {{ payload.events.* }}", "split: payload.events.*"),
        ("    redact: [{{ payload.email }}]", "payload.email"),
        ("    track: {per: {{ payload.id }}, for: 1d}", 'per: "{payload.id}"'),
        ("    track: {fields: {{ payload.data }}, per: a, for: 1d}", "fields: payload.data"),
        ("destinations:\n  crm: {url: 'https://crm.example.com', order_by: {{ payload.id }}}", "order_by: payload.id"),
        (
            "destinations:\n  crm:\n    url: https://crm.example.com\n    order_by: {{ payload.id }}",
            "order_by: payload.id",
        ),
    ],
)
def test_a_path_in_braces_is_written_as_its_key_has_it(tmp_path, line, right):
    text = OWN.format("verify: {signature: {header: x-sig}}\n    type: a") + f"{line}\n"
    assert right in reported(tmp_path, text)


# --- fields ---


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("match: {severity: critical}", "where: {payload.labels.severity: critical}"),
        ("match: {severity: critical, own: 1}", "where: {payload.labels.severity: critical, attrs.own: 1}"),
        ("matchers: ['severity=\"critical\"']", "where: {payload.labels.severity: critical}"),
        ('matchers: [severity="critical", severity!=low]', "where: {all: [{payload.labels.severity: critical}, {payload.labels.severity: {not: low}}]}"),
        ("labels: {my-team: web}", "where: {payload.labels.my-team: web}"),
        ("when: severity == 'critical'", "where: {payload.labels.severity: critical}"),
        ("when: {any: [{severity: critical}, {phone: '1'}]}", 'where: {any: [{payload.labels.severity: critical}, {payload.phone: "1"}]}'),
        ("filter: [{severity: critical}, {phone: '1'}]", 'where: {all: [{payload.labels.severity: critical}, {payload.phone: "1"}]}'),
        ("unless: {severity: critical}", "where: {not: {payload.labels.severity: critical}}"),
        ("where: severity == 'critical'", "where: {payload.labels.severity: critical}"),
        ("where: [{severity: critical}]", "where: {payload.labels.severity: critical}"),
        ("match: {nothing: 1}", "where: {payload.nothing: 1}"),
        ("when: {payload.phone: '1', severity: critical}", 'where: {payload.phone: "1", payload.labels.severity: critical}'),
    ],
)  # fmt: skip
def test_a_field_by_its_name_alone_is_where_the_samples_have_it(tmp_path, line, right):
    (tmp_path / "samples").mkdir()
    sample = {"kind": "alert", "labels": {"severity": "critical", "my-team": "web"}, "phone": "1", "items": {"own": 1}}
    (tmp_path / "samples" / "alert.json").write_text(json.dumps(sample))
    source = 'type: "{payload.kind}"\n    samples: samples\n    verify: {signature: {header: x-sig}}'
    text = (
        OWN.replace("{}", source)
        + "destinations:\n  crm: {url: 'https://crm.example.com'}\nroutes:\n  - to: crm\n    {}\n"
    )
    (written,) = reported(tmp_path, text.replace("    {}\n", f"    {line}\n"))
    right = right.replace("attrs.own", "payload.items.own")
    assert written.removesuffix("; an expression goes under if") == right
    assert loads(tmp_path, text.replace("    {}\n", f"    {right}\n"))


# --- destinations, entries and tests ---


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("{type: file, url: 'file:///tmp/a.ndjson'}", "{type: file, path: /tmp/a.ndjson}"),
        ("{type: file, url: 'file:/tmp/a.ndjson'}", "{type: file, path: /tmp/a.ndjson}"),
        ("{type: file, url: 'file://localhost/tmp/a%20b.ndjson'}", "{type: file, path: /tmp/a b.ndjson}"),
        ("{type: file, url: /tmp/a.ndjson}", "{type: file, path: /tmp/a.ndjson}"),
        ("{type: file, file: /tmp/a.ndjson}", "{type: file, path: /tmp/a.ndjson}"),
        ("{type: file, filename: 'file:///tmp/a.ndjson'}", "{type: file, path: /tmp/a.ndjson}"),
        ("{url: 'file:///tmp/a.ndjson'}", "{type: file, path: /tmp/a.ndjson}"),
        ("{type: file, path: a.ndjson, attempts: 3}", "{type: file, path: a.ndjson, retry: {attempts: 3}}"),
        ("{type: file, path: a.ndjson, attempts: 3, first: 1s}", "{type: file, path: a.ndjson, retry: {attempts: 3, first: 1s}}"),
        ("{type: file, path: a.ndjson, retry: {max: 1m}, attempts: 3}", "{type: file, path: a.ndjson, retry: {max: 1m, attempts: 3}}"),
    ],
)  # fmt: skip
def test_a_destination_with_a_key_that_it_cannot_have(tmp_path, written, right):
    text = HEAD + "  other: {}\nroutes:\n  - to: [crm, log, other]\n"
    (hint,) = reported(tmp_path, text.replace("{}", written))
    key, _, value = (
        hint.replace("type: file and ", "").removeprefix("add ").partition(" to the existing ")[0].partition(": ")
    )
    assert f"{key}: {value}" in right
    assert loads(tmp_path, text.replace("{}", right))


@pytest.mark.parametrize(
    ("expect", "right"),
    [
        ("{to: crm}", "[crm]"),
        ("{to: [crm]}", "[crm]"),
        ("{destination: crm}", "[crm]"),
        ("{destinations: [crm]}", "[crm]"),
    ],
)
def test_the_destinations_of_a_test_are_its_expectation(tmp_path, expect, right):
    text = HEAD + "routes:\n  - to: crm\ntests:\n  - {name: t, event: contact.created, expect: {}}\n"
    assert f"expect: {right}" in reported(tmp_path, text.replace("{}", expect))
    assert loads(tmp_path, text.replace("{}", right)).tests


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("'+49.*'", "{regex: '^\\+49'} {prefix: \"+49\"}"),
        ("'^+49'", "{regex: '^\\+49'} {prefix: \"+49\"}"),
        ("'(+49|+43).*'", "{regex: '(\\+49|\\+43).*'}"),
        ("'*@example.com'", "{glob: '*@example.com'}"),
        ("C++", "{regex: 'C\\+\\+'}"),
    ],
)
def test_a_sign_that_repeats_nothing_is_escaped(tmp_path, written, right):
    text = HEAD + "routes:\n  - {match: contact.created, where: {attrs.phone: {}}, to: crm}\n"
    (hint,) = (each for each in reported(tmp_path, text.replace("{}", f"{{regex: {written}}}")) if "repeats" in each)
    for each in right.split("} "):
        key, _, value = each.strip("{}").partition(": ")
        assert (f"{key}: {value}" if key != "regex" else value) in hint
        pasted = text.replace("{}", each if each.endswith("}") else each + "}")
        assert not [hint for hint in reported(tmp_path, pasted) if "repeats" in hint]


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("{matches: '+49'}", "attrs.phone: {regex: '\\+49'}"),
        ("{notMatch: '^+49'}", "attrs.phone: {not: {regex: '^\\+49'}}"),
        ("=~ +49", "attrs.phone: {regex: '\\+49'}"),
        ("/^+49/", "attrs.phone: {regex: '^\\+49'} for a pattern"),
    ],
)
def test_a_regular_expression_of_another_notation_is_put_right_too(tmp_path, written, right):
    text = HEAD + "routes:\n  - match: contact.created\n    where:\n      {}\n    to: crm\n"
    assert right in reported(tmp_path, text.replace("{}", f"attrs.phone: {written}"))
    pasted = text.replace("{}", right.removesuffix(" for a pattern"))
    assert not [each for each in reported(tmp_path, pasted) if "repeats" in each]
    assert loads(tmp_path, pasted)


#: Each word of another language for whether a field is there, is empty or is null, and what it says if it is true.
_OF_A_FLAG = {
    **dict.fromkeys(("is_null", "isNull"), "attrs.phone: null"),
    **dict.fromkeys(("not_null", "isNotNull", "nonNull"), "attrs.phone: {not: null}"),
    **dict.fromkeys(("not_exists", "does_not_exist", "missing", "undefined", "absent"), "attrs.phone: {exists: false}"),
    **dict.fromkeys(("$exists", "is_set", "is_defined"), "attrs.phone: {exists: true}"),
    **dict.fromkeys(("is_empty", "blank", "isBlank"), "attrs.phone: {empty: true}"),
    **dict.fromkeys(("not_empty", "non_empty", "isNotBlank"), "attrs.phone: {empty: false}"),
}
_NOT = {
    "attrs.phone: null": "attrs.phone: {not: null}",
    "attrs.phone: {exists: true}": "attrs.phone: {exists: false}",
    "attrs.phone: {empty: true}": "attrs.phone: {empty: false}",
}
_NOT |= {right: wrong for wrong, right in _NOT.items()}


@pytest.mark.parametrize("value", ["true", "yes", "1", "false", "no", "off", "0"])
@pytest.mark.parametrize("word", _OF_A_FLAG)
def test_a_condition_that_must_not_hold_is_the_opposite_one(tmp_path, word, value):
    text = HEAD + "routes:\n  - match: contact.created\n    where: {WHERE}\n    to: crm\n"
    right = _OF_A_FLAG[word] if value in ("true", "yes", "1") else _NOT[_OF_A_FLAG[word]]
    assert reported(tmp_path, text.replace("WHERE", f"attrs.phone: {{{word}: {value}}}")) == [right]
    if word in ("is_null", "isNotNull", "is_empty", "not_empty"):
        (hint,) = reported(tmp_path, text.replace("WHERE", f"attrs.phone.{word}: {value}"))
        assert hint == f'{right}; for a field of that name attrs.phone["{word}"]'
    assert loads(tmp_path, text.replace("WHERE", right))


@pytest.mark.parametrize("name", ["exists", "empty"])
@pytest.mark.parametrize(
    ("word", "right"), [("yes", "true"), ("ON", "true"), ("1", "true"), ("no", "false"), ("0", "false")]
)
def test_another_word_for_true_or_false_is_one_of_them(tmp_path, name, word, right):
    text = HEAD + "routes:\n  - match: contact.created\n    where: {WHERE}\n    to: crm\n"
    assert reported(tmp_path, text.replace("WHERE", f"attrs.phone: {{{name}: {word}}}")) == [right]
    assert loads(tmp_path, text.replace("WHERE", f"attrs.phone: {{{name}: {right}}}"))


def test_what_begins_a_number_of_a_telephone_stays_in_quotes(tmp_path):
    text = HEAD + "routes:\n  - match: contact.created\n    where: {WHERE}\n    to: crm\n"
    assert reported(tmp_path, text.replace("WHERE", 'attrs.phone: {starts_with: "+49"}')) == [
        'attrs.phone: {prefix: "+49"}'
    ]


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (r"^\+49", r"{regex: '^\+49'}"),
        ("^+49", r"{regex: '^\+49'}"),
        (r"\d+", r"{regex: '\d+'}"),
        ("not null", "{not: null}"),
        ("is not null", "{not: null}"),
        ("is null", "null"),
        ("is empty", "{empty: true}"),
        ("not empty", "{empty: false}"),
        ("not set", "{exists: false}"),
    ],
)
def test_a_pattern_or_a_state_that_is_compared_as_a_text_is_named(tmp_path, value, right):
    text = HEAD + "routes:\n  - match: contact.created\n    where: {attrs.phone: VALUE}\n    to: crm\n"
    warned = [each for each in reported(tmp_path, text.replace("VALUE", value)) if each.startswith("attrs.phone: ")]
    assert [each.partition(" for ")[0] for each in warned] == [f"attrs.phone: {right}"]
    again = reported(tmp_path, text.replace("VALUE", right))
    assert not [each for each in again if each.startswith("attrs.phone: ")]


@pytest.mark.parametrize("value", ["C:/data", "interested", "US$", "a^b", "not interested", "'null'"])
def test_a_text_is_compared_as_it_is_written(tmp_path, value):
    text = HEAD + "routes:\n  - {match: contact.created, where: {attrs.firstname: VALUE}, to: crm}\n"
    assert not [each for each in reported(tmp_path, text.replace("VALUE", value)) if "firstname: " in each]


@pytest.mark.parametrize("field", ["msg.payload.id", "msg.id"])
def test_a_field_of_a_message_of_node_red(tmp_path, field):
    text = HEAD + "routes:\n  - {match: contact.created, where: {FIELD: 7}, to: crm}\n"
    assert reported(tmp_path, text.replace("FIELD", field)) == ["payload.id"]


@pytest.mark.parametrize("path", ["payload.id", "attrs.firstname", "event.type"])
def test_the_path_of_a_field_in_a_body_is_not_its_value(tmp_path, path):
    text = HEAD + "routes:\n  - match: contact.created\n    to: crm\n    body:\n      VALUE\n"
    (right,) = (each for each in reported(tmp_path, text.replace("VALUE", f"name: {path}")) if path in each)
    assert right == f'name: "{{{{ {path} }}}}"'
    assert not [each for each in reported(tmp_path, text.replace("VALUE", right)) if each == right]


@pytest.mark.parametrize(("value", "right"), [("true", "1"), ('"1"', "1, without quotes")])
def test_a_value_of_another_type_is_reported_where_it_is(tmp_path, value, right):
    line = f"    where: {{attrs.is_enabled: {value}}}"
    config = loads(tmp_path, HEAD + f"routes:\n  - match: contact.created\n{line}\n    to: [crm, log]\n")
    (problem,) = (each for each in config.warnings if "is_enabled" in each.message)
    assert problem.hint == f"write {right}"
    assert line[problem.place.column - 1 :].startswith(value)


# --- slips ---

_TEXT = "routes:\n  - name: r\n    match: contact.created\n    to: leads\n"


def test_a_secret_in_the_default_of_a_variable_is_noted_and_hidden(tmp_path):
    text = (
        HEAD.replace("s3cret-of-the-tests", '"${SHOP_SECRET:-s3cret-of-the-tests}"') + "routes:\n  - to: [crm, log]\n"
    )
    notes = [each for each in loads(tmp_path, text).literal_secrets if "SHOP_SECRET" in each.hint]
    assert len(notes) == 1
    assert "s3cret" not in f"{notes}"


@pytest.mark.parametrize("variable", ["%TOKEN%", "$TOKEN", "$(TOKEN)"])
def test_a_secret_as_a_variable_of_another_shell_is_right_after_one_round(tmp_path, variable):
    text = HEAD.replace("s3cret-of-the-tests", "SECRET")
    (right,) = (each for each in reported(tmp_path, text.replace("SECRET", variable)) if "TOKEN" in each)
    assert right.removeprefix("secret: ") == '"${TOKEN}"'


@pytest.mark.parametrize(
    "lines",
    [
        ["New contact: {{ attrs.firstname }}", "mail {{ attrs.email }}"],
        ["New contact {{ attrs.firstname }}", "mail: {{ attrs.email }}"],
        [":wave: New *{{ attrs.firstname }}*", "{{ attrs.email }}"],
        ["{{ attrs.firstname }} is new", "mail {{ attrs.email }}"],
        ["*New* contact: {{ attrs.firstname }}", "", "mail {{ attrs.email }}"],
        ["New: {{ attrs.firstname }}", "", "- mail {{ attrs.email }}"],
        ["{% if attrs.email %}", "{{ attrs.email }}", "{% endif %}"],
    ],
    ids=str,
)
def test_a_text_of_several_lines_without_its_sign_is_one_problem(tmp_path, lines):
    text = HEAD + _TEXT + "    TEXT\n" + "".join(f"      {each}\n" if each else "\n" for each in lines)
    text += "  - to: [crm, log]\n"
    for written in ("text:", "text:|"):
        assert reported(tmp_path, text.replace("TEXT", written)) == ["text: |"]
    assert loads(tmp_path, text.replace("TEXT", "text: |"))


@pytest.mark.parametrize("lines", [["type: {{ attrs.type }}"], ["type: mrkdwn", "text: {{ attrs.type }}"]], ids=str)
def test_a_map_below_text_is_no_text_without_its_sign(tmp_path, lines):
    body = "routes:\n  - to: crm\n    match: contact.created\n    body:\n      text:\n"
    hints = reported(tmp_path, HEAD + body + "".join(f"        {each}\n" for each in lines))
    assert hints == [f'{lines[-1].partition(":")[0]}: "{{{{ attrs.type }}}}"']


def test_an_odd_space_in_a_text_is_no_mistake(tmp_path):
    text = "routes:\n  - to: crm\n    match: contact.created\n    text: |\n      a\n      \u00a0b\n   name: r\n"
    assert not [each for each in reported(tmp_path, HEAD + text) if "space bar" in each]


@pytest.mark.parametrize("section", ["always", "routes", "unmatched"])
@pytest.mark.parametrize("spaces", ["  ", "    "])
@pytest.mark.parametrize("others", ["", "  - name: b\n    to: [crm, log]\n"])
def test_the_first_entry_of_a_list_without_its_dash_is_named_at_once(tmp_path, section, spaces, others):
    entry = f"{spaces}name: a\n    to: [crm, log]\n{others}"
    hints = reported(tmp_path, HEAD + f"{section}:\n{entry}")
    assert any("- name: a" in each for each in hints)
    assert len(hints) == 1 or not others


@pytest.mark.parametrize("sign", ["\u00a0", "\u2003", "\u3000"])
@pytest.mark.parametrize("lead", ["", "  "])
def test_a_space_that_is_none_is_named_on_its_line(tmp_path, sign, lead):
    line = f"{lead}{sign}{sign}text: hi"
    (tmp_path / "routes.yaml").write_text(HEAD + _TEXT + line + "\n  - to: [crm, log]\n")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    (problem,) = refused.value.problems
    assert f"U+{ord(sign):04X}" in problem.message
    assert problem.line_text == line


@pytest.mark.parametrize("marks", ["“”", "‘’", "„“", "«»"])
def test_typographic_quotation_marks_around_an_address_are_named(tmp_path, marks):
    text = HEAD + f"  other: {{url: {marks[0]}https://crm.example.com{marks[1]}}}\n"
    (tmp_path / "routes.yaml").write_text(text + "routes:\n  - to: [crm, log, other]\n")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    assert any(f"quotation marks {marks[0]} and {marks[1]}" in each.message for each in refused.value.problems)


def test_a_text_as_deep_as_its_key_is_said_to_be_indented(tmp_path):
    (tmp_path / "routes.yaml").write_text(HEAD + _TEXT + "    text: |\n    hello\n")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    assert "not indented deeper than its key" in refused.value.problems[0].message


# --- types ---

KNOWN = sorted(presets.load("xobito").samples)


@pytest.mark.parametrize("event_type", KNOWN)
def test_a_misspelt_type_is_the_known_one(event_type):
    resource, _, action = event_type.partition(".")
    for misspelt in (f"{resource}s.{action}", f"{resource}_{action}", event_type.upper(), f"{resource}.{action[:-1]}"):
        assert type_like(misspelt, KNOWN) == event_type


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("contact.new", "contact.created"),
        ("contact.removed", "contact.deleted"),
        ("contact.changed", "contact.updated"),
        ("message.outgoing", "message.sent"),
        ("message.received", ""),
        ("message.incoming", ""),
        ("message.undelivered", ""),
        ("message.unread", ""),
        ("contact.restored", ""),
        ("contact.undeleted", ""),
        ("lead.created", ""),
    ],
)
def test_a_type_is_what_means_the_same_and_never_what_is_only_written_alike(written, meant):
    assert type_like(written, KNOWN) == meant


@pytest.mark.parametrize(
    ("one", "other"),
    [("subscribed", "unsubscribed"), ("opened", "reopened"), ("activated", "deactivated"), ("increased", "decreased"), ("locked", "unlocked")],
)  # fmt: skip
def test_a_type_is_never_its_opposite(one, other):
    assert type_like(f"a.{one}", [f"a.{other}"]) == type_like(f"a.{other}", [f"a.{one}"]) == ""


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("{source: whatsapp, match: messages, to: crm}", "match: [messages.*, statuses.*]"),
        ("{source: whatsapp, match: [messages, comments], to: crm}", "match: [messages.*, statuses.*, comments]"),
        ("{source: chat, match: /weather, to: crm}", "match: command.weather"),
    ],
)
def test_a_type_of_an_older_release_has_the_patterns_of_this_one(tmp_path, line, right):
    text = HEAD.replace(
        "sources:",
        "sources:\n  whatsapp: {preset: meta, secret: s3cret-of-the-tests}\n  chat: {preset: slack, secret: s3cret-of-the-tests}",
    )
    text += "routes:\n  - {}\n"
    hints = [each for each in reported(tmp_path, text.replace("{}", line)) if each in right.removeprefix("match: ")]
    assert len(hints) == 1
    written = line[line.index("match: ") : line.index(", to:")]
    assert right == written.replace("messages", hints[0]).replace("/weather", hints[0])
    assert not [
        each for each in reported(tmp_path, text.replace("{}", line.replace(written, right))) if hints[0] in each
    ]
