"""Many different bodies under one id."""

from gateway.event.repeats import MANY, Repeats


def test_each_body_counts_once_and_no_more_than_are_needed_are_kept():
    repeats = Repeats()
    counted = [repeats.add("evt_1", bytes([number])) for number in (*range(MANY + 5), 0)]
    assert counted == [*range(1, MANY + 1), 0, 0, 0, 0, 0, 0]


def test_an_id_that_goes_on_repeating_is_counted_among_any_number_of_others():
    repeats = Repeats()
    for number in range(MANY):
        for other in range(500):
            repeats.add(f"evt_{number}_{other}", b"x")
        assert repeats.add("evt_constant", bytes([number])) == number + 1
    assert repeats.add("evt_0_0", b"y") == 1, "what nobody repeats is forgotten"


def test_a_source_is_news_once_for_each_configuration():
    repeats = Repeats()
    assert [repeats.is_news("shop", each) for each in ("a", "a", "b")] == [True, False, True]
    assert repeats.is_news("other", "a")
