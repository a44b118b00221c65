"""Every block of a page that shows a command with its output is what the command prints.

Such a block has its commands behind ``$``. It is run in a folder with the file of the page: the last whole routes.yaml above
the block, or the one that ships. ``<!-- in routes.yaml, "old" is "new" -->`` above a block changes it for that block (``""`` leaves the line out). A line
``...`` stands for any number of lines, and the width of columns does not count. A block below
``<!-- beside a running gateway -->`` is run in ``tests/acceptance/test_how_to.py``.
"""

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator, Sequence

import pytest

from gateway import presets
from tests.cli import command
from tests.test_docs import PAGES, ROOT

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
CHANGE = re.compile(r'<!-- in routes\.yaml, "(.*?)" is "(.*?)" -->\s*\Z')
LIVE = "<!-- beside a running gateway -->"
#: Lines of output that differ from time to time.
ANY = "..."


def transcripts() -> Iterator:
    for page in PAGES:
        text, file = page.read_text("utf-8"), None
        for number, fence in enumerate(FENCE.finditer(text), start=1):
            block = textwrap.dedent(fence[3])
            # The README is about the file that ships.
            if page.name != "README.md" and fence[2] == "yaml" and re.search("^version:", block, re.MULTILINE):
                file = block
            if not fence[2] and re.search(r"^\$ gateway ", block, re.MULTILINE):
                if text[: fence.start()].rstrip().endswith(LIVE):
                    continue
                change = CHANGE.search(text[: fence.start()])
                where = f"{page.relative_to(ROOT)}-{number}"
                yield pytest.param(file, change and change.groups(), block, id=where)


def runs(block: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Each command of a block with the lines that it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        typed, _, printed = part.partition("\n")
        yield typed.partition(" #")[0], printed.rstrip("\n").split("\n")


def folded(line: str) -> str:
    return " ".join(line.split())


def fits(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether lines are shown as they are printed, in order, with ``...`` for those left out."""
    if not shown:
        return not printed
    if shown[0] == ANY:
        return any(fits(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and folded(shown[0]) == folded(printed[0]) and fits(shown[1:], printed[1:])


@pytest.mark.parametrize(("file", "change", "block"), list(transcripts()))
def test_a_command_prints_what_the_page_shows(tmp_path, file, change, block):
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    text = file or (ROOT / "routes.yaml").read_text("utf-8")
    if change:
        assert text.count(change[0]) == 1, change[0]
        old, new = change
        text = text.replace(old if new else f"{old}\n", new)
    (tmp_path / "routes.yaml").write_text(text, "utf-8")
    for typed, shown in runs(block):
        done = command.run(*shlex.split(typed)[1:], cwd=tmp_path)
        printed = (done.stdout + done.stderr).rstrip("\n").split("\n")
        assert fits(shown, printed), f"$ {typed}\n" + "\n".join(printed)


def test_there_are_such_blocks_on_the_pages_that_are_read_first():
    pages = {each.id.rpartition("-")[0] for each in transcripts()}
    assert {"README.md", "docs/tutorial.md", "docs/how-to/write-a-test.md", "docs/how-to/find-out-why.md"} <= pages


def test_the_numbers_of_the_readme_are_counted():
    text = (ROOT / "README.md").read_text("utf-8")
    assert f"# {len(presets.NAMES)} known senders" in text
    assert f"any of the {len(presets.load('xobito').samples)} documented events" in text
