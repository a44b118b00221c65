"""What a kind has to say about itself, checked for every one of them: a failure names the field that is missing."""

import asyncio
import importlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.cli import cli
from gateway.config import load
from gateway.config.schema import destinations as schema
from gateway.console.chats import preview
from gateway.destinations import KINDS, Kind, Option, Parts, Target
from gateway.destinations.gates import RATE
from gateway.egress import Egress, Inbox
from gateway.errors import BuildError, ConfigError
from gateway.event.paths import lookup
from gateway.model import Attempt, Delivery, HttpRequest, Text
from gateway.pipeline import deliver
from gateway.process import Gateway
from gateway.routing.cases import sample
from tests.cli import command
from tests.destinations import examples
from tests.destinations.values import parts

ROOT = Path(__file__).parents[2]
KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
WITH_A_SECRET_PATH = pytest.mark.parametrize(
    "kind", [each for each in KINDS.values() if each.has_url and not each.is_path_public], ids=lambda each: each.name
)
WITH_AN_ADDRESS = pytest.mark.parametrize(
    "kind", [each for each in KINDS.values() if each.has_url], ids=lambda each: each.name
)
READ_BY_PEOPLE = pytest.mark.parametrize(
    "kind", [each for each in KINDS.values() if each.needs_text], ids=lambda each: each.name
)


def body_of(kind: Kind) -> object:
    request = kind.request(examples.target(kind), parts(content=Text("hi there")))
    return examples.message_of(kind, request)


@READ_BY_PEOPLE
def test_a_text_becomes_one_of_the_fields_that_a_message_needs(kind: Kind) -> None:
    body = body_of(kind)
    assert isinstance(body, dict)
    assert not kind.contents or set(kind.contents) & body.keys()


def test_no_two_kinds_have_the_same_vendor() -> None:
    hosts = [host for kind in KINDS.values() for host in kind.hosts]
    assert len(hosts) == len(set(hosts))


def test_every_kind_is_listed_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}


def test_every_kind_that_a_module_makes_is_registered() -> None:
    folder = ROOT / "gateway" / "destinations"
    modules = [importlib.import_module(f"gateway.destinations.{file.stem}") for file in folder.glob("[a-z]*.py")]
    made = {each.name for module in modules for each in vars(module).values() if isinstance(each, Kind)}
    assert made == KINDS.keys(), "register it in KINDS of gateway/destinations/__init__.py"


@given(st.binary(max_size=200) | st.integers(0, 2_000).map(lambda number: b"a=b&" * number))
def test_any_body_is_read_as_a_form_or_as_none(body: bytes) -> None:
    for kind in KINDS.values():
        found = kind.message_in(body)
        assert kind.sends_form or found == {}
        assert all(isinstance(text, str) for text in found.values())


def test_templates_can_tell_the_kinds_with_fields_by_how_they_escape() -> None:
    kinds = [kind for kind in KINDS.values() if kind.fields is not None]
    assert len({kind.escape for kind in kinds}) == len(kinds), "give the new kind an escape of its own, even a copy"


@KIND
def test_a_text_is_where_the_kind_says(kind: Kind) -> None:
    said = lookup(body_of(kind), kind.text_at)
    assert said == "hi there", f"correct text_at of {kind.name}: its requests have the text elsewhere"


@KIND
def test_a_rate_is_one_that_a_file_could_have(kind: Kind) -> None:
    assert kind.rate is None or RATE.fullmatch(kind.rate), f"write rate of {kind.name} as 10/s or 30/min"
    assert bool(kind.rate) == kind.is_hosted, f"say in rate how many requests {kind.name} accepts if it is hosted"
    assert kind.rate_page.startswith("https://") or not kind.rate, f"say in rate_page of {kind.name} who publishes that"


@KIND
def test_no_kind_has_an_option_that_is_a_key_of_all(kind: Kind) -> None:
    assert not kind.options.keys() & {"url", "path", "type", "rate", "headers", "auth", "method", "timeout"}
    assert all(option.about for option in kind.options.values()), f"say what the options of {kind.name} are about"


@READ_BY_PEOPLE
def test_the_console_shows_a_message_as_its_readers_see_it(kind: Kind) -> None:
    seen = preview(kind.name, body_of(kind))
    assert seen is not None, f"correct preview of {kind.name}: it shows nothing of a plain text"
    assert seen.title == kind.title
    assert any("hi there" in str(part.get("html")) for part in seen.parts), f"preview of {kind.name} lacks the text"


def test_a_kind_without_a_preview_of_its_own_shows_its_text() -> None:
    kind = replace(KINDS["slack"], preview=None)
    assert [part["html"].text for part in kind.previewed({"text": "hi", "blocks": [{"type": "divider"}]})] == ["hi"]


