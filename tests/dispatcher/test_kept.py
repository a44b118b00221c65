"""Answers to look-ups that are used again: for how long, how many, and when not."""

import pytest

from gateway.dispatcher import kept
from gateway.dispatcher.kept import KeptAnswers, key_of
from gateway.model import HttpRequest, Reply

#: As whom the destination is asked.
ME = ("a login",)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def request(**changes: object) -> HttpRequest:
    usual = {"method": "GET", "url": "https://crm.example/search?q=1", "headers": (("authorization", "Bearer a"),)}
    return HttpRequest(**{**usual, **changes})


def reply(body: bytes) -> Reply:
    return Reply(status=200, headers={"set-cookie": "a=1"}, body=body)


def test_an_answer_is_good_until_its_time_is_over_and_keeps_only_status_and_body():
    clock = Clock()
    answers = KeptAnswers(clock)
    answers.keep("crm", b"k", reply(b"{}"), ME, for_s=60.0, asked_at=100.0)
    clock.now = 159.9
    assert answers.get(b"k", ME) == Reply(status=200, body=b"{}")
    clock.now = 160.0
    assert answers.get(b"k", ME) is None
    assert len(answers) == 0


def test_an_answer_to_another_login_is_not_used():
    answers = KeptAnswers(Clock())
    answers.keep("crm", b"k", reply(b"{}"), ME, for_s=60.0, asked_at=100.0)
    assert answers.get(b"k", ("another login",)) is None


@pytest.mark.parametrize(("number", "octets"), [(3, 1000), (1000, 30)], ids=["by number", "by bytes"])
def test_there_are_bounds_and_what_was_not_used_for_the_longest_time_goes_first(monkeypatch, number, octets):
    monkeypatch.setattr(kept, "MOST", number)
    monkeypatch.setattr(kept, "MOST_BYTES", octets)
    answers = KeptAnswers(Clock())
    for at in range(3):
        answers.keep("crm", bytes([at]), reply(b"0123456789"), ME, for_s=60.0, asked_at=100.0)
    answers.get(bytes([0]), ME)
    answers.keep("crm", b"new", reply(b"0123456789"), ME, for_s=60.0, asked_at=100.0)
    assert len(answers) == 3
    assert answers.get(bytes([1]), ME) is None
    assert answers.get(bytes([0]), ME) is not None


def test_an_answer_that_is_larger_than_all_the_room_is_not_kept(monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 10)
    answers = KeptAnswers(Clock())
    answers.keep("crm", b"k", reply(b"0123456789x"), ME, for_s=60.0, asked_at=100.0)
    assert len(answers) == 0


def test_an_answer_takes_the_place_of_the_one_before_without_being_counted_twice(monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 25)
    answers = KeptAnswers(Clock())
    for _ in range(5):
        answers.keep("crm", b"k", reply(b"0123456789"), ME, for_s=60.0, asked_at=100.0)
    answers.keep("crm", b"other", reply(b"0123456789"), ME, for_s=60.0, asked_at=100.0)
    assert len(answers) == 2


def test_what_was_asked_before_a_write_is_not_kept_even_if_it_comes_after():
    clock = Clock()
    answers = KeptAnswers(clock)
    answers.keep("crm", b"k", reply(b"old"), ME, for_s=60.0, asked_at=99.0)
    answers.wrote("crm", b"k")
    assert answers.get(b"k", ME) is None
    answers.keep("crm", b"k", reply(b"old"), ME, for_s=60.0, asked_at=99.5)
    assert answers.get(b"k", ME) is None
    answers.keep("billing", b"b", reply(b"other"), ME, for_s=60.0, asked_at=99.5)
    assert answers.get(b"b", ME) is not None
    answers.keep("crm", b"k", reply(b"new"), ME, for_s=60.0, asked_at=100.5)
    assert answers.get(b"k", ME).body == b"new"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "POST"},
        {"url": "https://crm.example/search?q=2"},
        {"headers": (("authorization", "Bearer b"),)},
        {"body": b"{}"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_request_has_another_key(changes):
    assert key_of("crm", request()) != key_of("crm", request(**changes))
    assert key_of("crm", request()) != key_of("billing", request())


def test_the_same_request_of_two_deliveries_has_one_key():
    of = [
        request(headers=(("authorization", "Bearer a"), ("webhook-id", f"dlv_{number}"), ("traceparent", f"{number}")))
        for number in range(2)
    ]
    assert key_of("crm", of[0]) == key_of("crm", of[1])
