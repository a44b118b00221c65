"""What is published: the package's own words, its dependencies, and the tools that cut a release."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway.cli import cli
from tests.needs import needs

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REPOSITORY = "https://forge.example/people/hookkeeper"


def script(path: str):
    """A script of the project's folder as a module."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metadata = script("release/metadata.py")
cutting = script("release/cut.py")
noting = script("release/notes.py")
notes = noting.notes

# the package


def built(monkeypatch, repository: str = "") -> dict:
    monkeypatch.setenv("RELEASE_REPOSITORY", repository)
    monkeypatch.delenv("RELEASE_DOCUMENTATION", raising=False)
    found: dict = {}
    metadata.Metadata(str(ROOT), PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]).update(found)
    return found


def relative_links(text: str) -> list[str]:
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\((?!https?:|#)([^)]+)\)", without_blocks)


def test_the_long_description_has_only_absolute_links_and_each_leads_to_a_file_of_the_repository(monkeypatch):
    found = built(monkeypatch, f"{REPOSITORY}/")
    text = found["readme"]["text"]
    assert relative_links(text) == []
    ours = re.findall(rf"\]\({REPOSITORY}/(blob|raw)/v[^/]+/([^)#]+)", text)
    assert len(ours) > 20
    assert {kind for kind, path in ours if path.endswith(".png")} == {"raw"}
    assert [path for _, path in ours if not (ROOT / path).exists()] == []


def test_every_link_beside_the_description_is_below_the_repository(monkeypatch):
    links = built(monkeypatch, REPOSITORY)["urls"]
    assert {"Source", "Issues", "Changelog"} <= set(links)
    assert all(each.startswith(REPOSITORY) for each in links.values())


def test_without_a_repository_there_are_no_links_of_ours_and_no_pictures(monkeypatch):
    found = built(monkeypatch)
    assert found["urls"] == {}
    assert relative_links(found["readme"]["text"]) == []
    assert "![" not in found["readme"]["text"]
    assert "[before production]" not in found["readme"]["text"]
    assert "before production" in found["readme"]["text"]


def test_what_looks_like_a_link_in_a_block_of_code_is_left_alone():
    assert metadata.standalone("[a](b.md)\n```\n[a](b.md)\n```\n", "", "1") == "a\n```\n[a](b.md)\n```\n"


def test_the_package_says_that_it_has_types():
    assert "Typing :: Typed" in PYPROJECT["project"]["classifiers"]
    assert (ROOT / "gateway" / "py.typed").exists()


def test_each_python_that_the_package_names_is_one_that_the_wheel_is_tried_on():
    named = {each.rpartition(" ")[2] for each in PYPROJECT["project"]["classifiers"] if "Python :: 3." in each}
    assert named == set(script("release/try_wheel.py").PYTHONS)
    assert PYPROJECT["project"]["requires-python"] == f">={min(named, key=lambda each: int(each[2:]))}"


def test_an_upper_bound_is_above_what_is_locked():
    """Else the tests run on another version than an installation has."""
    from packaging.requirements import Requirement

    locked = dict(re.findall(r"^([\w.-]+)==([^ \\]+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    for each in map(Requirement, PYPROJECT["project"]["dependencies"]):
        assert each.specifier.contains(locked[each.name]), each


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "requirements-dev.lock", "requirements-mcp.lock", "requirements-otel.lock"]
)
def test_a_lock_leaves_out_what_is_never_imported(lock):
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text("utf-8"), re.MULTILINE))
    assert "litestar" in locked
    assert locked & {"faker", "polyfactory"} == set()


WITHOUT_FAKER = """
import importlib, pkgutil, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("faker", "polyfactory"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import gateway
for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
    if module.name not in ("gateway.__main__", "gateway.pytest_plugin"):
        importlib.import_module(module.name)
from gateway.cli import cli
cli(["--version"])
"""


