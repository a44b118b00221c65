"""In a .json.j2 a value that makes a key never takes the place of a key that the author wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations.escapes import no_escape
from gateway.errors import Place, RenderError
from gateway.render import Templates

KEYED = {
    "after": '{"admin": false, "{{ payload.k }}": true}',
    "before": '{"{{ payload.k }}": true, "admin": false}',
    "composed": '{"admin": false, "ad{{ payload.k[2:] }}": true}',
    "escaped by the author": r'{"\u0061dmin": false, "{{ payload.k }}": true}',
    "in a loop": '{"admin": false{% for one in payload.list %}, "{{ one }}": true{% endfor %}}',
    "in a branch": '{"admin": false, {% if payload.k %}"{{ payload.k }}"{% else %}"x"{% endif %}: true}',
    "both quotes in branches": '{"admin": false, "{% if payload.k %}{{ payload.k }}"{% else %}x"{% endif %}: true}',
    "deep": '{"a": [{"admin": false, "{{ payload.k }}" : true}]}',
    "included": '{% include "part.json.j2" %}',
}


def loaded(folder, text):
    (folder / "it.json.j2").write_text(text)
    (folder / "part.json.j2").write_text('{"admin": false, "{{ payload.k }}": true}')
    return Templates(folder, roots=["payload"]).file("it.json.j2", Place("routes.yaml", 1), no_escape)


def rendered(render, key):
    return render({"payload": {"k": key, "list": ["x", key]}}).value


@pytest.mark.parametrize("text", KEYED.values(), ids=KEYED.keys())
def test_a_key_of_the_author_is_not_overridden(tmp_path, text):
    render = loaded(tmp_path, text)
    assert '"admin": false' in json.dumps(rendered(render, "adother"))
    with pytest.raises(RenderError, match='the key "admin" is there twice: a value of the event is the same'):
        rendered(render, "admin")


def test_values_may_repeat_a_key_of_their_own(tmp_path):
    render = loaded(
        tmp_path, '{"admin": false{% for one in payload.list %}, "{{ one }}": "{{ loop.index }}"{% endfor %}}'
    )
    assert rendered(render, "x") == {"admin": False, "x": "2"}


@given(st.text(max_size=6), st.text(max_size=6))
def test_whatever_the_keys_are_the_author_s_value_stays(tmp_path_factory, own, key):
    folder = tmp_path_factory.mktemp("keys")
    written = json.dumps(own).replace("{", "\\u007b")
    try:
        made = rendered(loaded(folder, f'{{{written}: "mine", "{{{{ payload.k }}}}": "theirs"}}'), key)
    except RenderError as error:
        assert "is there twice" in str(error)
        assert own == key
    else:
        assert made[own] == "mine"
