"""The span in which an event was received is known from what is stored with the event, and from nothing else."""

import asyncio

from gateway.event.payload import kept_headers
from gateway.event.spans import Spans, receive_id
from gateway.event.traces import of, taken_over
from gateway.model import Event
from gateway.store.nouns import Appended

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOW = 1_700_000_000.25


def event(id_: str, **headers: str) -> Event:
    return Event(id=id_, source="shop", type="order.created", received_at=NOW, headers=headers, body=b"{}", sha256=b"")


def told(events, appended):
    """The spans of events that were given to a store, with what it said of them."""

    async def scenario():
        spans = []
        appending = asyncio.get_running_loop().create_future()
        Spans(put=spans.append, clock=lambda: NOW + 1).appending(events, appending)
        if isinstance(appended, Exception):
            appending.set_exception(appended)
        elif appended is None:
            appending.cancel()
        else:
            appending.set_result(appended)
        await asyncio.sleep(0)
        return spans

    return asyncio.run(scenario())


def test_events_of_one_request_share_it_and_another_request_of_the_same_trace_has_another():
    trace = of({"traceparent": PARENT})
    assert receive_id(trace, NOW) == receive_id(trace, NOW)
    assert receive_id(trace, NOW) != receive_id(trace, NOW + 0.001)
    assert receive_id(trace, NOW) != int(trace.parent_id, 16)


def test_a_trace_that_begins_here_begins_with_it():
    trace = of(dict(kept_headers(taken_over([]))))
    assert receive_id(trace, NOW) == int(trace.parent_id, 16)


def test_several_events_of_one_request_are_one_span_each_of_receive_and_store():
    events = [event("evt_1", traceparent=PARENT), event("evt_2", traceparent=PARENT)]
    received, stored = told(events, [Appended("evt_1", duplicate=False), Appended("evt_0", duplicate=True)])
    assert (received.name, stored.name, stored.parent_id) == ("receive shop", "store", received.span_id)
    assert received.attributes == {
        "gateway.event.id": "evt_1", "gateway.event.type": "order.created", "gateway.source": "shop",
        "gateway.events": 2, "gateway.duplicates": 1,
    }  # fmt: skip
    assert (received.began, received.ended, stored.began, stored.ended) == (NOW, NOW + 1, NOW + 1, NOW + 1)


def test_a_duplicate_names_the_event_that_is_stored():
    [received, _] = told([event("evt_2", traceparent=PARENT)], [Appended("evt_1", duplicate=True)])
    assert received.attributes["gateway.event.id"] == "evt_1"


def test_a_store_that_fails_is_an_error_of_both():
    assert [each.error for each in told([event("evt_1", traceparent=PARENT)], OSError("disk"))] == ["disk", "disk"]


def test_what_is_planned_again_or_was_cancelled_or_has_no_trace_tells_nothing():
    stale = [Appended("evt_1", duplicate=False, stale=True)]
    assert told([event("evt_1", traceparent=PARENT)], stale) == []
    assert told([event("evt_1", traceparent=PARENT)], None) == []
    assert told([event("evt_1")], [Appended("evt_1", duplicate=False)]) == []
