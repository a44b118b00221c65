"""Keys of other products for a delivery that fails, for each element of a list and for the order of routes; and entries
that are written as a map of names.
"""

import pytest

from gateway.config.schema.failing import FAILING, OF_ENTRIES
from gateway.destinations import KINDS
from gateway.destinations.recipes import recipe
from gateway.errors import ConfigError
from tests.config.given import HEAD

ROUTE = "routes:\n  - name: r\n    to: leads\n    text: hi\n    match: contact.created\n    {}\n"
DESTINATION = HEAD + "  ops: {type: slack, url: 'https://hooks.slack.example/T1', KEY}\n"


def hint_of(loaded, text, **more):
    with pytest.raises(ConfigError) as refused:
        loaded(text, **more)
    [problem] = [each for each in refused.value.problems if each.severity == "error"]
    return problem.hint


SECTION = "write failed: [{to: leads}] as a section of the file: it sends when a delivery is given up"


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("leads", SECTION),
        ("[leads]", SECTION),
        ("{to: leads}", SECTION),
        ("{destination: leads, after: 3}", SECTION),
        ("https://b.example", SECTION.replace("leads", "...")),
        ("{url: x}", SECTION.replace("leads", "...")),
        (
            "true",
            "remove it: a delivery that is given up is kept as a dead letter, and a section failed notifies of it",
        ),
        ("retry", "remove it: a delivery that fails is retried, as retry of its destination says"),
        ("continue", "remove it: a delivery that fails never keeps another from being sent"),
    ],
)
def test_what_is_sent_when_a_delivery_fails_is_a_section(loaded, value, right):
    for key in (key for key, remedy in FAILING.items() if remedy is FAILING["on_error"]):
        assert hint_of(loaded, ROUTE.format(f"{key}: {value}")) == right
    assert hint_of(loaded, ROUTE.format(""), head=DESTINATION.replace("KEY", f"on_error: {value}")) == right


def test_that_section_is_accepted(loaded):
    config = loaded(ROUTE.format("") + "failed: [{to: leads}]\n")
    assert "failed/leads" in config.entries


@pytest.mark.parametrize("key", ["ignore_errors", "continue_on_error"])
def test_a_failure_never_stops_other_deliveries(loaded, key):
    assert hint_of(loaded, ROUTE.format(f"{key}: true")).startswith("remove it: a delivery that fails never")


@pytest.mark.parametrize(
    ("value", "path", "split"),
    [
        ("payload.data.groups", "payload.data.groups", "payload.data.groups.*"),
        ("'{{ payload.data.groups }}'", "payload.data.groups", "payload.data.groups.*"),
        ("payload.data.groups[*]", "payload.data.groups", "payload.data.groups.*"),
        ("attrs.groups", "attrs.groups", "payload.items.*"),
        ("3", "payload.items", "payload.items.*"),
    ],
)
def test_something_for_each_element_is_a_loop_or_a_split(loaded, value, path, split):
    loop = f"{{% for one in {path} %}}{{{{ one.name }}}}{{% endfor %}}"
    for key in (key for key, remedy in OF_ENTRIES.items() if remedy is OF_ENTRIES["foreach"]):
        assert hint_of(loaded, ROUTE.format(f"{key}: {value}")) == (
            f"write {loop} in text, for one message about all of them; or split: {split} in the source, for an event of each"
        )
    loaded(ROUTE.format("").replace("hi", f"'{loop}'"))
    loaded(ROUTE.format(""), head=HEAD.replace("secret:", f"split: '{split}', secret:"))


@pytest.mark.parametrize("key", ["priority", "order", "precedence"])
def test_the_order_of_routes_is_that_of_the_file(loaded, key):
    hint = hint_of(loaded, ROUTE.format(f"{key}: 1"))
    assert hint.startswith("remove it: routes apply in the order of the file, and stop: true ends them")
    assert ("ntfy" in hint) is (key == "priority")


@pytest.mark.parametrize("name", ["log", "stdout", "Console", "print", "logger", "debug"])
def test_a_log_as_a_destination_is_a_file(loaded, name):
    right = "write file, and path: events.ndjson, to which a line is added for each delivery"
    assert recipe(name) == right
    assert hint_of(loaded, ROUTE.format(""), head=f"{HEAD}  out: {{type: {name}}}\n") == right
    loaded(ROUTE.format(""), head=f"{HEAD}  out: {{type: file, path: events.ndjson}}\n")


@pytest.mark.parametrize("name", ["noop", "blackhole", "/dev/null"])
def test_a_destination_that_drops_everything_is_none_at_all(name):
    assert recipe(name) == "remove the destination, and write to: [] in the route"


def test_no_type_that_exists_has_another_one():
    assert {recipe(name) for name in KINDS} == {""}


# --- entries ---

LIKE = "with match, to and text on the lines below"
ENTRIES = [
    ("routes: {lead: {match: contact.created, to: leads, text: hi}}", f"start each entry with - and its name: write - name: lead, {LIKE}"),
    ("routes:\n  lead:\n    match: contact.created\n    to: leads\n    text: hi", f"start each entry with - and its name: write - name: lead, {LIKE}"),
    ("routes: [{lead: {match: contact.created, to: leads, text: hi}}]", f"write - name: lead, {LIKE}"),
    ("routes:\n  - lead:\n      match: contact.created\n      to: leads\n      text: hi", f"write - name: lead, {LIKE}"),
    ("always: {all: {to: log}}", "start each entry with - and its name: write - name: all, with to on the lines below"),
    ("routes: {contact.created: {to: leads, text: hi}}", "start each entry with - and its type: write - match: contact.created, with to and text on the lines below"),
    ("routes: [{contact.*: {to: leads, text: hi}}]", "write - match: contact.*, with to and text on the lines below"),
    ("routes: {contact.created: leads}", "write - {match: contact.created, to: leads}"),
    ("routes: {'**': leads}", 'write - {match: "**", to: leads}'),
    (ROUTE.format("") + "tests: {a test: {event: contact.created, expect: [leads]}}", "start each test with - and its name: write - name: a test, with event and expect on the lines below"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "right"), ENTRIES)
def test_an_entry_below_its_name_is_shown_as_an_item(loaded, written, right):
    assert hint_of(loaded, written) == right


@pytest.mark.parametrize(
    "right",
    [
        "routes:\n  - name: lead\n    match: contact.created\n    to: leads\n    text: hi",
        "routes:\n  - match: contact.*\n    to: leads\n    text: hi",
        "routes:\n  - {match: contact.created, to: crm}",
        'routes:\n  - {match: "**", to: crm}',
    ],
)
def test_such_an_item_is_accepted(loaded, right):
    assert loaded(right).entries


def test_an_unknown_key_of_an_entry_is_no_name(loaded):
    with pytest.raises(ConfigError) as refused:
        loaded("routes: [{lead: {a: 1}}]")
    assert 'unknown key "lead" in route "routes/ignored"' in [each.message for each in refused.value.problems]
