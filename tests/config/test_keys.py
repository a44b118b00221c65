"""Every key of the language: documented, shown and read without a crash."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import format_problem, load
from gateway.config.schema.keys import Section, keys_of
from gateway.destinations import KINDS
from gateway.errors import ConfigError
from tests.config.given import GOOD


def every_section(section: type[Section] = Section):
    for each in section.__subclasses__():
        yield each
        yield from every_section(each)


def test_every_key_of_every_place_says_what_it_is_for():
    for section in every_section():
        assert section.noun
        for name, (_, declared) in keys_of(section).items():
            assert declared.about, name


def test_every_key_is_in_the_file_that_shows_them_all():
    written = (GOOD / "every-key.yaml").read_text("utf-8")
    of_one_type = {name for kind in KINDS.values() for name in kind.options}
    names = {name for section in every_section() for name in keys_of(section)} - of_one_type
    missing = {name for name in names if f"{name}:" not in written}
    assert not missing, "write each of them in tests/config/good/every-key.yaml"


KEYS = sorted({name for section in every_section() for name in keys_of(section)} | {"x", "${A}", ""})


def _maps(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), _maps, max_leaves=12))
def test_any_json_is_a_config_or_problems(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "routes.yaml"
    path.write_text(json.dumps(written), "utf-8")
    try:
        load(path, environ={})
    except ConfigError as error:
        assert all(map(format_problem, error.problems))