def test_every_module_can_be_imported_without_the_packages_that_the_locks_leave_out():
    done = subprocess.run([sys.executable, "-c", WITHOUT_FAKER], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# cutting a release

CHANGELOG = """\
# Changelog

## [Unreleased]

### Fixed

- A short one.

### Added

- `gateway look` shows what is there, e.g. `a. B`. It needs a token (see [the page](docs/how-to/find-an-event.md). Or not).
  And a third sentence, which is long enough that all of them together are more than a hundred and sixty characters.

### Before you upgrade

- Make a backup.

### Fixed

- Another, see [security](SECURITY.md).

## [0.1.0] - 2026-01-01

- The first.
"""


def test_the_unreleased_section_becomes_that_of_the_version_with_each_heading_once():
    text, _ = cutting.cut(CHANGELOG, "0.2.0", "2026-12-01")
    section = notes(text, "0.2.0")
    assert re.findall(r"^### (.+)$", section, re.MULTILINE) == ["Before you upgrade", "Added", "Fixed"]
    assert re.findall(r"^- (.+)$", section, re.MULTILINE) == [
        "Make a backup.",
        "`gateway look` shows what is there, e.g. `a. B`.",
        "A short one.",
        "Another, see [security](SECURITY.md).",
    ]
    assert "## [0.2.0] - 2026-12-01" in text
    assert notes(text, "Unreleased") == ""
    assert notes(text, "0.1.0") == "- The first."


def test_the_notes_of_a_release_have_links_that_lead_to_the_repository_and_what_verifies_its_signature():
    text = "[page](docs/a.md#b), [whole](https://example.com), [here](#x)"
    linked = f"[page]({REPOSITORY}/blob/v1.2.3/docs/a.md#b), [whole](https://example.com), [here](#x)"
    assert noting.elsewhere(text, f"{REPOSITORY}/", "1.2.3") == linked
    assert noting.elsewhere(text, "", "1.2.3") == text
    workflow = "people/hookkeeper/.github/workflows/release.yaml@refs/tags/v1.2.3"
    signed = noting.signed_by("https://forge.example", workflow)
    assert f"WORKFLOW=https://forge.example/{workflow}\n" in signed
    assert noting.signed_by("", "") == ""
    asked = re.findall(r"\$([A-Z]+)", (ROOT / "docs/explanation/versions.md").read_text("utf-8"))
    assert asked
    assert all(f"{each}=" in signed for each in asked)


def test_the_whole_entries_are_on_a_page_of_their_own_whose_links_fit_its_place():
    text, page = cutting.cut(CHANGELOG, "0.2.0", "2026-12-01")
    assert "(docs/changes/0.2.0.md)" in text
    assert "And a third sentence" in page
    assert "](../how-to/find-an-event.md)" in page
    assert "](../../SECURITY.md)" in page


def test_a_section_of_short_entries_needs_no_page():
    text, page = cutting.cut("## [Unreleased]\n\n### Added\n\n- A.\n", "1.0.0", "2026-12-01")
    assert page == ""
    assert "docs/changes" not in text


@pytest.mark.parametrize(
    ("changelog", "says"),
    [
        ("# Changelog\n", "write it above the newest version"),
        ("## [Unreleased]\n\n## [0.1.0]\n", "nothing is unreleased"),
        ("## [Unreleased]\n\n- Where does it belong?\n", "an entry without a heading: - Where does it belong?"),
        ("## [Unreleased]\n\n### News\n\n- A.\n", '"### News" is not a heading: use one of Before you upgrade, Added'),
        ("## [Unreleased]\n\n### Added\n\n- A.\n\n## [0.2.0]\n", "already has a section for 0.2.0"),
    ],
    ids=["no section", "nothing new", "no heading", "unknown heading", "released before"],
)
def test_a_changelog_that_cannot_be_cut_is_refused_with_the_reason(changelog, says):
    with pytest.raises(cutting.NotReleased, match=re.escape(says)):
        cutting.cut(changelog, "0.2.0", "2026-12-01")


@pytest.mark.parametrize("version", ["0.2", "v0.2.0", "0.2.0-rc1", "latest", ""])
def test_what_is_not_a_version_is_refused(version):
    with pytest.raises(cutting.NotReleased, match="is not a version"):
        cutting.check(version)


def test_the_changelog_of_now_can_be_cut():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if not notes(changelog, "Unreleased"):
        return  # right after a release
    text, page = cutting.cut(changelog, "99.0.0", "2026-12-01")
    for entry in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (ROOT / "docs" / "changes" / entry).resolve().exists(), entry
    assert len(notes(text, "99.0.0")) < len(notes(changelog, "Unreleased"))


def test_a_release_writes_the_version_wherever_it_is_declared(tmp_path):
    """In a clone of its own: what it commits is one commit and a tag."""
    needs("git")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    for name in ("release", "deploy/chart", "gateway/__init__.py", "CHANGELOG.md"):
        subprocess.run(["cp", "-r", "-T", str(ROOT / name), str(clone / name)], check=True)
    (clone / "CHANGELOG.md").write_text(CHANGELOG, "utf-8")
    git = ["git", "-C", str(clone), "-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    subprocess.run([*git, "config", "user.name", "Tester"], check=True)
    subprocess.run([*git, "config", "user.email", "tester@example.com"], check=True)
    release = [sys.executable, str(clone / "release" / "cut.py"), "9.8.7"]
    refused = subprocess.run(release, capture_output=True, text=True)
    assert "the working tree has changes" in refused.stderr
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "All of it"], check=True)
    done = subprocess.run(release, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '__version__ = "9.8.7"' in (clone / "gateway" / "__init__.py").read_text("utf-8")
    chart = (clone / "deploy" / "chart" / "Chart.yaml").read_text("utf-8")
    assert "\nversion: 9.8.7\n" in chart
    assert '\nappVersion: "9.8.7"\n' in chart
    described = subprocess.run([*git, "describe", "--exact-match"], capture_output=True, text=True)
    assert described.stdout == "v9.8.7\n"
    again = subprocess.run(release, capture_output=True, text=True)
    assert "v9.8.7 is a tag already" in again.stderr


def test_the_version_is_the_same_wherever_it_is_declared():
    for file, pattern, _ in cutting.versions("0"):
        found = re.search(pattern, file.read_text("utf-8"), re.MULTILINE)
        assert found, f"{file}: {pattern}"
        assert re.search(r"\d+\.\d+\.\d+\S*?(?=\"?$)", found[0])[0] == re.search(r"\d[^\"]*", _declared())[0]


def _declared() -> str:
    return re.search(r'__version__ = "(.+)"', (ROOT / "gateway" / "__init__.py").read_text("utf-8"))[1]


# the site

site = script("docs/site.py")


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("index.md", "[a](how-to/index.md#b)", "[a](how-to/index.md#b)"),
        ("how-to/a.md", "[a](../../SECURITY.md)", "[a](../SECURITY.md)"),
        ("SECURITY.md", "[a](docs/explanation/threat-model.md)", "[a](explanation/threat-model.md)"),
        ("bench/README.md", "[a](../docs/tutorial.md)", "[a](../tutorial.md)"),
        ("CONTRIBUTING.md", "[a](README.md)", "[a](index.md)"),
        ("how-to/a.md", "[a](../../deploy/compose.yaml)", "[a](../files/deploy/compose.yaml)"),
        ("a.md", "[the bench](../bench)", "the bench"),
        ("a.md", "[a](https://example.com/b.md)", "[a](https://example.com/b.md)"),
        ("a.md", "![a](pictures/live.png)", "![a](pictures/live.png)"),
    ],
)
def test_a_link_of_the_repository_leads_to_its_place_on_the_site(page, link, there):
    assert site.linked(link, page, "") == there