def test_a_template_can_be_rendered_as_for_every_kind_that_takes_one() -> None:
    [option] = [each for each in cli.commands["render"].params if each.name == "kind"]
    assert set(option.type.choices) == {name for name, kind in KINDS.items() if kind.has_url}


@KIND
def test_every_kind_can_be_written_with_all_of_its_options(kind: Kind, tmp_path: Path) -> None:
    values = {name: examples.value_of(option) for name, option in kind.options.items()}
    options = "".join(f", {name}: '{values[name]}'" for name, option in kind.options.items() if not option.required)
    (tmp_path / "routes.yaml").write_text(
        f"version: 1\nsources: {{}}\ndestinations:\n  other: {{{examples.written(kind)}{options}}}\nroutes: []\n"
    )
    [made] = load(tmp_path / "routes.yaml", environ={}).destinations.values()
    assert made.kind.name == kind.name
    assert dict(made.target.options) == values


@WITH_AN_ADDRESS
def test_every_kind_can_be_tried_before_its_address_is_known(kind: Kind, tmp_path: Path) -> None:
    options = "".join(f", {name}: '{text}'" for name, text in examples.options(kind).items())
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret-of-xobito}}\n"
        f"destinations: {{other: {{type: {kind.name}, url: '${{NOWHERE}}'{options}}}}}\n"
        "routes: [{name: all, to: other, text: hi}]\n"
        "tests: [{name: it is sent, event: contact.created, expect: [other]}]\n"
    )
    done = command.run("test", cwd=tmp_path)
    assert done.returncode == 0, (
        f"build of {kind.name} must accept an address without a path: {done.stdout}{done.stderr}"
    )


# --- its address ---


def test_everything_after_the_host_is_a_secret_unless_the_kind_says_otherwise() -> None:
    quiet = Kind(name="new", title="New", needs="", sends="", build=KINDS["http"].build, read=KINDS["http"].read)
    assert not quiet.is_path_public
    assert quiet.secrets_of("https://new.example/my-topic") == ("my-topic",)


def test_a_part_of_an_address_that_moves_into_the_body_is_hidden_even_if_it_is_a_word(tmp_path, monkeypatch) -> None:
    def build(target: Target, parts: Parts) -> HttpRequest:
        host, _, topic = target.url.removeprefix("https://").partition("/")
        body = json.dumps({"topic": topic, "text": parts.content.text}).encode()
        return HttpRequest(method="POST", url=f"https://{host}/", headers=(), body=body)

    kind = replace(KINDS["googlechat"], build=build)
    assert kind.moved("https://host.example/deals") == ("deals",)
    assert kind.moved("https://host.example/topic") == ("topic",)
    assert KINDS["googlechat"].moved("https://host.example/text") == ()
    monkeypatch.setattr("gateway.config.schema.destinations.KINDS", {**KINDS, "googlechat": kind})
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {}\ndestinations:\n  other: {type: googlechat, url: https://host.example/my-deals}\nroutes: []\n"
    )
    masks = load(tmp_path / "routes.yaml", environ={}).masks
    assert masks.answer(b'{"topic": "my-deals", "text": "my dealings"}') == b'{"topic": "***", "text": "my dealings"}'
    assert masks.text("no such topic: my-deals") == "no such topic: ***"


@WITH_A_SECRET_PATH
def test_an_address_that_stands_in_the_file_is_shown_nowhere(tmp_path, kind: Kind) -> None:
    secret = "my-deals"
    keys = examples.written(kind, "other", secret_in_url=secret)
    for wrong in ("", ", nonsense: 1", ", concurrency: 0", ", type: no-such-type", ", url: again", "]", "\n  url: ]"):
        (tmp_path / "routes.yaml").write_text(
            "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
            f"destinations: {{there: {{{keys}{wrong}}}}}\n"
            "routes: [{name: all, to: there, text: hi}]\n"
        )
        for verb in (["check"], ["explain", "contact.created"], ["explain", "contact.created", "--curl"], ["test"]):
            done = command.run(*verb, cwd=tmp_path)
            assert done.stdout + done.stderr, (wrong, verb)
            assert secret not in done.stdout + done.stderr, (wrong, verb)


# --- an inbox in its place ---


def recorded(kind: Kind, folder: Path, keys: str = "") -> Attempt:
    """The attempt that ``gateway dev`` makes when the destination's url is not set."""
    options = "".join(f", {name}: '{text}'" for name, text in examples.options(kind).items())
    (folder / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
        f"destinations: {{there: {{type: {kind.name}, url: '${{NOWHERE}}'{options}{keys}}}}}\n"
        "routes: [{name: all, to: there, text: hi}]\n"
    )
    config = load(folder / "routes.yaml", environ={}, dev=True)
    received = config.sources["xobito"].received([], sample(config.sources["xobito"], "contact.created"), now=1.0)[0]
    egress = Egress(inbox=Inbox(clock=lambda: 1.0))
    delivery = Delivery(id="d", event_id=received.event.id, route="all", destination="there")
    gateway = Gateway(config=config, store=None, egress=egress)
    return asyncio.run(deliver(delivery, received.event, gateway)).attempt


