"""What people ask a store: events and deliveries by what is known of them, and numbers."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import QueryRefused
from gateway.model import Dead, DeliveryState
from gateway.store.nouns import Outcome, Retention
from gateway.store.queries import DeliveryQuery, EventQuery, Rejected
from gateway.store.rules import REJECTED_KEPT, words_in
from tests.store.given import KINDS, Clock, attempt, delivered, new_event, retry, wants


def event_of(source="crm", type="contact.created", *destinations, body=b"{}", **more):
    new = new_event(*destinations, source=source, body=body, **more)
    return replace(new, event=replace(new.event, type=type), key=new.event.id.encode())


def dead(lease, reason="answered 422: no"):
    return Outcome(lease, Dead(reason), attempt(lease, "dead", status=422, reason=reason))


async def ended(store, outcome, destination="slack", slots=100):
    leases = await store.claim("a", wants(destination, slots=slots))
    await store.settle([outcome(lease) for lease in leases])
    return leases


async def looked_into(store, query, matches):
    """Ids of the events that match a query and more than the store can tell."""
    rows, _ = await all_pages(store.candidates, query)
    return [row.event.id for row in rows if matches(row.event)]


def name_in(event):
    return json.loads(event.body)["data"]["name"]


async def all_pages(ask, query):
    rows, pages = [], 0
    while True:
        page = await ask(query)
        rows += page.rows
        pages += 1
        if not page.next:
            return rows, pages
        query = replace(query, before=page.next)


# --- against a plain model ---

TYPES = ["contact.created", "contact.updated", "deal.won", "deal.won.big"]
GLOBS = ["", "contact.created", "contact.*", "*.won", "deal.**", "**", "none.*"]

stored_events = st.lists(
    st.tuples(
        st.sampled_from(["crm", "shop"]),
        st.sampled_from(TYPES),
        st.lists(st.sampled_from(["slack", "file"]), max_size=2, unique=True),
        st.sampled_from(["pending", "dead", "delivered"]),
        st.sampled_from(["Ada", "Bob", "Ada Bob", "é"]),
    ),
    min_size=1,
    max_size=14,
)
queries = st.builds(
    dict,
    source=st.sampled_from(["", "crm", "shop", "gone"]),
    type=st.sampled_from(GLOBS),
    destination=st.sampled_from(["", "slack", "file", "gone"]),
    state=st.sampled_from([None, *DeliveryState]),
    words=st.sampled_from([(), ("ada",), ("Ada", "Bob"), ("a*",), ("é",), ("zoe",)]),
    any_of=st.sampled_from([(), (("ada",),), (("bob",), ("é",)), (("zoe",), ("Ada", "Bob")), ((), ("zoe",))]),
    limit=st.integers(1, 5),
    since=st.sampled_from([None, 3, 9]),
    until=st.sampled_from([None, 2, 5]),
)


def fits(glob, type_):
    parts, segments = glob.split("."), type_.split(".")
    if "**" in parts:
        at = parts.index("**")
        return segments[:at] == parts[:at]
    return len(parts) == len(segments) and all(p in ("*", s) for p, s in zip(parts, segments, strict=True))


def has_words(words, text):
    there = text.lower().split()
    return all(any(o.startswith(w[:-1]) if w.endswith("*") else o == w for o in there) for w in map(str.lower, words))


def has_asked(query, text):
    either = query["any_of"] or [()]
    return has_words(query["words"], text) and any(has_words(words, text) for words in either)


async def stored(store, clock, events, indexed):
    """Each a second after the other; the last one is stored now."""
    made = []
    for at, (source, type_, destinations, state, name) in enumerate(events):
        if at:
            clock.move(1.0)
        new = event_of(source, type_, *destinations, body=json.dumps({"data": {"name": name}}).encode())
        await store.append([new])
        for destination in destinations:
            if state != "pending":
                [lease] = [
                    each
                    for each in await store.claim("a", wants(destination, slots=100))
                    if each.delivery.event_id == new.event.id
                ]
                await store.settle([dead(lease) if state == "dead" else delivered(lease)])
        made.append((new.event.id, source, type_, set(destinations), state, name))
        if at == indexed:
            while await store.index(limit=2):
                pass
    return made


def expected(made, query):
    found = []
    for age, (id_, source, type_, destinations, state, name) in enumerate(reversed(made)):
        asked = {query["destination"]} if query["destination"] else {"slack", "file"}
        there = destinations & asked
        wanted = query["destination"] or query["state"] is not None
        if (
            query["source"] in ("", source)
            and (not query["type"] or fits(query["type"], type_))
            and (not wanted or (there and query["state"] in (None, state)))
            and has_asked(query, name)
            and (query["since"] is None or age <= query["since"])
            and (query["until"] is None or age > query["until"])
        ):
            found.append(id_)
    return found


@pytest.mark.parametrize("kind_of_store", KINDS, ids=lambda kind: kind.id)
@settings(max_examples=30)
@given(events=stored_events, asked=st.lists(queries, min_size=3, max_size=6), indexed=st.integers(0, 14))
def test_events_are_found_by_all_that_is_known_of_them(tmp_path_factory, kind_of_store, events, asked, indexed):
    async def scenario():
        clock = Clock()
        store = await kind_of_store(tmp_path_factory.mktemp("store")).open(clock)
        try:
            made = await stored(store, clock, events, indexed)
            for query in asked:
                ask = {name: value for name, value in query.items() if name not in ("since", "until")}
                asking = EventQuery(
                    **ask,
                    since_s=None if query["since"] is None else query["since"] + 0.5,
                    until_s=None if query["until"] is None else query["until"] + 0.5,
                )
                found = await looked_into(store, asking, lambda event, ask=ask: has_asked(ask, name_in(event)))
                assert found == expected(made, query)
                about = DeliveryQuery(
                    **{name: ask[name] for name in ("source", "type", "destination", "state", "limit")}
                )
                deliveries, _ = await all_pages(store.deliveries, about)
                assert len(deliveries) == len({each.id for each in deliveries})
                assert len(deliveries) == await store.count(about)
                assert {each.event_id for each in deliveries} == {
                    id_
                    for id_, _, _, destinations, _, _ in made
                    if destinations
                    and id_ in expected(made, {**query, "words": (), "any_of": (), "since": None, "until": None})
                }
        finally:
            await store.close()

    asyncio.run(scenario())


# --- searches that take long ---


def test_a_search_for_deliveries_that_takes_too_long_goes_on_from_there(run):
    async def scenario(store):
        for _ in range(200):
            await store.append([event_of("crm", "contact.created", "slack")])
        asked = DeliveryQuery(route="nobody's", effort=100)
        page = await store.deliveries(asked)
        assert (page.rows, page.searched_to is not None) == ((), True)
        found, pages = await all_pages(store.deliveries, asked)
        assert found == []
        assert pages > 2

    run(scenario)


@pytest.mark.parametrize("before", ["x", "-1", "1" * 30, "١", "evt_1", "1;"])
def test_a_place_that_no_page_gave_is_refused(run, before):
    async def scenario(store):
        with pytest.raises(QueryRefused, match="is not a position"):
            await store.events(EventQuery(before=before))
        with pytest.raises(QueryRefused, match="is not a position"):
            await store.deliveries(DeliveryQuery(before=before))

    run(scenario)


def test_what_is_newer_than_an_event_is_followed(run):
    async def scenario(store):
        first, second, third = [event_of() for _ in range(3)]
        await store.append([first])
        [row] = (await store.events()).rows
        assert (await store.event(first.event.id)).position == row.position
        assert (await store.events(EventQuery(after=row.position))).rows == ()
        await store.append([second, third])
        newer = await store.events(EventQuery(after=row.position))
        assert [row.id for row in newer.rows] == [third.event.id, second.event.id]
        with pytest.raises(QueryRefused, match="is not a position"):
            await store.events(EventQuery(after="evt_gone"))

    run(scenario)


def test_pages_after_a_position_end_there_however_many_there_are(run):
    async def scenario(store):
        news = [event_of("crm", "contact.created", "slack") for _ in range(9)]
        await store.append(news)
        fourth = (await store.event(news[3].event.id)).position
        newer = [new.event.id for new in reversed(news[4:])]
        rows, pages = await all_pages(store.events, EventQuery(after=fourth, limit=2))
        assert ([row.id for row in rows], pages) == (newer, 3)
        assert await looked_into(store, EventQuery(after=fourth, limit=2), lambda event: True) == newer

    run(scenario)


def test_a_page_continues_after_the_position_of_a_row(run):
    async def scenario(store):
        news = [event_of() for _ in range(4)]
        await store.append(news)
        rows = (await store.events()).rows
        for at, row in enumerate(rows):
            older = await store.events(EventQuery(before=row.position))
            newer = await store.events(EventQuery(after=row.position))
            assert (newer.rows, older.rows) == (rows[:at], rows[at + 1 :])
            assert (await store.event(row.id)).position == row.position

    run(scenario)


def test_events_are_asked_for_by_their_ids(run):
    async def scenario(store):
        news = [event_of("crm", "contact.created", "slack") for _ in range(3)]
        await store.append(news)
        page = await store.events(EventQuery(ids=(news[0].event.id, news[2].event.id, "evt_gone"), limit=1))
        assert [row.id for row in page.rows] == [news[2].event.id, news[0].event.id]
        assert [len(row.deliveries) for row in page.rows] == [1, 1]
        assert page.next == ""

    run(scenario)


# --- candidates: what may match, with bodies ---


def test_what_has_lost_its_body_is_no_candidate(run, clock):
    async def scenario(store):
        old = event_of("crm", "contact.created")
        await store.append([old])
        clock.move(100.0)
        new = event_of()
        await store.append([new])
        while await store.prune(Retention(bodies_s=50.0)):
            pass
        assert len((await store.events()).rows) == 2
        assert [row.event.id for row in (await store.candidates(EventQuery())).rows] == [new.event.id]

    run(scenario)


@pytest.mark.parametrize("effort", [1, 7, 60, 20_000])
def test_candidates_keep_to_the_effort_and_go_on_where_they_ended(run, effort):
    async def scenario(store):
        await store.append([event_of() for _ in range(40)])
        query, seen, spent = EventQuery(effort=effort, limit=100), 0, []
        while True:
            page = await store.candidates(query)
            seen += len(page.rows)
            spent.append(page.spent)
            assert bool(page.next) == (page.searched_to is not None)
            if not page.next:
                break
            query = replace(query, before=page.next)
        assert seen == 40
        assert max(spent) <= effort + 300, "a little more than it was asked for"

    run(scenario)


# --- words ---


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"data": {"id": 451}}', ["451"]),
        (b'{"phone": "+1 (415) 555-1234"}', ["1", "415", "555", "1234"]),
        (b'{"mail": "ada.b@example.com"}', ["ada", "EXAMPLE"]),
        (b'{"name": "Zo\\u00eb \\ud83d\\ude00x"}', ["Zoë", "😀x"]),
        (b'{"url": "http:\\/\\/x\\/y"}', ["http", "y"]),
        (b'{"ok": true, "no": false}', ["true", "false"]),
        (b'{"deep": [[{"a": ["needle"]}]]}', ["needle"]),
        (b"name=Ada&phone=1234", ["Ada", "1234"]),
        (b"\xff\xfe not utf-8 needle", ["needle"]),
        (b'{"broken": "needle', ["needle"]),
    ],
)
@pytest.mark.parametrize("is_indexed", [True, False], ids=["indexed", "not yet indexed"])
def test_words_of_a_payload_are_found(run, body, words, is_indexed):
    async def scenario(store):
        new = event_of(body=body)
        await store.append([event_of(body=b'{"other": "words"}'), new])
        while is_indexed and await store.index():
            pass
        for word in words:
            assert words_in(word) == (word,)
            found = await looked_into(store, EventQuery(words=(word,)), lambda event: event.body == body)
            assert found == [new.event.id]

    run(scenario)


@pytest.mark.parametrize("word", ["a OR b", "NOT", "NEAR(a b)", "col:x", '"a" z', "a" * 5000, "🦊"])
def test_nothing_in_a_word_is_an_operator(run, word):
    async def scenario(store):
        await store.append([event_of(body=b'{"a": "b"}')])
        while await store.index():
            pass
        assert (await store.events(EventQuery(words=(word,)))).rows == ()

    run(scenario)


def test_words_of_events_that_were_pruned_are_forgotten_and_new_ones_found(run, clock):
    async def scenario(store):
        await store.append([event_of(body=b'{"a": "old"}')])
        await store.index()
        clock.move(100.0)
        while await store.prune(Retention(events_s=10.0)):
            pass
        assert (await store.events(EventQuery(words=("old",)))).rows == ()
        new = event_of(body=b'{"a": "new"}')
        await store.append([new])
        await store.index()
        assert [row.id for row in (await store.events(EventQuery(words=("new",)))).rows] == [new.event.id]

    run(scenario)


@pytest.mark.parametrize("word", ["", '"', "*", "(", "\x00", "--"])
def test_what_is_no_word_narrows_nothing(run, word):
    async def scenario(store):
        await store.append([event_of(body=b'{"a": "b"}')])
        assert len((await store.events(EventQuery(words=(word,)))).rows) == 1

    run(scenario)


# --- groups of dead deliveries ---


def test_dead_deliveries_are_grouped_and_a_group_is_listed(run):
    async def scenario(store):
        for reason in ["answered 422: a", "answered 422: b", "no answer within 10 s"]:
            await store.append([event_of("crm", "contact.created", "slack")])
            await ended(store, lambda lease, reason=reason: dead(lease, reason))
        groups = (await store.stats()).dead
        assert [(each.destination, each.cause, each.count) for each in groups] == [
            ("slack", "answered 422", 2),
            ("slack", "no answer within 10 s", 1),
        ]
        page = await store.deliveries(DeliveryQuery(state=DeliveryState.DEAD, cause="answered 422"))
        assert [each.reason for each in page.rows] == ["answered 422: b", "answered 422: a"]
        assert {each.cause for each in page.rows} == {"answered 422"}

    run(scenario)


# --- what was tried last ---


def test_the_last_attempts_of_many_deliveries_are_one_question(run, clock):
    async def scenario(store):
        tried, untried = new_event("slack"), new_event("crm")
        await store.append([tried])
        await ended(store, retry)
        clock.move(60.0)
        [lease] = await ended(store, delivered)
        await store.append([untried])
        found = await store.last_attempts([lease.delivery.id, untried.deliveries[0].id, "dlv_unknown"])
        assert {id_: (each.number, each.outcome) for id_, each in found.items()} == {
            lease.delivery.id: (2, "delivered")
        }
        assert found[lease.delivery.id] == (await store.event(tried.event.id)).attempts[lease.delivery.id][-1]
        assert await store.last_attempts([]) == {}

    run(scenario)


def test_the_last_error_of_a_destination_is_that_of_what_waits_or_of_the_newest_dead_letter(run):
    async def scenario(store):
        async def one(destination, outcome):
            new = event_of("crm", "contact.created", destination)
            await store.append([new])
            await ended(store, outcome, destination)
            return new.event.id

        await one("slack", lambda lease: dead(lease, "answered 422: a"))
        newest = await one("slack", lambda lease: dead(lease, "no answer within 10 s"))
        await one("slack", delivered)
        await one("crm", lambda lease: dead(lease, "answered 422: b"))
        waits = await one("crm", retry)
        await store.append([event_of("crm", "contact.created", "crm", "file")])
        await one("mail", delivered)
        found = await store.last_errors(["slack", "crm", "file", "mail", "unknown"])
        assert {name: (each.reason, each.event_id) for name, each in found.items()} == {
            "slack": ("no answer within 10 s", newest),
            "crm": ("HTTP 503", waits),
        }
        assert found["slack"].at == 1_800_000_000.0

    run(scenario)


# --- numbers ---


def test_numbers_are_kept_by_destination_source_and_minute(run, clock):
    async def scenario(store):
        for _ in range(3):
            await store.append([event_of("crm", "contact.created", "slack")])
        await ended(store, delivered)
        clock.move(120.0)
        await store.append([event_of("shop", "deal.won", "slack", "file")])
        await ended(store, dead)
        clock.move(30.0)
        stats = await store.stats()
        slack, file = stats.destinations["slack"], stats.destinations["file"]
        assert (slack.pending, slack.delivered, slack.dead, slack.oldest_due_s) == (0, 3, 1, 0.0)
        assert (file.pending, file.oldest_due_s) == (1, pytest.approx(30.0))
        assert (sum(slack.traffic.delivered), sum(slack.traffic.died)) == (3, 1)
        assert len(slack.traffic.delivered) == 60
        assert slack.traffic.p50_s is not None
        assert {source: sum(minutes) for source, minutes in stats.received.items()} == {"crm": 3, "shop": 1}
        minute_of = {source: minutes.index(max(minutes)) for source, minutes in stats.received.items()}
        assert minute_of["shop"] - minute_of["crm"] == 2
        clock.move(3600.0)
        later = await store.stats()
        assert (later.received, sum(later.destinations["slack"].traffic.delivered)) == ({}, 0)
        assert later.destinations["slack"].dead == 1

    run(scenario)


def test_the_numbers_of_a_minute_are_forgotten_after_a_day(run, clock):
    async def scenario(store):
        await store.append([event_of("crm", "contact.created", "slack")])
        await ended(store, delivered)
        clock.move(2 * 86400.0)
        while await store.prune(Retention(events_s=1.0)):
            pass
        assert (await store.stats()).destinations == {}

    run(scenario)


# --- refused requests ---


def refused(number, count=1, source="crm"):
    return Rejected(
        at=float(number),
        source=source,
        path=f"/in/{source}",
        status=401,
        reason=f"no {number}",
        client="203.0.113.7",
        count=count,
    )


def test_refused_requests_are_remembered_the_newest_first_and_only_so_many_of_each_source(run):
    async def scenario(store):
        await store.reject([])
        await store.reject([refused(1, count=7), refused(2)])
        assert await store.rejected(limit=1) == [refused(2)]
        assert await store.rejected() == [refused(2), refused(1, count=7)]
        await store.reject([refused(3, source="stripe")])
        for start in range(0, 1500, 300):
            await store.reject([refused(number) for number in range(start, start + 300)])
        kept = await store.rejected(limit=5000)
        assert [kept[0], len(kept)] == [refused(1499), REJECTED_KEPT + 1]
        assert kept[-1] == refused(3, source="stripe"), "a flood at one path leaves those of the others"

    run(scenario)


def test_a_page_of_the_store_shows_one_moment(run):
    """Nothing that is written between two of its questions shows."""

    async def scenario(store):
        await store.append([event_of("crm", "contact.created", "slack") for _ in range(5)])
        writing = [
            asyncio.ensure_future(store.append([event_of("crm", "contact.created", "slack")])) for _ in range(50)
        ]
        for _ in range(20):
            page = await store.events(EventQuery(limit=1000))
            assert all(len(row.deliveries) == 1 for row in page.rows)
        await asyncio.gather(*writing)

    run(scenario)
