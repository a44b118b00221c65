"""Presets are data, and the data is right."""

import re
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway import presets
from gateway.cli.sources import in_words
from gateway.config import load
from gateway.config.jsonschema import json_schema
from gateway.errors import Unparsable
from gateway.rehearsal.rehearse import request_of
from gateway.signatures import Refused, Request, Verified, Wanted
from gateway.wording import folded

NOW = 1_800_000_000.0
FOLDER = Path(presets.__file__).parent
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@cache
def source_of(name):
    """The source of a preset, from a file with nothing else and no secret in the environment."""
    url = f"    public_url: https://hooks.example.com/in/{name}\n"
    blocks = presets.load(name).verify
    secret = "" if {"none": True} in blocks else "    secret: ${A_SECRET}\n"
    if any("jwt" in block for block in blocks):
        secret = "    verify: {jwt: {jwks: https://auth.example.com/.well-known/jwks.json}}\n"
    text = f"version: 1\nsources:\n  {name}:\n    preset: {name}\n{secret}{url}destinations: {{}}\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "routes.yaml"
        path.write_text(text)
        return load(path, environ={}, no_env=True).sources[name]


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_loads_and_names_its_own_samples(name):
    preset = presets.load(name)
    assert preset.title
    assert preset.page.startswith("https://"), f"page: in {name}.yaml is no https address: {preset.page}"
    source = source_of(name)
    for type_, body in preset.samples.items():
        headers = [(key.encode(), value.encode()) for key, value in preset.sample_headers[type_].items()]
        got = source.received(headers, body, now=0.0)[0].event.type
        assert got == type_, f"the sample {type_} is named {got}: correct type: in {name}.yaml, or the file's name"


def facts_of_samples(name):
    """The facts of each event in the samples of a preset."""
    source = source_of(name)
    for type_, body in presets.load(name).samples.items():
        headers = [(key.encode(), value.encode()) for key, value in presets.load(name).sample_headers[type_].items()]
        for received in source.received(headers, body, now=0.0):
            yield source.naming.facts(received.event, received.payload)


#: Documented events in which the vendor sends no id, or no record: preset, sample, and the key of the preset.
BARE = {
    ("asana", "heartbeat", "shortcuts.attrs"),
    ("discord-events", "PING", "shortcuts.attrs"),
    ("gitlab", "push", "shortcuts.attrs"),
    ("gitlab-token", "push", "shortcuts.attrs"),
    ("microsoft-graph", "reauthorizationRequired", "id"),
    ("x", "account_activity", "id"),
    # Only its newer envelope has one.
    *(("xobito", sample, "id") for sample in presets.load("xobito").samples),
}


def lacking(name):
    """What the samples of a preset do not have: preset, sample, and the key of the preset that should find it."""
    naming = presets.load(name).naming
    for facts in facts_of_samples(name):
        sample = facts["event"]["type"]
        if naming.ids and not any(template.render(facts) for template in naming.ids):
            yield name, sample, "id"
        yield from ((name, sample, f"shortcuts.{shortcut}") for shortcut in naming.shortcuts if not facts[shortcut])


@pytest.mark.parametrize("name", presets.NAMES)
def test_the_id_and_the_shortcuts_of_a_preset_are_found_in_its_samples(name):
    assert presets.load(name).samples, f"add a documented event: gateway/presets/{name}/<type>.json"
    found = set(lacking(name))
    assert found == {each for each in BARE if each[0] == name}, (
        f"correct these paths in {name}.yaml, or list them in BARE"
    )


@pytest.mark.parametrize("name", presets.NAMES)
def test_the_headers_of_a_signature_are_kept_without_being_listed_again(name):
    declared = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    listed = {header.lower() for header in declared.get("headers", ())}
    schemes = source_of(name).verifier.schemes
    of_signature = {header for scheme in schemes if scheme.way in ("signature", "jwt") for header in scheme.headers}
    assert not listed & of_signature, "verify names them"
    assert listed | of_signature == presets.load(name).kept_headers == source_of(name).kept_headers
    assert listed or "headers" not in declared, "leave an empty list out"


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_writes_verify_as_an_operator_may(name):
    declared = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    verified = [declared["verify"], *(each["verify"] for each in handshakes(declared) if "verify" in each)]
    blocks = [block for each in verified for block in (each if isinstance(each, list) else [each])]
    for block in blocks:
        problems = [problem.message for problem in VALIDATOR.iter_errors(one_source(verify=block))]
        assert problems == [], f"verify of {name}.yaml"


