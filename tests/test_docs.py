"""The documentation is true and complete: every key, operator, filter and verb is in it, and every example loads."""

import base64
import importlib.util
import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway import errors
from gateway.cli import cli
from gateway.config import format_problem, load
from gateway.config.jsonschema import json_schema
from gateway.config.schema.conditions import COMBINING
from gateway.errors import ConfigError
from gateway.event.operators import OPERATORS
from gateway.render import filters, sandbox
from gateway.render.filters.arguments import MAX_ARGUMENT
from gateway.server import refusals as protocol
from gateway.signatures.keys import demo_private_key
from gateway.telemetry.lines import FIELDS, LOG_EVENTS
from gateway.telemetry.metrics import METRICS, REGISTRY
from gateway.web import door  # noqa: F401  it has refusals of its own

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
DEVELOPMENT = ROOT / "docs" / "development.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Pages that the README need not list: `development.md` does.
FOR_DEVELOPERS = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]
EVERY_PAGE = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    ROOT / "bench" / "README.md",
    ROOT / "bench" / "compare" / "README.md",
]
#: The whole entries of a release, whose section of the changelog links to them.
CHANGES = sorted((ROOT / "docs" / "changes").glob("*.md"))

#: The rest of the file, for an example that is only a part of one.
HEAD = {
    "sources": "  xobito: {preset: xobito, secret: s3cret-of-the-docs}\n",
    "destinations": """\
  slack-leads: {type: slack, url: "https://hooks.slack.example/T0"}
  slack-ops: {type: slack, url: "https://hooks.slack.example/T1"}
  crm: {url: "https://crm.example.com/api/v1"}
  helpdesk: {url: "https://helpdesk.example.com/api/tickets"}
  archive: {type: file, path: archive.ndjson}
""",
}


class Environ(dict):
    """Every variable is set."""

    def get(self, name, default=None):
        if name.startswith("SIGN_"):
            return f"whsec_{base64.b64encode(name.encode() * 4).decode()}"
        if name == "GATEWAY_SECRET_KEY":
            return "5f0c2d1e9b8a7f6e" * 4
        return "https://hooks.slack.example/T0" if name.endswith("_URL") else f"value-of-{name}"


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page with their language; also those inside a list."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [(language, textwrap.dedent(block)) for _, language, block in found]


def examples():
    for page in PAGES:
        written = [block for language, block in blocks(page) if language == "yaml"]
        for number, block in enumerate(written, start=1):
            yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


def whole_file(example: str) -> str:
    """The example as a whole file: with the sections and names of ``HEAD`` that it lacks."""
    if re.search("^version:", example, re.MULTILINE):
        return example
    file = f"version: 1\n{example}"
    for section, body in HEAD.items():
        own = re.search(rf"^{section}:.*\n", file, re.MULTILINE)
        names = set(re.findall(r"^  ([\w-]+):", example, re.MULTILINE))
        lines = "".join(line for line in body.splitlines(True) if line.split(":")[0].strip() not in names)
        file = f"{file[: own.end()]}{lines}{file[own.end() :]}" if own else f"{file}{section}:\n{body}"
    return file


def test_the_loop_of_the_readme_keeps_the_items_of_an_order_apart(tmp_path):
    loop = re.search(r"`(\{% for item in payload\.line_items .*?)`", (ROOT / "README.md").read_text("utf-8"))[1]
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {shop: {preset: shopify, secret: s3cret-of-the-docs}}\n"
        "destinations: {chat: {type: slack, url: https://hooks.slack.com/services/T/B/x}}\n"
        f"routes:\n  - {{name: a, source: shop, match: orders/create, to: chat, text: '{loop}'}}\n"
        "tests: [{name: t, event: orders/create, expect: "
        "{chat: {text: '1 x IPOD2008PINK, 1 x IPOD2008BLACK'}}}]\n"
    )
    ran = CliRunner().invoke(cli, ["test", "-c", str(tmp_path / "routes.yaml")])
    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("example", list(examples()))
def test_every_example_loads(tmp_path, example):
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    (tmp_path / "samples" / "helpdesk").mkdir(parents=True)
    (tmp_path / "samples" / "helpdesk" / "ticket.opened.json").write_text('{"type": "ticket.opened"}')
    (tmp_path / "sign.pem").write_text(demo_private_key("the docs").reveal())
    for name, kept in (("google.json", "google.json"), ("salesforce.pem", "assertion-key.pem")):
        (tmp_path / name).symlink_to(ROOT / "tests" / "config" / "good" / "included" / kept)
    path = tmp_path / "routes.yaml"
    path.write_text(whole_file(example), "utf-8")
    warnings = [warning.message for warning in load(path, environ=Environ()).warnings]
    is_whole = example == whole_file(example)
    assert [said for said in warnings if is_whole or not said.startswith("nothing is sent to")] == []


