"""How a SQLite file is searched: where an index is asked, and where a page ends."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.store import numbers
from gateway.store.queries import EventQuery
from gateway.store.sqlite import reader, search
from tests.store.test_reading import all_pages, event_of, looked_into


def test_candidates_come_with_their_bodies_in_pages_that_large_bodies_end(run, monkeypatch):
    monkeypatch.setattr(reader, "BODY_BYTES", 250)

    async def scenario(store):
        news = [event_of(body=b'{"x": "%s"}' % (b"y" * 91)) for _ in range(7)]
        await store.append(news)
        rows, pages = await all_pages(store.candidates, EventQuery(limit=50))
        assert [row.event for row in rows] == [new.event for new in reversed(news)]
        assert pages == 3
        page = await store.candidates(EventQuery(limit=2))
        assert (len(page.rows), page.spent > 0) == (2, True)

    run(scenario)


def test_the_beginning_of_a_word_is_found_in_old_events_as_in_new_ones(run, monkeypatch):
    monkeypatch.setattr(search, "FRESH", 2)

    async def scenario(store):
        news = [event_of(body=b'{"name": "Adalbert"}') if at in (0, 3, 9) else event_of(body=b"{}") for at in range(10)]
        await store.append(news)
        while await store.index():
            pass
        found = await looked_into(store, EventQuery(words=("ada*",)), lambda event: b"Ada" in event.body)
        assert found == [news[at].event.id for at in (9, 3, 0)]
        assert await looked_into(store, EventQuery(words=("é*",)), lambda event: "é" in event.body.decode()) == []

    run(scenario)


def test_a_prefix_is_looked_up_in_the_index_however_small_the_pages_are(run, monkeypatch):
    monkeypatch.setattr(search, "FRESH", 5)

    async def scenario(store):
        news = [event_of(body=b'{"name": "%s"}' % (b"Adalbert" if at < 3 else b"Bob")) for at in range(60)]
        await store.append(news)
        while await store.index():
            pass
        rows, _ = await all_pages(store.candidates, EventQuery(words=("ada*",), limit=2))
        fresh = [new.event.id for new in reversed(news[55:])]
        assert [row.event.id for row in rows] == [*fresh, *[new.event.id for new in reversed(news[:3])]]

    run(scenario)


@given(buckets=st.dictionaries(st.integers(0, len(numbers.BUCKETS)), st.integers(0, 50)))
def test_the_middle_lies_in_the_bucket_that_holds_it(buckets):
    half = numbers.quantile(buckets, 0.5)
    total = sum(buckets.values())
    if not total:
        assert half is None
        return
    below = 0
    for at in sorted(buckets):
        below += buckets[at]
        if below >= total / 2:
            break
    bounds = (0.0, *numbers.BUCKETS, numbers.BUCKETS[-1])
    assert bounds[at] <= half <= bounds[at + 1]