def handshakes(declared):
    return [said for each in declared.get("handshake", []) for said in each.values()]


def one_source(**keys):
    return {"version": 1, "sources": {"any": keys}}


LEAST = {"title": "A", "page": "https://a.example", "verify": {"token": {"header": "x"}}, "type": "a"}


@pytest.mark.parametrize(
    ("keys", "refusal"),
    [
        ({"idd": ["{payload.id}"]}, 'unknown key "idd" in a.yaml  (did you mean "id"?)'),
        ({"shortcuts": {"attrs": {"frist": []}}}, 'unknown key "frist" in shortcuts.attrs of a.yaml'),
        ({"samples": {"crated": {}}}, 'unknown key "crated" in samples of a.yaml  (did you mean "created"?)'),
        ({"samples": {"created": {"header": {}}}}, 'unknown key "header" in samples.created of a.yaml'),
        ({"promised": {"crated": ["id"]}}, 'unknown key "crated" in promised of a.yaml  (did you mean "created"?)'),
        ({"products": {"Shop": "crated"}}, 'unknown key "crated" in products of a.yaml  (did you mean "created"?)'),
    ],
    ids=["a key", "of a shortcut", "of samples", "of a sample", "of promised", "of products"],
)
def test_a_key_of_a_preset_that_nothing_reads_is_refused(keys, refusal):
    samples = {"created": (b"{}", "json")}
    assert presets.compiled("a", LEAST, samples).title == "A"
    with pytest.raises(presets.PresetRefused) as refused:
        presets.compiled("a", {**LEAST, **keys}, samples)
    assert refusal in str(refused.value)


#: What most people want to hear of these senders.
MOST_WANTED = {
    "github": ["push", "pull_request.opened", "workflow_run.completed"],
    "stripe": ["payment_intent.payment_failed", "checkout.session.completed", "invoice.payment_failed"],
    "shopify": ["orders/create"],
    "meta": ["messages.text"],
}


@pytest.mark.parametrize("name", MOST_WANTED)
def test_what_most_people_want_to_hear_of_a_sender_is_among_its_samples(name):
    assert set(MOST_WANTED[name]) <= presets.load(name).samples.keys()


@pytest.mark.parametrize("name", [name for name in presets.NAMES if presets.load(name).products])
def test_the_title_of_a_sender_names_each_of_its_products_in_their_order(name):
    title = presets.load(name).title
    places = [title.find(product) for product in presets.load(name).products]
    assert -1 not in places
    assert places == sorted(places)


