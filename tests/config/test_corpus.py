"""Every mistake has its file, and beside it exactly what ``gateway check`` prints about it."""

import shutil
from pathlib import Path

import pytest

from gateway.config import load
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


def test_only_the_texts_that_changed_are_written_again(tmp_path):
    old, new = (Path(shutil.copy(each, tmp_path)) for each in BAD[:2])
    old.with_suffix(".txt").write_text(refused(old))
    assert list(write([old, new], [])) == [new.with_suffix(".txt")]
    assert recorded(new) == refused(new) != ""
    assert list(write([old, new], [])) == []
