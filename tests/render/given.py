"""An event, and what goes wrong with a template, for the tests of templates."""

import pytest

from gateway.errors import Place, RenderError, TemplateRefused

ROOTS = {"event", "payload", "headers", "attrs"}
HERE = Place("routes.yaml", 40, 11)
FACTS = {
    "event": {"type": "contact.created"},
    "payload": {"items": [{"sku": "A", "n": 1}, {"sku": "B", "n": 2}], "long": "x" * 100_000},
    "headers": {"x-webhook-event": "message.sent"},
    "attrs": {
        "id": 451,
        "firstname": "Ann",
        "bad": '<!channel> "A"\n&\\',
        "nothing": None,
        "empty": "",
        "vip": True,
        "score": 1.5,
        "group_id": [1, 2],
        "phone": "+14155551234",
        "get": "a field called get",
    },
}


def refusal(compile, *arguments):
    with pytest.raises(TemplateRefused) as caught:
        compile(*arguments)
    return caught.value.problems[0]


def failure(render, *arguments):
    with pytest.raises(RenderError) as caught:
        render(*arguments)
    return str(caught.value)
