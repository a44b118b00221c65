"""Events in memory for the claims that follow."""

import pytest

from gateway.dispatcher import handover
from gateway.dispatcher.handover import Handover
from gateway.model import Delivery
from gateway.routing.planning import Known
from tests.store.given import Clock, new_event

KNOWN = Known({"a": 1}, None, None)


def given(number: int, name: str = "crm", size: int = 100):
    event = new_event(name, body=b"x" * size).event
    return Delivery(id=f"dlv_{number}", event_id=event.id, route="all", destination=name), event


def kept(hands: Handover, *numbers: int, destinations: int = 1, size: int = 100, name: str = "crm", known=None):
    found = [given(number, name, size) for number in numbers]
    for delivery, event in found:
        hands.keep(name, delivery.id, event, known, destinations)
    return found


def test_an_event_is_given_once_and_only_for_its_delivery():
    hands = Handover(1 << 20, Clock().monotonic)
    [(delivery, event), (other, _)] = [*kept(hands, 1), given(2)]
    assert hands.take(other) is None
    assert hands.take(delivery).event is event
    assert hands.take(delivery) is None


def test_when_it_is_full_the_newest_are_not_kept_and_what_is_taken_makes_room(monkeypatch):
    monkeypatch.setattr(handover, "_LEAST_PART", 0)
    monkeypatch.setattr(handover, "_EACH", 0)
    hands = Handover(1000, Clock().monotonic)
    (first, _), (second, _), (third, _) = kept(hands, 1, 2, 3, size=400)
    assert hands.take(third) is None
    assert hands.take(first)
    [(fourth, _)] = kept(hands, 4, size=400)
    assert hands.take(fourth)
    assert hands.take(second)


@pytest.mark.parametrize("destinations", [1, 4])
def test_each_destination_has_the_same_part_and_fills_no_other_one(monkeypatch, destinations):
    monkeypatch.setattr(handover, "_LEAST_PART", 0)
    monkeypatch.setattr(handover, "_EACH", 0)
    hands = Handover(4000, Clock().monotonic)
    mine = kept(hands, *range(100), size=100, destinations=destinations)
    theirs = kept(hands, *range(100), size=100, destinations=destinations, name="slack")
    for those in (mine, theirs):
        assert sum(hands.take(delivery) is not None for delivery, _ in those) == 4000 // destinations // 100


def test_what_has_waited_for_long_makes_room(monkeypatch):
    monkeypatch.setattr(handover, "_LEAST_PART", 0)
    clock = Clock()
    hands = Handover(10_000, clock.monotonic)
    (first, _), (second, _) = kept(hands, 1, 2, size=1_500)
    [(late, _)] = kept(hands, 3, size=1_500)
    assert hands.take(late) is None
    clock.move(handover.KEPT_S)
    [(later, _)] = kept(hands, 4, size=1_500)
    assert hands.take(later)
    assert hands.take(first) is hands.take(second) is None


def test_what_is_known_of_events_is_kept_until_half_of_the_room_is_taken(monkeypatch):
    monkeypatch.setattr(handover, "_LEAST_PART", 0)
    monkeypatch.setattr(handover, "_EACH", 0)
    hands = Handover(4_000, Clock().monotonic)
    deliveries = [delivery for delivery, _ in kept(hands, *range(8), size=100, known=KNOWN)]
    found = [hands.take(delivery) for delivery in deliveries]
    assert [each.known for each in found] == [KNOWN] * 3 + [None] * 5
