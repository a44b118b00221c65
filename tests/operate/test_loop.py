"""A loop that is late says so, and says what ran: functions and lines, and never the values they ran on."""

import asyncio
import sys
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from gateway.operate import loop
from gateway.operate.loop import DEEPEST, LOG_S, LOOK_S, MOST_LATE_S, WINDOW_S, Lateness, LoopWatch, stack_of
from gateway.telemetry.lines import LOG_EVENTS
from gateway.telemetry.metrics import REGISTRY
from tests.web.desk import Desk


def lag_count():
    return REGISTRY.get_sample_value("gateway_loop_lag_seconds_count")


def stuck_on(watch, payload):
    """Keep the loop until the thread beside it has seen that, and for as long as a line needs."""
    due = watch._due
    while watch._seen[0] != due or time.monotonic() - due < LOG_S:
        sum(payload)


def watched(watch, work):
    async def scenario():
        task = asyncio.create_task(watch.run())
        await asyncio.sleep(0)
        work()
        while watch._due < time.monotonic() - LOOK_S:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(scenario())


def test_a_loop_that_is_kept_waiting_is_logged_with_what_ran_and_measured(logged):
    watch, before = LoopWatch(Lateness(), lambda: "dlv_7"), lag_count()
    watched(watch, lambda: stuck_on(watch, [4155551234]))
    [(name, fields)] = logged
    assert (name, set(fields)) == ("loop.late", set(LOG_EVENTS["loop.late"].fields))
    assert fields["late_ms"] >= LOG_S * 1000
    assert fields["delivery_id"] == "dlv_7"
    [stuck, work] = fields["stack"][:2]
    assert stuck.startswith("stuck_on operate/test_loop.py:")
    assert work.startswith("test_a_loop_that_is_kept_waiting")
    assert "4155551234" not in str(fields)
    assert lag_count() > before


def test_a_turn_that_nobody_saw_is_not_blamed_on_what_was_seen_before(logged, monkeypatch):
    monkeypatch.setattr(loop, "LOG_INTERVAL_S", 0.0)
    watch = LoopWatch(Lateness(), lambda: "dlv_7")
    watch._due, watch._seen = 100.0, (90.0, ("an old stack",), "dlv_6")
    watch._turned(101.0, 0.001)
    [(_, fields)] = logged
    assert (fields["stack"], fields["delivery_id"], fields["late_ms"], fields["cpu_ms"]) == ((), None, 1000, 1)


def test_a_loop_that_is_late_again_and_again_is_logged_once_in_a_while_with_the_number_of_the_others(logged):
    watch = LoopWatch(Lateness())
    for turn in range(25):
        watch._due = 1_000.0 + turn
        watch._turned(watch._due + 0.5, 0.5)
    assert [fields["more"] for _, fields in logged] == [0, 9, 9]


def test_a_loop_that_is_in_time_is_not_logged(logged):
    watch = LoopWatch(Lateness())
    watch._due = 1_000.0
    watch._turned(1_000.0 + LOG_S / 2, 0.1)
    assert logged == []


def test_a_stack_has_names_and_lines_from_the_package_on():
    def inner(depth):
        return inner(depth - 1) if depth else tuple(stack_of(sys._getframe()))

    found = inner(DEEPEST + 5)
    assert len(found) == DEEPEST
    assert all("inner operate/test_loop.py:" in each for each in found)
    frames = []
    thread = threading.Thread(target=lambda: frames.extend(stack_of(sys._getframe())))
    thread.start()
    thread.join()
    assert any(each.startswith("Thread.run ") and "/" in each for each in frames)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=40))
def test_only_what_was_late_within_the_window_counts(turns):
    lateness, now, late = Lateness(), 0.0, []
    for pause, late_s in turns:
        now += pause
        lateness.add(now, late_s)
        late.append((now, late_s))
    recent = [each for at, each in late if at >= now - WINDOW_S and each >= LOOK_S]
    assert lateness.is_overloaded(now) == (sum(recent) > MOST_LATE_S)
    assert bool(lateness.status(now)) == (max(recent, default=0) >= LOG_S)
    assert lateness.status(now + WINDOW_S + 1) == ""
    assert not lateness.is_overloaded(now + WINDOW_S + 1)


def test_readiness_says_that_the_loop_is_late_and_liveness_stays(tmp_path):
    async def scenario():
        async with Desk(tmp_path, "destinations: {crm: {url: 'http://127.0.0.1:9'}}\nroutes: [{to: crm}]\n") as desk:
            lateness, now = desk.readiness.lateness, time.monotonic()
            fine = await desk.ask("/readyz")
            lateness.add(now, 1.0)
            late = await desk.ask("/readyz")
            lateness.add(now, MOST_LATE_S)
            return fine, late, await desk.ask("/readyz"), await desk.ask("/healthz")

    fine, late, overloaded, alive = asyncio.run(scenario())
    assert fine == (200, {"status": "ready"})
    assert late == (200, {"status": "ready", "loop": "late by up to 1.0 s in the last 10 s"})
    assert overloaded[0] == 503
    assert overloaded[1]["status"] == "the event loop is late: see loop.late in the log"
    assert alive == (200, {"status": "ok"})