def test_with_a_repository_a_file_of_it_is_linked_there():
    linked = site.linked("[a](../../deploy/compose.yaml)", "how-to/a.md", REPOSITORY)
    assert linked == f"[a]({REPOSITORY}/blob/main/deploy/compose.yaml)"


def test_lists_are_indented_by_four_and_begin_after_a_blank_line():
    written = "Two:\n- a\n  more of a\n\n  ```\n  - no item\n  ```\n- b\n  1. c\n     more of c\n\nAfter.\n"
    expected = (
        "Two:\n\n- a\n    more of a\n\n    ```\n    - no item\n    ```\n- b\n    1. c\n        more of c\n\nAfter.\n"
    )
    assert site.indented(written) == expected


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    unlisted = {page for page in pages if not page.startswith("changes/")} - set(
        re.findall(r"[\w./-]+\.md", navigation)
    )
    assert unlisted == set()


# what the pages tell people to run


@pytest.mark.parametrize(
    "page",
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/compare/README.md", ".github/workflows/ci.yaml",
                              ".github/workflows/release.yaml", "docs/install.md", ".ci/run")],
    ids=lambda page: page.name,
)  # fmt: skip
def test_every_target_of_make_that_is_named_is_one(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|run: +)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
    assert named
    assert named <= targets


def test_the_lines_for_uvx_and_pipx_name_the_package_and_a_command_of_it():
    name, [command] = PYPROJECT["project"]["name"], PYPROJECT["project"]["scripts"]
    for page in ("README.md", "docs/install.md"):
        text = (ROOT / page).read_text("utf-8")
        found = re.findall(r"(?:uvx --from|pipx run --spec) (\S+) (\S+) (\w+)", text)
        assert len(found) >= 4, page
        for package, program, verb in found:
            assert (package, program) == (name, command)
            assert verb in cli.commands


# the workflows


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_no_rights_but_those_that_a_job_names_and_a_time_limit_where_it_builds(file):
    workflow = yaml.safe_load(file.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert all(re.search(r"@(v\d|release/v\d)", step["uses"]) for step in job["steps"] if "uses" in step)
        builds = any("make " in step.get("run", "") or ".ci/run" in step.get("run", "") for step in job["steps"])
        assert "timeout-minutes" in job or not builds


def test_no_workflow_stores_a_secret():
    for file in WORKFLOWS:
        assert "secrets." not in file.read_text("utf-8"), file


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yaml")), ids=lambda file: file.name
)
def test_a_template_of_an_issue_asks_for_what_is_needed_in_fields_with_names(file):
    form = yaml.safe_load(file.read_text("utf-8"))
    asked = [each for each in form["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in asked}) == len(asked)
    assert any(each.get("validations", {}).get("required") for each in asked)
