"""The first event to paste: one that the file sends, whoever its sender is."""

import pytest

from gateway import presets
from gateway.cli import small
from gateway.config import load
from gateway.destinations import KINDS
from gateway.rehearsal.example import example

OWN = """version: 1
sources:
  shop:
    verify: {{signature: {{header: x-shop-signature}}}}
    secret: a-secret-of-the-shop
    {naming}
destinations: {{crm: {{url: "https://crm.example.com"}}, file: {{type: file, path: a.ndjson}}}}
always: [{{to: file}}]
routes:
{routes}
"""


def configured(folder, text):
    (folder / "routes.yaml").write_text(text)
    return load(folder / "routes.yaml", environ={}, no_env=True)


@pytest.mark.parametrize("name", presets.NAMES)
def test_of_every_preset_there_is_an_event_that_its_file_routes(tmp_path, name):
    config = configured(tmp_path, small.routes(presets.load(name), KINDS["slack"]))
    found = example(config, config.sources[name], tmp_path)
    assert found is not None
    assert [route for route, _ in found.sent] == [f"{name}-to-slack"]


@pytest.mark.parametrize(
    ("naming", "routes"),
    [
        ('type: "{payload.kind}"', "  - {name: a, match: order.paid, to: crm}"),
        ('type: "{payload.resource}.{payload.action}"', "  - {name: a, match: order.paid, to: crm}"),
        ('type: ["{headers.x-event}.{payload.action}", "{headers.x-event}"]', "  - {name: a, match: ping, to: crm}"),
        ('type: "{query.button}"', "  - {name: a, match: front, to: crm}"),
        ('type: "{payload.kind}"', "  - {name: a, match: order.*, to: crm, body: {n: '{{ payload.order.number }}'}}"),
        (
            'type: "{payload.kind}"',
            "  - name: a\n    to: crm\n    where: {payload.total: {gt: 100}, payload.tags: {prefix: vip}, payload.state: [paid, sent]}",
        ),
        (
            'shortcuts: {order: payload.data.order}\n    type: "{payload.kind}"',
            "  - {name: a, match: order.paid, to: crm, where: {order.state: paid}, body: {id: '{{ order.id }}'}}",
        ),
        ('type: "{payload.kind}"', "  - {name: no, match: x, to: []}\n  - {name: a, match: y, to: crm}"),
    ],
    ids=[
        "a field", "two fields", "a header", "the query", "a field that is printed", "conditions", "a shortcut",
        "past what is ignored",
    ],
)  # fmt: skip
def test_of_a_source_without_samples_it_is_made_up_from_the_routes(tmp_path, naming, routes):
    config = configured(tmp_path, OWN.format(naming=naming, routes=routes))
    found = example(config, config.sources["shop"], tmp_path)
    assert found is not None
    assert [route for route, _ in found.sent] == ["a"]


def test_the_event_of_a_test_comes_before_one_that_is_made_up(tmp_path):
    routes = """  - {name: a, match: order.paid, to: crm}
tests:
  - {name: nothing, payload: {kind: other}, expect: [file]}
  - {name: an order is sent on, payload: {kind: order.paid, total: 7}, expect: [file, crm]}
"""
    config = configured(tmp_path, OWN.format(naming='type: "{payload.kind}"', routes=routes))
    found = example(config, config.sources["shop"], tmp_path)
    assert (found.name, found.body) == ("an order is sent on", b'{"kind":"order.paid","total":7}')


def test_an_event_that_no_route_sends_is_better_than_none(tmp_path):
    text = "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\ndestinations: {}\nroutes: []\n"
    config = configured(tmp_path, text)
    found = example(config, config.sources["xobito"], tmp_path)
    assert (found.name, found.sent) == ("contact.created", ())


def test_of_a_source_of_which_nothing_is_known_there_is_none(tmp_path):
    text = (
        "version: 1\nsources: {a: {verify: {token: {header: x-t}}, secret: s, type: '{payload.kind}'}}\n"
        "destinations: {}\nroutes: []\n"
    )
    config = configured(tmp_path, text)
    assert example(config, config.sources["a"], tmp_path) is None
