"""An entry that somebody tries out is compiled as if it were in the file, and can be nothing else than an entry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.config.trial import HIDDEN, has_hidden
from gateway.errors import ConfigError

FILE = """\
version: 1
sources: {xobito: {preset: xobito, secret: s3cret-of-xobito}}
vars: {team: leads}
destinations:
  slack-leads: {type: slack, url: "https://hooks.slack.example/services/T0/B0/x1y2z3"}
  crm: {url: "https://crm.example.com/api", headers: {x-key: "${CRM_KEY}"}}
routes:
  - name: new-lead     # of the file
    match: contact.created
    to: slack-leads
    text: |
      New lead

      {{ attrs.firstname }}
  - name: with-key
    to: crm
    headers: {x-other: "${CRM_KEY}"}
failed:
  - to: slack-leads
"""
ENTRY = 'name: mine\nmatch: contact.*\nto: slack-leads\ntext: "hello {{ attrs.firstname }}"\n'


def loaded(folder, text=FILE):
    (folder / "routes.yaml").write_text(text)
    return load(folder / "routes.yaml", environ={"CRM_KEY": "key-of-the-crm"})


def test_it_is_the_only_entry_and_everything_else_is_as_in_the_file(tmp_path):
    config = loaded(tmp_path)
    tried = config.trials.config(ENTRY, {})
    assert list(tried.entries) == ["mine"]
    assert len(tried.failed) == 0
    assert tried.destinations == config.destinations
    assert list(tried.sources) == ["xobito"]
    assert list(config.entries) == ["new-lead", "with-key", "failed/slack-leads"]


@pytest.mark.parametrize(
    "entry", [ENTRY, "- " + ENTRY.replace("\n", "\n  "), f"\n\n{ENTRY}", ENTRY.replace("\n", "\r\n")]
)
def test_it_may_be_written_as_an_item_or_as_a_map(tmp_path, entry):
    assert list(loaded(tmp_path).trials.config(entry, {}).entries) == ["mine"]


def test_a_mistake_has_its_place_in_the_entry(tmp_path):
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path).trials.config("name: mine\nto: slack-leds\ntext: hello\n", {})
    [problem] = refused.value.problems
    assert (str(problem.place), problem.hint) == ("entry:2:5", 'did you mean "slack-leads"?')


def test_a_warning_is_only_about_the_entry(tmp_path):
    config = loaded(tmp_path, FILE.replace("vars:", 'conditions: {never: {attrs.type: "${CRM_KEY}"}}\nvars:'))
    tried = config.trials.config(f"{ENTRY}if: 1 == 1\n", {})
    assert {each.place.file for each in tried.warnings} == {"entry"}


ENDS = ["\n", "\r\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x0c"]


@pytest.mark.parametrize("end", ENDS, ids=[f"U+{ord(each[0]):04X}" for each in ENDS])
@pytest.mark.parametrize(
    "more",
    [
        "destinations: {evil: {url: 'http://169.254.169.254'}}",
        "include: [secrets.yaml]",
        "--- ",
        "...",
        "]",
        "sources: {}",
    ],
)
def test_nothing_in_it_begins_another_section(tmp_path, end, more):
    try:
        tried = loaded(tmp_path).trials.config(f"name: mine{end}to: slack-leads{end}text: a{end}{more}{end}", {})
    except ConfigError:
        return
    assert set(tried.destinations) == {"slack-leads", "crm"}
    assert set(tried.sources) == {"xobito"}


@given(entry=st.text(alphabet=st.sampled_from("ab:-{}[]\"'|>#&*!%@`, \n\r\x85\u2028\t$"), max_size=60))
def test_whatever_is_written_gives_a_configuration_or_problems(tmp_path_factory, entry):
    config = loaded(tmp_path_factory.mktemp("trial"))
    try:
        tried = config.trials.config(entry, {})
    except ConfigError as refused:
        assert refused.problems
    else:
        assert set(tried.destinations) == {"slack-leads", "crm"}


def test_a_value_from_outside_is_hidden_from_it(tmp_path):
    config = loaded(tmp_path)
    tried = config.trials.config('name: mine\nto: crm\nheaders: {x-a: "${CRM_KEY}"}\n', {})
    [(name, render)] = tried.entries["mine"].messages["crm"].headers
    assert (name, render({})) == ("x-a", HIDDEN)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("new-lead", "- name: new-lead     # of the file\n  match: contact.created\n  to: slack-leads\n  text: |\n    New lead\n\n    {{ attrs.firstname }}\n"),
        ("with-key", '- name: with-key\n  to: crm\n  headers: {x-other: "${CRM_KEY}"}\n'),
        ("failed/slack-leads", "- to: slack-leads\n"),
    ],
)  # fmt: skip
def test_an_entry_of_the_file_is_given_as_it_is_written(tmp_path, name, written):
    config = loaded(tmp_path)
    assert config.trials.written(config.entries[name].place, config.masks) == written


def test_a_secret_that_stands_in_an_entry_is_hidden(tmp_path):
    config = loaded(tmp_path, FILE.replace('"${CRM_KEY}"}\nfailed', "s3cret-of-xobito}\nfailed"))
    written = config.trials.written(config.entries["with-key"].place, config.masks)
    assert "s3cret-of-xobito" not in written
    assert has_hidden(written)


def test_a_template_file_can_have_another_text(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "lead.txt.j2").write_text("as on disk")
    config = loaded(tmp_path, FILE + "unmatched:\n  - {to: slack-leads, template: lead.txt.j2}\n")
    entry = "name: mine\nto: slack-leads\ntemplate: lead.txt.j2\n"
    for text, said in (("as tried", "as tried"), ("as on disk", "as on disk")):
        tried = config.trials.config(entry, {"lead.txt.j2": text})
        assert tried.entries["mine"].messages["slack-leads"].content({}).body == said.encode()
    assert (tmp_path / "templates" / "lead.txt.j2").read_text() == "as on disk"


@pytest.mark.parametrize("kind", ["slack", "teams", "discord", "telegram", "googlechat"])
def test_it_can_be_compiled_for_another_type_of_destination(tmp_path, kind):
    tried = loaded(tmp_path).trials.config(ENTRY, {}, kind)
    assert {each.kind.name for each in tried.destinations.values()} == {kind}
    assert not any("x1y2z3" in each.target.url for each in tried.destinations.values())


def test_a_file_written_in_one_line_is_refused_with_the_remedy(tmp_path):
    config = loaded(
        tmp_path,
        "{version: 1, sources: {xobito: {preset: xobito, secret: s3cret}}, destinations: {a: {type: file, path: a}}}",
    )
    with pytest.raises(ConfigError) as refused:
        config.trials.config("to: a", {})
    assert "a line for each section" in refused.value.problems[0].hint
