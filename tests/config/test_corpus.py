"""Every mistake has its file, and beside it exactly what ``gateway check`` prints about it."""

import re
import shutil
from pathlib import Path

import pytest

from gateway.config import load
from gateway.errors import ConfigError
from tests.config.corpus import BAD, ENVIRON, GOOD, WARNED, recorded, refused, warned, write

TO_DO = "if the new text is better, run: make corpus"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_explained_with_its_place_and_its_remedy(path):
    assert refused(path) == recorded(path), TO_DO


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_comes_from_outside_is_never_printed(path):
    printed = refused(path)
    assert "the-value-of-hush" not in printed
    assert "t0ken" not in printed
    assert "hush-hush" not in printed


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_file_in_order_loads_without_a_warning(path):
    assert load(path, environ=ENVIRON).warnings == ()


@pytest.mark.parametrize("path", WARNED, ids=lambda path: path.stem)
def test_what_is_hardly_meant_is_a_warning_and_the_file_loads(path):
    assert warned(path) == recorded(path), TO_DO


#: Secrets of the files, and variables that take as many columns.
UNSET = {"s3cret": '"${A}"', "own-secret-of-tests": '"${NOBODY_SETS_IT}"'}
SECRET = re.compile(rf"(?<=secret: )({'|'.join(UNSET)})(?=[,}}\s])")


def reported(path):
    """What is reported, but for the strength of secrets and for what has no line."""
    try:
        problems = load(path, environ=ENVIRON).warnings
    except ConfigError as error:
        problems = error.problems
    return {(each.place, each.message) for each in problems if each.place.line and " characters: " not in each.message}


@pytest.mark.parametrize(
    "path",
    [
        each
        for each in (*BAD, *WARNED)
        if SECRET.search(each.read_bytes().decode("latin-1")) and each.stem != "quote-open-in-flow"
    ],
    ids=lambda path: path.stem,
)
def test_a_secret_that_is_not_set_hides_no_other_problem(path, tmp_path):
    folder = Path(shutil.copytree(path.parent, tmp_path / "there"))
    changed = SECRET.sub(lambda found: UNSET[found[0]], path.read_bytes().decode("latin-1"))
    (folder / path.name).write_bytes(changed.encode("latin-1"))
    assert reported(folder / path.name) == reported(path)


def test_only_the_texts_that_changed_are_written_again(tmp_path):
    old, new = (Path(shutil.copy(each, tmp_path)) for each in BAD[:2])
    old.with_suffix(".txt").write_text(refused(old))
    assert list(write([old, new], [])) == [new.with_suffix(".txt")]
    assert recorded(new) == refused(new) != ""
    assert list(write([old, new], [])) == []
