"""Bodies written in routes.yaml."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.errors import Place
from gateway.render import TemplateText
from tests.render.given import FACTS, HERE, failure


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ attrs.id }}", 451),
        ("{{ attrs.phone }}", "+14155551234"),
        ("{{ attrs.vip }}", True),
        ("{{ attrs.nothing }}", None),
        ("{{ attrs.group_id }}", [1, 2]),
        ("{{ payload.items[0] }}", {"sku": "A", "n": 1}),
        ("{{ attrs.bad }}", '<!channel> "A"\n&\\'),
        ("no. {{ attrs.id }}", "no. 451"),
        (" {{ attrs.id }}", " 451"),
        ("{% if attrs.vip %}yes{% endif %}", "yes"),
        ("{{ attrs.id | tojson }}", "451"),
        ("{{ 'a\ud800' }}", "a\ufffd"),
        ("{# no template #}", "{# no template #}"),
    ],
)
def test_a_leaf_that_is_one_whole_expression_keeps_its_type(leaf, source, value):
    assert leaf(source) == value
    assert type(leaf(source)) is type(value)


def test_a_tree_keeps_its_shape_and_leaves_out_what_is_omitted(templates):
    def t(source):
        return TemplateText(source, HERE)

    tree = {
        "id": t("{{ attrs.id }}"),
        "gone": t("{{ attrs.nope | default(omit) }}"),
        "fixed": [1, 1.5, True, None, {"plain": t("<b>")}],
        "list": [t("{{ attrs.nope | default(omit) }}"), t("{{ attrs.firstname }}")],
    }
    value = templates.tree(tree, no_escape)(FACTS).value
    assert value == {"id": 451, "fixed": [1, 1.5, True, None, {"plain": "<b>"}], "list": ["Ann"]}


def test_a_leaf_for_slack_is_inert_all_the_way_down(templates):
    facts = {"attrs": {"x": {"<a>": ["<!here>", {"b": "&"}]}}}
    value = templates.tree(TemplateText("{{ attrs.x }}", HERE), slack.escape)(facts).value
    # Nobody reads a key: it is as the event has it.
    assert value == {"<a>": ["&lt;!here&gt;", {"b": "&amp;"}]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ attrs.nope }}", "the event has no field attrs.nope"),
        ("{{ [attrs.nope] }}", "the event has no field attrs.nope"),
        ("{{ attrs.nope | default(omit) }}", "omit would leave out the whole body"),
        ("{{ [omit] }}", "omit leaves out a whole value"),
        ("{{ 1e308 * 10 }}", "inf, which JSON cannot hold"),
        ("{{ range }}", "range is a function, which JSON cannot hold"),
        ("{{ slack_link }}", "a function, which JSON cannot hold"),
    ],
)
def test_a_leaf_that_has_no_json_is_an_error(leaf, source, message):
    assert message in failure(leaf, source)


def test_a_leaf_fails_at_its_own_line(templates):
    tree = {"a": TemplateText("x", HERE), "b": [TemplateText("{{ 1 / 0 }}", Place("routes.yaml", 77, 5))]}
    assert failure(templates.tree(tree, no_escape), FACTS) == "routes.yaml:77: division by zero"


def t(source):
    return TemplateText(source, HERE)


def test_a_key_may_be_a_template(templates):
    tree = {t("{{ attrs.firstname }}"): t("{{ attrs.id }}"), "in": {t("k-{{ attrs.id }}"): [1]}, "x": None}
    assert templates.tree(tree, no_escape)(FACTS).value == {"Ann": 451, "in": {"k-451": [1]}, "x": None}
    assert templates.form({t("f[{{ attrs.id }}]"): t("{{ attrs.firstname }}")})(FACTS).body == b"f%5B451%5D=Ann"


def test_a_key_is_left_out_with_its_value(templates):
    assert templates.tree({t("{{ attrs.id }}"): t("{{ attrs.nope | default(omit) }}")}, no_escape)(FACTS).value == {}


def test_a_key_of_a_value_never_takes_the_place_of_another(templates):
    for tree in ({"id": 1, t("{{ attrs.x }}"): 2}, {t("{{ attrs.x }}"): 2, "id": 1}):
        render = templates.tree(tree, no_escape)
        assert 'the key "id" is there twice' in failure(render, {"attrs": {"x": "id"}})
        assert render({"attrs": {"x": "other"}}).value == {"id": 1, "other": 2}


@pytest.mark.parametrize("key", ["{{ attrs.nope }}", "{{ attrs.nothing }}", "{{ attrs.group_id }}"])
def test_a_key_that_is_no_text_is_an_error_with_its_place(templates, key):
    assert failure(templates.tree({t(key): 1}, no_escape), FACTS).startswith("routes.yaml:40: ")
