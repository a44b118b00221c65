"""What holds for every verb: JSON, an example, completion, and what a mistake ends with."""

import shlex

import click
import pytest

from gateway.cli import cli
from gateway.cli.verbs.examples import EXAMPLES, commands
from tests.cli import command

EVERY = dict(commands(cli.commands))
#: Free texts, numbers, times and positions: nothing is known of them.
NOT_NAMED = {"client", "workers", "reason", "before", "limit", "lines", "count", "rate", "at", "last"}

ROUTES = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret}}
destinations: {crm: {url: "https://crm.example.com"}}
routes: [{name: to-crm, match: contact.created, to: crm, template: a.json.j2}]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "templates").mkdir()
    (tmp_path / "event.json").write_text("{}")
    (tmp_path / "templates/a.json.j2").write_text('{"name": "{{ attrs.firstname }}"}')
    return tmp_path


@pytest.mark.parametrize("name", EVERY)
def test_every_verb_prints_json(name):
    assert "--json" in {option for each in EVERY[name].params for option in each.opts}


@pytest.mark.parametrize("name", EVERY)
def test_every_help_page_has_an_example_that_can_be_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in (".env", "new.yaml"):
        (tmp_path / file).touch()
    said = command.run(*name.split(), "--help", cwd=tmp_path).stdout
    assert EXAMPLES[name] in " ".join(said.split())
    words = shlex.split(EXAMPLES[name].partition(" > ")[0])[1:]
    group = cli
    while isinstance(group, click.Group) and words and words[0] in group.commands:
        group, words = group.commands[words[0]], words[1:]
    assert group is EVERY[name]
    group.make_context(name, words, resilient_parsing=False)


def test_there_is_no_example_of_a_verb_that_is_gone():
    assert set(EXAMPLES) == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_every_argument_is_completed(name):
    context = click.Context(EVERY[name])
    for each in EVERY[name].params:
        if (isinstance(each, click.Option) and each.is_flag) or each.name in NOT_NAMED:
            continue
        has_own = each._custom_shell_complete is not None
        assert has_own or each.type.shell_complete(context, each, ""), each.name


@pytest.mark.parametrize(
    ("arguments", "typed", "offered"),
    [
        (["render"], "a", ["a.json.j2"]),
        (["sources"], "githu", ["github"]),
        (["init", "--source"], "githu", ["github"]),
        (["init", "--to"], "sl", ["slack"]),
        (["events", "--type"], "contact.*", ["contact.*"]),
        (["explain", "contact.created", "--set"], "attrs.first", ["attrs.firstname="]),
        (["verify", "--source"], "x", ["xobito"]),
        (["capture"], "x", ["xobito"]),
        (["send"], "templ", ["templates/"]),
        (["send"], "contact.cr", ["contact.created"]),
        (["explain"], "ev", ["event.json"]),
        (["explain"], "./ev", ["./event.json"]),
        (["explain"], "/nowhere/x", []),
        (["show"], "", []),
        (["dead", "--cause"], "", []),
        (["replay", "--stop"], "act_", []),
    ],
    ids=" ".join,
)
def test_what_is_offered(folder, monkeypatch, arguments, typed, offered):
    from click.shell_completion import BashComplete

    monkeypatch.chdir(folder)
    monkeypatch.setenv("GATEWAY_ADMIN_BIND", command.NOWHERE)
    found = BashComplete(cli, {}, "gateway", "_GATEWAY_COMPLETE").get_completions(list(arguments), typed)
    assert [each.value for each in found] == offered


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "contact.creatd"], 'did you mean "contact.created"?'),
        (["explain", "contact.created", "--header", "no"], "write NAME: VALUE"),
        (["explain", "contact.created", "--source", "xobto"], "unknown source xobto"),
        (["send", "contact.created", "--set", "attrs"], "write PATH=VALUE"),
        (["send", "contact.created", "--set", "phone=+49"], "start with one of attrs, headers, payload: attrs.phone"),
        (
            ["explain", "contact.created", "--set", "phone=+49"],
            "start with one of attrs, headers, payload: attrs.phone",
        ),
        (["sign", "contact.created", "--set", "phone=+49"], "start with one of attrs, headers, payload: attrs.phone"),
        (["render", "a.json.j2", "--set", "attr.phone=+49"], 'did you mean "attrs"?'),
        (["explain", "contact.created", "--set", "headers=x"], '"headers" is not a field of the event'),
        (["explain", "contact.created", "--set", "attrs=x"], "start with one of attrs, headers, payload: attrs.name"),
        (["explain", "contact.created", "--set", "payload.a[=x"], "has a bracket that is not closed"),
        (["sign", "nothing.known"], "is not a sample of xobito or a file"),
        (["verify", "--source", "x", "--request", "nothing.json"], "unknown source x"),
        (["capture", "xobto"], 'did you mean "xobito"?'),
        (["sources", "githb"], 'did you mean "github"?'),
        (["sources", "Prometheus"], 'did you mean "alertmanager"?'),
        (["sources", "amazon"], 'did you mean "sns" or "sns-v1"?'),
        (["events", "--stat", "x"], "No such option"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_mistake_in_what_was_typed_ends_with_2(folder, arguments, said):
    done = command.run(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_without_tests_nothing_was_tested(folder):
    done = command.run("test", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "routes.yaml has no tests: write some under tests:" in done.stderr


BAD_TEST = "tests:\n  - {name: a, event: contact.creatd, expect: [crmm], unknown: 1}\n"


def test_a_bad_test_stops_check_and_test_and_no_other_verb(folder):
    (folder / "routes.yaml").write_text(ROUTES + BAD_TEST)
    for verb in ("check", "test"):
        done = command.run(verb, cwd=folder)
        assert done.returncode == 1
        assert 'unknown sample "contact.creatd"' in done.stdout + done.stderr
    for words in (["explain", "contact.created"], ["render", "a.json.j2"], ["sign", "contact.created"], ["doctor"]):
        assert command.run(*words, cwd=folder).returncode == 0, words


def test_a_variable_of_a_test_need_not_be_set(folder):
    (folder / "routes.yaml").write_text(
        ROUTES + 'tests:\n  - {name: a, event: contact.created, set: {attrs.email: "${NOBODY}"}, expect: [crm]}\n'
    )
    assert "not set" not in command.run("check", cwd=folder).stdout