@WITH_AN_ADDRESS
@pytest.mark.parametrize("success", ["", ", success: {json: {result: created}}"], ids=["by the kind", "by own rules"])
def test_what_an_inbox_recorded_is_delivered(tmp_path, kind: Kind, success: str) -> None:
    attempt = recorded(kind, tmp_path, success)
    assert (attempt.outcome, attempt.reason) == ("delivered", "")


# --- its options ---

NOTE = Option(about="a note", pattern="[1-5]|low|high")
NEEDED = Option(about="for whom", required=True)


def noted(kind: Kind) -> Kind:
    """A kind with two options, one of them required, that come out as the body."""

    def build(target: Target, entry):
        made = kind.build(target, entry)
        return replace(made, body=json.dumps(dict(target.options)).encode())

    return replace(kind, options={"note": NOTE, "needed": NEEDED}, build=build)


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("5", None), ("low", None), ("'{{ payload.n }}'", None), ("'${FOUR}'", None), ("'${UNSET:-4}'", None),
        ("9", "9"), ("lower", "lower"), ("''", ""), ("'${NINE}'", "${NINE}"),
    ],
)  # fmt: skip
def test_a_value_that_is_written_out_is_one_that_the_option_can_have(tmp_path, monkeypatch, note, shown) -> None:
    slack = replace(KINDS["slack"], options={"channel": NOTE})
    monkeypatch.setattr(schema, "KINDS", {**KINDS, "slack": slack})
    file = tmp_path / "routes.yaml"
    file.write_text(
        f"version: 1\nsources: {{}}\ndestinations:\n  there: {{type: slack, url: 'https://host.example/x', channel: {note}}}\n"
    )
    environ = {"FOUR": "4", "NINE": "9"}
    if shown is None:
        assert load(file, environ=environ).destinations
        return
    with pytest.raises(ConfigError) as refused:
        load(file, environ=environ)
    [problem] = refused.value.problems
    assert problem.message == f'"channel" of destination "there": "{shown}" is not allowed'
    assert problem.hint == NOTE.about


def test_a_value_that_is_not_set_is_not_checked_without_the_environment(tmp_path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(
        "version: 1\nsources: {}\ndestinations:\n"
        "  there: {type: telegram, url: 'https://api.telegram.org/bot1:x', chat_id: '${CHAT}'}\n"
    )
    assert load(file, environ={}, no_env=True).destinations


@pytest.fixture
def options_sent(tmp_path, monkeypatch):
    """Load a file in which a Slack destination has these options, and build the request for a sample."""

    def sent(keys: str) -> dict[str, str]:
        (tmp_path / "routes.yaml").write_text(
            "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
            f'destinations: {{there: {{type: slack, url: "https://host.example/x", {keys}}}}}\n'
            "routes: [{name: all, to: there, text: hi}]\n"
        )
        config = load(tmp_path / "routes.yaml", environ={"BRACES": "{{ attrs.firstname }}"})
        source = config.sources["xobito"]
        body = sample(source, "contact.created")
        received = source.received([], body, now=1.0)[0]
        delivery = Delivery(id="d", event_id="e", route="all", destination="there")
        return json.loads(config.built(delivery, received.event, received.payload).request.body)

    return sent


@pytest.mark.parametrize(
    ("channel", "sent"),
    [
        ("'#leads'", "#leads"),
        ("'#{{ attrs.firstname | lower }}'", "#john"),
        ("'${BRACES}'", "{{ attrs.firstname }}"),
        ("'{{ attrs.nope | default(\"\") }}'", None),
    ],
    ids=["literal", "template", "braces from outside", "empty"],
)
def test_an_option_is_a_template_of_the_event(options_sent, channel, sent) -> None:
    assert options_sent(f"channel: {channel}").get("channel") == sent


def test_a_required_option_that_is_empty_is_a_build_error() -> None:
    kind = noted(KINDS["slack"])
    target = Target(url="https://host.example/x")
    made = kind.request(target, parts(content=Text("hi"), options={"needed": "you", "note": ""}))
    assert json.loads(made.body) == {"needed": "you"}
    with pytest.raises(BuildError, match=re.escape("needed is empty for this event")):
        kind.request(target, parts(content=Text("hi"), options={"needed": "", "note": "x"}))
