"""A pattern with the source before the type."""

import pytest

HEAD = """
version: 1
sources:
  xobito: {preset: xobito, secret: own-secret-of-tests}
  hub: {preset: github, secret: own-secret-of-tests}
  app: {preset: bearer, secret: own-secret-of-tests}
destinations:
  log: {type: file, path: log.ndjson}
routes:
"""


def warnings_of(loaded, keys):
    config = loaded(f"  - {{name: lead, {keys}, to: log}}\n", head=HEAD)
    return [each for each in config.warnings if "acts on events" not in each.message]


#: Keys of a route, what is to be written, and the keys with that.
WRONG = [
    ("match: xobito.contact.created", "write source: xobito, and match: contact.created"),
    ("match: xobito/contact.created", "write source: xobito, and match: contact.created"),
    ("match: xobito:contact.*", "write source: xobito, and match: contact.*"),
    ("match: xobito.*.created", 'write source: xobito, and match: "*.created"'),
    ("match: [xobito.contact.created, xobito.status.*]", "write source: xobito, and match: [contact.created, status.*]"),
    ("source: xobito, match: xobito.contact.created", "write match: contact.created"),
    ("match: xobito", "write source: xobito instead of match"),
    ("match: xobito.**", "write source: xobito instead of match"),
    ("match: github.push", "write source: hub, and match: push"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "right"), WRONG)
def test_the_source_is_selected_by_its_key(loaded, keys, right):
    [warning] = warnings_of(loaded, keys)
    assert "source" in warning.message
    assert warning.hint == right
    source = "source: xobito, " if keys.startswith("source") else ""
    pasted = right.removeprefix("write ").replace(", and match", ", match").removesuffix(" instead of match")
    assert warnings_of(loaded, source + pasted) == []


def test_one_pattern_of_a_list_is_moved_to_a_route_of_its_own(loaded):
    [first, second] = warnings_of(loaded, "match: [xobito.contact.created, push, xobito]")
    assert first.hint == "write contact.created, in a route of its own with source: xobito"
    assert second.hint == "write a route of its own with source: xobito"


@pytest.mark.parametrize("keys", ["match: app.order.paid", "match: app", "match: push", "source: xobito, match: source.created"])  # fmt: skip
def test_a_type_that_a_source_may_send_is_none(loaded, keys):
    assert not [each for each in warnings_of(loaded, keys) if "before the type" in each.message]
