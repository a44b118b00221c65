"""Presets are data, and the data is right."""

import pytest

from gateway import presets


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_loads_and_names_its_own_samples(name):
    preset = presets.load(name)
    assert preset.title
    assert preset.samples
    assert preset.scheme.header == preset.scheme.header.lower()
    assert preset.scheme.header in preset.kept_headers


def test_xobito_has_its_thirteen_documented_events():
    assert len(presets.load("xobito").samples) == 13


def test_an_unknown_preset_is_a_key_error():
    with pytest.raises(KeyError):
        presets.load("nobody")
