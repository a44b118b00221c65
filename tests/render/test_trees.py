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
