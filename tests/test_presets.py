"""Presets are data, and the data is right."""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import presets
from gateway.config import load
from gateway.errors import Unparsable
from gateway.rehearsal.rehearse import request_of
from gateway.signatures import Refused, Request, Verified
from gateway.signatures.declared import scheme_of

NOW = 1_800_000_000.0


@cache
def source_of(name):
    """The source of a preset, from a file with nothing else and no secret in the environment."""
    url = f"    public_url: https://hooks.example.com/in/{name}\n"
    secret = "" if {"none": True} in presets.load(name).verify else "    secret: ${A_SECRET}\n"
    text = f"version: 1\nsources:\n  {name}:\n    preset: {name}\n{secret}{url}destinations: {{}}\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "routes.yaml"
        path.write_text(text)
        return load(path, environ={}, no_env=True).sources[name]


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_loads_and_names_its_own_samples(name):
    preset = presets.load(name)
    assert preset.title
    assert preset.page.startswith("https://")
    schemes = [scheme_of(block) for block in preset.verify if block != {"none": True}]
    source = source_of(name)
    for type_, body in preset.samples.items():
        headers = [(key.encode(), value.encode()) for key, value in preset.sample_headers[type_].items()]
        assert source.received(headers, body, now=0.0)[0].event.type == type_
    assert all(scheme.headers <= source.kept_headers for scheme in schemes)


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
def test_whatever_is_posted_is_accepted_or_refused(data):
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
    assert isinstance(verdict, Refused) or source.verifier.is_open
    with suppress(Unparsable):
        assert source.received(request.headers, request.body, now=NOW)


signature_like = st.from_regex(rb"(t=[0-9]{1,12},)?(v[01]a?[=,])?(sha256=)?[A-Za-z0-9+/]{0,64}={0,2}", fullmatch=True)


def test_xobito_has_its_thirteen_documented_events():
    assert len(presets.load("xobito").samples) == 13


def test_an_unknown_preset_is_a_key_error():
    with pytest.raises(KeyError):
        presets.load("nobody")
