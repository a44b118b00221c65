"""Values as people read them."""

import doctest

from gateway import wording
from gateway.wording import iso_time


def test_the_doctests_hold():
    assert doctest.testmod(wording).failed == 0


def test_times_are_shown_in_utc():
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"
