"""Every filter and function of templates: one function with a doctest, one entry in the registry."""

import doctest
import inspect

import pytest

from gateway.render import filters
from gateway.render.filters.texts import truncate

FUNCTIONS = {**filters.FILTERS, **{name: each for name, each in filters.FUNCTIONS.items() if callable(each)}}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_filter_and_function_has_a_description_and_a_doctest_that_holds(name):
    function = FUNCTIONS[name]
    first_line = (function.__doc__ or "").partition("\n")[0]
    assert first_line.endswith((".", "``.")), f'begin the docstring of "{name}" with one line for the reference'
    [test] = doctest.DocTestFinder(recurse=False).find(function, globs=inspect.unwrap(function).__globals__)
    assert test.examples, f'add a doctest to "{name}": the reference shows it as its example'
    results = doctest.DocTestRunner().run(test)
    assert not results.failed


@pytest.mark.parametrize(("length", "shown"), [(4, "abcd"), (3, "ab…"), (1, "…"), (0, ""), (-1, "")])
def test_a_truncated_text_is_never_longer_than_asked(length, shown):
    assert truncate("abcd", length) == shown