def test_a_product_is_that_of_one_sender_and_no_sender_has_its_name():
    found = Counter(folded(product) for name in presets.NAMES for product in presets.load(name).products)
    assert [each for each, times in found.items() if times > 1 or each in map(folded, presets.NAMES)] == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("whatsapp", ("meta", "messages.text")),
        ("Whats App", ("meta", "messages.text")),
        ("meta", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_product_is_found_however_it_is_spelt(name, found):
    assert presets.by_product(name) == found


@pytest.mark.parametrize("key", ["type", "id", "split", "headers"])
def test_one_text_means_the_same_as_a_list_of_it(key):
    one, listed = (presets.compiled("a", {**LEAST, key: each}, {}) for each in ("payload.a", ["payload.a"]))
    assert one == listed


@pytest.mark.parametrize("key", LEAST)
def test_a_preset_without_a_required_key_is_refused(key):
    with pytest.raises(presets.PresetRefused, match=rf"a\.yaml lacks {key}"):
        presets.compiled("a", {name: value for name, value in LEAST.items() if name != key}, {})


@pytest.mark.parametrize("handshake", [{"json_ecko": {}}, {"json_echo": {"challange": "payload.challenge"}}], ids=str)
def test_a_handshake_with_an_unknown_word_is_refused(handshake):
    with pytest.raises(ValueError, match=r"unknown (json_ecko; known: probe|challange; known: method)"):
        presets.compiled("a", {**LEAST, "handshake": [handshake]}, {})


def test_every_key_of_a_preset_is_described_where_presets_are_read():
    written = {key for file in FOLDER.glob("*.yaml") for key in yaml.safe_load(file.read_text("utf-8"))}
    described = set(re.findall(r"``(\w+)``", presets.__doc__))
    assert written <= described, "describe it in the docstring of gateway/presets/__init__.py"


@pytest.mark.parametrize("name", presets.NAMES)
def test_what_is_signed_for_a_preset_is_accepted_and_nothing_else_is(name):
    source = source_of(name)
    if source.verifier.is_open or all(scheme.is_asymmetric for scheme in source.verifier.schemes):
        pytest.skip("only the sender can sign")
    sample = next(iter(source_samples(source)), "")
    body = presets.load(name).samples.get(sample, b'{"a": 1}')
    request = request_of(source, body, sample, NOW)
    assert source.verifier.verify(request, NOW) == Verified()
    for scheme in source.verifier.schemes:
        if scheme.way == "signature" and scheme.covers_body and not scheme.is_asymmetric:
            assert isinstance(source.verifier.verify(replace(request, body=request.body + b"&x=1"), NOW), Refused)
    unsigned = Request(headers=[], body=b'{"a": 1}')
    assert isinstance(source.verifier.verify(unsigned, NOW), Refused)


def source_samples(source):
    return presets.load(source.preset).samples


@given(data=st.data())
@settings(max_examples=300)
def test_whatever_is_posted_is_refused_or_waits_for_keys(data):
    name = data.draw(st.sampled_from(presets.NAMES))
    source = source_of(name)
    known = sorted({header for scheme in source.verifier.schemes for header in scheme.headers} | {"authorization"})
    header = st.tuples(st.sampled_from(known).map(str.encode), st.binary(max_size=80) | signature_like)
    request = Request(
        headers=data.draw(st.lists(header, max_size=6)),
        body=data.draw(st.binary(max_size=200) | st.sampled_from(list(presets.load(name).samples.values()) or [b""])),
        query=data.draw(st.binary(max_size=40)),
        path_secret=data.draw(st.binary(max_size=20)),
    )
    verdict = source.verifier.verify(request, NOW)
    assert isinstance(verdict, Refused | Wanted) or source.verifier.is_open
    with suppress(Unparsable):
        assert source.received(request.headers, request.body, now=NOW)


signature_like = st.from_regex(rb"(t=[0-9]{1,12},)?(v[01]a?[=,])?(sha256=)?[A-Za-z0-9+/]{0,64}={0,2}", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("telegram", "a token in x-telegram-bot-api-secret-token"),
        ("figma", "a token in the body's passcode"),
        ("mailgun", "HMAC sha256 of {timestamp}{payload:signature.token} in the body's signature.signature"),
        (
            "adyen",
            (
                "HMAC sha256 of 8 fields of the body in the body's "
                "notificationItems.0.NotificationRequestItem.additionalData.hmacSignature"
            ),
        ),
    ],
)
def test_a_preset_says_in_words_how_it_verifies(name, words):
    assert in_words(presets.load(name)) == words


def test_xobito_has_its_thirteen_documented_events():
    assert len(presets.load("xobito").samples) == 13


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"header": "x-token"}, "a token in x-token"),
        ({"query": "key"}, "a token in the query's key"),
        ({"payload": "value.0.clientState"}, "a token in the body's value.0.clientState"),
    ],
    ids=["header", "query", "payload"],
)
def test_a_preset_says_where_its_sender_shows_a_token(token, said):
    assert in_words(presets.compiled("a", {**LEAST, "verify": {"token": token}}, {})) == said


def test_an_unknown_preset_is_a_key_error():
    with pytest.raises(KeyError):
        presets.load("nobody")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("githb", 'did you mean "github"?'),
        ("WhatsApp", 'did you mean "meta"?'),
        ("prometheus", 'did you mean "alertmanager"?'),
        ("lemonsqueezy", 'did you mean "lemon-squeezy"?'),
        ("azure", 'did you mean "azure-devops" or "azure-event-grid"?'),
        ("nobody-has-this-name", ""),
        ("", ""),
    ],
)
def test_a_name_that_no_preset_has_is_looked_for_in_their_titles(name, meant):
    assert presets.meant(name) == meant
