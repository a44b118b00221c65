"""When new events are refused, and who is named for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.nouns import Limits, Room
from gateway.store.room import filling, free_disk, refusal, usual_free_disk

MIB, GIB = 1024**2, 1024**3


@pytest.mark.parametrize(
    ("disk", "free"),
    [
        pytest.param(64 * MIB, 64 * MIB // 10, id="a tenth of a small disk"),
        pytest.param(5 * GIB, 256 * MIB, id="256 MiB"),
        pytest.param(50 * GIB, GIB, id="2 %"),
        pytest.param(1000 * GIB, 2 * GIB, id="at most 2 GiB"),
    ],
)
def test_how_much_of_a_disk_stays_free_goes_with_its_size(disk, free):
    assert usual_free_disk(disk) == free


@given(
    pending=st.integers(0, 300),
    free=st.integers(-GIB, GIB),
    most=st.integers(1, 300),
    least=st.none() | st.integers(0, GIB),
)
def test_new_events_are_refused_exactly_while_too_many_wait_or_the_disk_is_nearly_full(pending, free, most, least):
    limits = Limits(max_pending=most, free_disk=least)
    said = refusal(Room(pending, free, GIB), limits)
    assert bool(said) == (pending >= most or free < free_disk(limits, GIB))
    assert ("max_pending" in said) == (pending >= most)
    assert refusal(Room(pending, free, GIB, "it is damaged"), limits).startswith("it is damaged")


@given(st.dictionaries(st.sampled_from(["slack", "crm", "file"]), st.integers(0, 100)), st.integers(1, 300))
def test_the_destination_that_has_most_of_what_waits_is_named_from_half_of_the_limit_on(waiting, most):
    full = filling(waiting, Limits(max_pending=most))
    total = sum(waiting.values())
    assert (full is not None) == (total > 0 and 2 * total >= most)
    if full is not None:
        assert full.pending == max(waiting.values()) == waiting[full.destination]
        assert f"{full.pending:,} of them for {full.destination}" in str(full)