def test_the_mistake_of_the_tutorial_is_explained_as_it_says(tmp_path):
    page = ROOT / "docs" / "tutorial.md"
    example = next(block for language, block in blocks(page) if language == "yaml")
    (tmp_path / "routes.yaml").write_text(example.replace("match:", "mtch:"), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.yaml", environ=Environ())
    [problem] = caught.value.problems
    assert format_problem(problem).splitlines()[0] in page.read_text("utf-8")


@pytest.fixture(scope="module")
def generated():
    return generator().files()


@pytest.mark.parametrize("name", sorted(path.name for path in REFERENCE.iterdir()))
def test_the_reference_is_what_the_program_says(generated, name):
    assert generated[REFERENCE / name] == (REFERENCE / name).read_text("utf-8"), "run: make docs"


def test_the_schema_for_editors_is_generated_with_the_reference(generated):
    assert generated[ROOT / "routes.schema.json"] == (ROOT / "routes.schema.json").read_text("utf-8"), "run: make docs"


def named_in(page: str) -> set[str]:
    without_blocks = re.sub(r"```.*?```", "", (REFERENCE / page).read_text("utf-8"), flags=re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", without_blocks))


def test_every_key_and_operator_is_in_the_reference():
    named = named_in("routes-yaml.md")
    assert keys_in(json_schema()) - named == set(), "run: make docs"
    assert {*OPERATORS, *COMBINING} - named == set(), "run: make docs"


def keys_in(schema: object) -> set[str]:
    """The names of all declared properties, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(keys_in, schema))
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties", {})
    # A condition ("if the type is file") mentions properties without declaring them.
    is_declaration = schema.get("additionalProperties") is False
    return (set(own) if is_declaration else set()).union(*map(keys_in, schema.values()))


def test_every_filter_function_and_test_is_in_the_reference():
    named = named_in("templates.md")
    assert {*filters.FILTERS, *filters.FUNCTIONS, *filters.TESTS} - named == set(), "run: make docs"


@pytest.mark.parametrize(
    "limit", [sandbox.MAX_STEPS, sandbox.MAX_WORK, sandbox.MAX_OUTPUT, sandbox.MAX_RANGE, MAX_ARGUMENT]
)
def test_every_limit_of_templates_is_in_the_reference(limit):
    assert f"{limit:,}" in (REFERENCE / "templates.md").read_text("utf-8")


def every_verb(group=cli, called="gateway"):
    for name, command in group.commands.items():
        yield f"{called} {name}", command
        if isinstance(command, click.Group):
            yield from every_verb(command, f"{called} {name}")


def test_every_verb_and_option_is_in_the_reference():
    page = (REFERENCE / "cli.md").read_text("utf-8")
    for called, command in every_verb():
        assert f"# {called}\n" in page
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or f"`{parameter.opts[-1]}`" in page


def test_every_metric_line_and_field_is_in_the_reference():
    families = {family.name for family in REGISTRY.collect() if family.name.startswith("process_")}
    of_the_process = {f"{name}_total" if name == "process_cpu_seconds" else name for name in families}
    assert {*METRICS, *of_the_process} - named_in("metrics.md") == set()
    assert {*LOG_EVENTS, *FIELDS} - named_in("log-events.md") == set()


def test_every_reason_of_a_metric_is_in_the_reference():
    assert reasons() - named_in("metrics.md") == set()


def reasons() -> set[str]:
    """Of every error that has a word for it, and of every refusal of the protocol."""
    roots = [errors.RequestRefused, errors.BuildError, errors.EgressError, errors.TooOld, errors.Poisonous]
    found = [each for root in roots for each in (root, *subclasses(root))]
    refusals = [each for each in vars(protocol).values() if isinstance(each, protocol.Refusal)]
    return {each.reason for each in (*found, *refusals)} - {errors.RequestRefused.reason}


def subclasses(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme():
    linked = (ROOT / "README.md").read_text("utf-8")
    for page in PAGES[1:]:
        assert page in (*FOR_DEVELOPERS, *CHANGES) or str(page.relative_to(ROOT)) in linked


def test_the_page_of_a_release_is_linked_from_its_section_of_the_changelog():
    linked = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [page.name for page in CHANGES if f"({page.relative_to(ROOT)})" not in linked] == []


def test_every_page_for_developers_is_linked_from_the_page_of_development():
    linked = DEVELOPMENT.read_text("utf-8")
    for page in FOR_DEVELOPERS:
        assert f"({os.path.relpath(page, DEVELOPMENT.parent)})" in linked


def test_every_name_of_the_code_in_the_page_of_development_is_defined_where_its_link_leads():
    for name, target in re.findall(r"\[`([\w.]+)`\]\(([^)\s]+\.py)\)", DEVELOPMENT.read_text("utf-8")):
        code = (DEVELOPMENT.parent / target).read_text("utf-8")
        assert re.search(rf"^ *(?:async )?(?:def|class) {name.rpartition('.')[2]}\b", code, re.MULTILINE), name


def test_every_room_is_on_the_map_of_the_page_of_development():
    page = DEVELOPMENT.read_text("utf-8")
    rooms = {
        each.name for each in (ROOT / "gateway").iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()
    }
    assert rooms - {"__init__.py", "__main__.py"} <= set(re.findall(r"^\| `([\w.]+?)/?` \|", page, re.MULTILINE))


def commands(page: Path) -> Iterator[str]:
    """Every ``gateway`` command that a page shows."""
    for language, block in blocks(page):
        for line in block.splitlines() if not language else ():
            for part in re.split(r"&&|\|(?!\|)", line.partition(" #")[0]):
                if re.match(r" *gateway [a-z]", part):
                    yield part.partition(">")[0].strip().removesuffix(" ...")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_tells_to_run_can_be_run(page):
    if page == REFERENCE / "cli.md":
        return  # its blocks are usage lines
    for line in commands(page):
        command, arguments = cli, shlex.split(line)[1:]
        while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
            command = command.commands[arguments.pop(0)]
        context = click.Context(command)
        _, left, _ = command.make_parser(context).parse_args(arguments)
        assert not left, line


@pytest.mark.parametrize("script", sorted((ROOT / "bench").glob("*.py")), ids=lambda script: script.name)
def test_every_script_of_bench_and_its_flags_are_in_its_readme_and_no_others(script):
    table = (ROOT / "bench" / "README.md").read_text("utf-8").partition("## Every script and flag")[2]
    [row] = [line for line in table.splitlines() if line.startswith("|") and f"`{script.name}`" in line.split("|")[1]]
    if script.name == "load.py":
        return  # the others start it
    declared = set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', script.read_text("utf-8")))
    assert set(re.findall(r"`(--[\w-]+)", row)) == declared
