"""A sender's trace is taken over when it is one, goes on under its own id, and cannot carry anything else."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.event import traces
from gateway.event.payload import kept_headers
from gateway.event.traces import Trace, of, passed_on, taken_over, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def event_headers(*fields: tuple[str, str]) -> dict[str, str]:
    """What an event keeps of a request with these header fields."""
    return dict(kept_headers(taken_over([(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields])))


def onward(**headers: str) -> dict[str, str]:
    return dict(passed_on(headers))


def test_a_senders_trace_is_kept_as_it_was_sent():
    headers = event_headers(("content-type", "text/plain"), ("traceparent", PARENT), ("tracestate", "a=1"))
    assert headers == {"content-type": "text/plain", "traceparent": PARENT, "tracestate": "a=1"}
    assert trace_id(headers) == TRACE


def test_without_one_each_event_begins_a_trace_of_its_own():
    first, second = event_headers(("x-note", "1")), event_headers(("x-note", "1"))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", first["traceparent"])
    assert trace_id(first) != trace_id(second)
    assert first["x-note"] == "1"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("", id="empty"),
        pytest.param(PARENT.upper(), id="upper case"),
        pytest.param(f"ff-{TRACE}-00f067aa0ba902b7-01", id="version ff"),
        pytest.param(f"0-{TRACE}-00f067aa0ba902b7-01", id="short version"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", id="trace id of zeros"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="parent id of zeros"),
        pytest.param(f"00-{TRACE[1:]}-00f067aa0ba902b7-01", id="short trace id"),
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7", id="no flags"),
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-1", id="short flags"),
        pytest.param(f"{PARENT}-more", id="more behind version 00"),
        pytest.param(f"{PARENT}more", id="longer flags"),
        pytest.param(f"cc-{TRACE}-00f067aa0ba902b7-01.more", id="later version, no dash"),
        pytest.param(f" {PARENT}", id="blank in front"),
        pytest.param(f"{PARENT}, {PARENT}", id="two in one"),
        pytest.param(
            "00-４bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".encode().decode("latin-1"), id="wide digit"
        ),
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace_and_takes_its_tracestate_along(sent):
    headers = event_headers(("traceparent", sent), ("tracestate", "a=1"))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])
    assert trace_id(headers) != TRACE
    assert "tracestate" not in headers


def test_two_traceparents_are_none():
    headers = event_headers(("traceparent", PARENT), ("traceparent", PARENT))
    assert trace_id(headers) != TRACE


def test_each_attempt_has_a_parent_id_of_its_own_and_the_same_trace():
    parents = {onward(traceparent=PARENT)["traceparent"] for _ in range(50)}
    assert len(parents) == 50
    assert {parent[:36] for parent in parents} == {f"00-{TRACE}-"}
    assert PARENT not in parents


@pytest.mark.parametrize(
    ("sent", "passed"),
    [("01", "01"), ("00", "00"), ("03", "03"), ("ff", "03"), ("08", "00")],
)
def test_of_the_flags_those_that_are_known_go_on(sent, passed):
    assert onward(traceparent=f"{PARENT[:-2]}{sent}")["traceparent"][-2:] == passed


def test_a_later_version_is_understood_and_goes_on_as_ours():
    later = f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"
    assert event_headers(("traceparent", later))["traceparent"] == later
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", onward(traceparent=later)["traceparent"])


@pytest.mark.parametrize(
    "state",
    [
        "congo=t61rcWkgMzE",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "fw529a3039@dt=FfffFf-/*, a=1",
        "a=1,,b=2, ",
        "a= leading blanks are the vendor's",
        ",".join(f"k{n}=v" for n in range(32)),
        "a=" + "x" * 256,
    ],
)
def test_a_valid_tracestate_goes_on_unchanged(state):
    assert onward(traceparent=PARENT, tracestate=state)["tracestate"] == state


@pytest.mark.parametrize(
    "state",
    [
        "",
        "no value",
        "Upper=1",
        "a=1;b=2=3",
        "a=1,a=2",
        "a=grüße",
        "a=1\x7f",
        "@dt=1",
        ",".join(f"k{n}=v" for n in range(33)),
        "a=" + "x" * 257,
        ",".join(f"k{n}={'v' * 100}" for n in range(6)),
    ],
)
def test_any_other_tracestate_does_not(state):
    assert set(onward(traceparent=PARENT, tracestate=state)) == {"traceparent"}


def test_a_tracestate_alone_goes_nowhere():
    assert onward(tracestate="a=1") == {}
    assert trace_id({}) is None


@given(st.text(max_size=80), st.text(max_size=600))
def test_whatever_was_stored_what_goes_on_can_be_sent(parent, state):
    for name, value in passed_on({"traceparent": parent, "tracestate": state}):
        assert name in {"traceparent", "tracestate"}
        assert value.isascii()
        assert value.isprintable() or "\t" in value


def test_an_event_says_whether_its_trace_began_here():
    assert of(event_headers(("x-note", "1"))).began_here
    found = of(event_headers(("traceparent", PARENT)))
    assert found == Trace(TRACE, "00f067aa0ba902b7", is_sampled=True, began_here=False)
    assert not of({"traceparent": PARENT[:-1] + "0"}).is_sampled
    assert of({}) is None


@given(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1))
@example(1, 2**64 - 2)
@example(2, 2**64 - 3)
def test_a_sender_whose_first_span_has_the_id_of_its_trace_is_not_taken_for_the_gateway(span, high):
    for trace in (f"{high:016x}{span:016x}", f"{span:016x}{high:016x}"):
        # All ones are nobody's id.
        if high != 2**64 - 1:
            assert not of({"traceparent": f"00-{trace}-{span:016x}-01"}).began_here


def test_a_traceparent_of_a_later_version_is_read_however_it_continues_and_not_kept():
    known = f"{'1' * 32}-{'2' * 16}-01"
    later = [f"01-{known}-{'x' * length}" for length in (0, 1, 60_000)]
    assert {of({"traceparent": each}).trace_id for each in [f"00-{known}", *later]} == {"1" * 32}
    before = traces._parts.cache_info().currsize
    assert {of({"traceparent": f"{later[0]}{number}"}).trace_id for number in range(50)} == {"1" * 32}
    assert traces._parts.cache_info().currsize == before, "what a sender adds takes no memory"
    assert of({"traceparent": f"00-{known}-x"}) is None
    assert of({"traceparent": f"01-{known}x"}) is None
