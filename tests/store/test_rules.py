"""What every store decides alike."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BodyGone
from gateway.model import DeliveryState
from gateway.store.queries import DeliveryQuery
from gateway.store.rules import (
    TAKES,
    Named,
    Standing,
    cause_of,
    discard_reason,
    mentions,
    movable,
    next_slice,
    paced,
    progress,
    state_before,
    states_taken,
    tombstone,
    with_types,
    words_in,
)

DEAD, DELIVERED, PENDING = DeliveryState.DEAD, DeliveryState.DELIVERED, DeliveryState.PENDING


@pytest.mark.parametrize(
    ("text", "words"),
    [("+1 (415) 555", ("1", "415", "555")), ("ada.b@x", ("ada", "b", "x")), ("Zoë😀!", ("Zoë😀",)), ('"*', ())],
)
def test_words_are_runs_of_letters_and_digits(text, words):
    assert words_in(text) == words


# --- causes ---


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ('answered 422 (it does not take these values): {"id": 12345678}', "answered 422"),
        ("answered 500: x; gave up after 3 attempts, retry.for is 24h", "answered 500"),
        ("no answer within 10 s; gave up after 12 attempts", "no answer within 10 s"),
        ('routes.yaml:41: cannot compare "Ada" with 5', "routes.yaml:41: cannot compare … with 5"),
        ("event evt_0192-7 is not in the store", "event … is not in the store"),
        ("x" * 300, "x" * 119 + "…"),
        ("", ""),
    ],
)
def test_failures_that_are_alike_have_one_cause(reason, cause):
    assert cause_of(reason) == cause


@given(reason=st.text())
def test_a_cause_is_short_whatever_the_reason(reason):
    assert len(cause_of(reason)) <= 120


@pytest.mark.parametrize(
    "types", [["a"], ["a(b)"], ["(event"], ['say"'], ["'", "b"], [f"type.{number}" for number in range(500)]]
)
def test_the_types_of_its_events_are_no_part_of_the_cause_and_many_are_counted(types):
    reason = with_types("the event has no field attrs.x", types)
    assert reason.startswith(f"the event has no field attrs.x (event type{'s' if len(types) > 1 else ''} {min(types)}")
    assert reason.endswith(")")
    assert len(reason) < 100
    assert cause_of(reason) == cause_of(f"{reason}; gave up after 3 attempts") == "the event has no field attrs.x"


# --- what a task takes ---


@pytest.mark.parametrize(
    ("verb", "state", "taken"),
    [
        ("replay", None, (DEAD,)),
        ("replay", DELIVERED, (DELIVERED,)),
        ("replay", PENDING, ()),
        ("discard", None, (DEAD,)),
        ("discard", PENDING, (PENDING,)),
        ("reroute", DELIVERED, ()),
    ],
)
def test_a_task_for_many_takes_dead_ones_unless_another_state_is_named(verb, state, taken):
    assert states_taken(verb, DeliveryQuery(state=state)) == taken


def test_of_named_ones_a_task_moves_those_it_may_in_order():
    named = [Named(3, DEAD, "evt_1", "kept"), Named(1, PENDING, "evt_1", "kept"), Named(2, DELIVERED, "evt_1", "kept")]
    assert movable("replay", named) == [2, 3]
    assert movable("discard", named) == [1, 3]


def test_what_has_lost_its_body_can_be_discarded_and_not_sent_again():
    named = [Named(1, DEAD, "evt_1", "removed")]
    assert movable("discard", named) == [1]
    with pytest.raises(BodyGone, match=r"event evt_1 cannot be sent again: retention\.bodies"):
        movable("replay", named)


# --- slices ---

#: Deliveries of events, by group.
groups = st.lists(st.lists(st.integers(1, 30), max_size=40).map(sorted), min_size=1, max_size=4)


@given(groups=groups, size=st.integers(1, 6))
def test_slices_cover_each_delivery_once_in_order_and_whole_events(groups, size):
    numbers = iter(range(1000))
    rows = [[(event, next(numbers)) for event in group] for group in groups]
    event_of = {number: event for group in rows for event, number in group}
    moved, position = [], 0
    while True:
        asked = [[row for row in group if row[0] > position][: max(size, most(rows))] for group in rows]
        part = next_slice(asked, ends=30, size=max(size, most(rows)))
        moved.append([event_of[number] for number in part.deliveries])
        assert part.is_last or part.position > position, "it gets on"
        position = part.position
        if part.is_last:
            break
    flat = [event for part in moved for event in part]
    assert flat == sorted(event for group in groups for event in group)
    ends = [(part[0], part[-1]) for part in moved if part]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends)), "no event is cut"


def most(rows):
    """The most deliveries that one event has in a group: a slice is never smaller, in a store."""
    return max((sum(row[0] == event for row in group) for group in rows for event, _ in group), default=1)


def test_a_slice_at_a_pace_is_due_one_after_the_other():
    assert paced([7, 9, 8], 100.0, 2.0) == {7: 100.0, 9: 102.0, 8: 104.0}


# --- texts and progress ---


def test_a_discarded_delivery_says_who_and_why():
    assert discard_reason("ann", "test data") == "discarded by ann: test data"
    assert discard_reason("ann", "") == "discarded by ann"


@pytest.mark.parametrize(
    ("outcome", "state"), [("delivered", DELIVERED), ("dead", DEAD), ("retry", DEAD), (None, DEAD)]
)
def test_a_delivery_that_is_taken_back_is_what_its_last_attempt_made_of_it(outcome, state):
    assert state_before(outcome) is state


def test_progress_tells_what_was_taken_back_from_what_was_tried():
    standing = [
        Standing(DEAD, True, 2),
        Standing(DEAD, False, 3),
        Standing(DELIVERED, False, 4),
        Standing(PENDING, True, 5),
    ]
    done = progress(10, 14, standing, is_finished=True, stopped_by="bob")
    assert (done.total, done.moved) == (14, 14)
    assert (done.dead, done.delivered, done.pending, done.not_sent) == (3, 4, 5, 2)


def test_no_task_takes_what_is_discarded():
    assert all(DeliveryState.DISCARDED not in states for states in TAKES.values())


# --- erasures ---


@given(st.text(max_size=8), st.text(min_size=1, max_size=8), st.text(max_size=8))
def test_a_text_mentions_a_value_exactly_if_it_stands_there_as_a_word(before, value, after):
    text = before + value + after
    ends = [at for at in range(len(text)) if text.startswith(value, at)]
    is_word = any(
        not _is_letter(text[at - 1 : at]) and not _is_letter(text[at + len(value) : at + len(value) + 1]) for at in ends
    )
    assert mentions(text, value) == is_word


def _is_letter(character):
    return character.isascii() and character.isalnum()


@given(st.text(), st.integers(0), st.integers(0), st.integers(0))
def test_what_is_left_of_a_forgotten_event_is_json_whoever_forgot_it(by, size, discarded, attempts):
    left = tombstone(by=by, at=0.0, activity_id="act_1", size=size, discarded=discarded, attempts=attempts)
    said = json.loads(left)["forgotten"]
    assert (said["bytes_erased"], said["deliveries_discarded"], said["attempts_cleared"]) == (size, discarded, attempts)
    assert said["by"] == by
