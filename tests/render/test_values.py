"""Values as they are printed."""

import doctest

from gateway.render import values


def test_the_doctests_hold():
    results = doctest.testmod(values)
    assert results.attempted
    assert not results.failed
