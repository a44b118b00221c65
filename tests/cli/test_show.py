"""What ``gateway show`` says of a delivery that is still to be sent."""

import pytest

from gateway.cli.show import _lookup, _next
from gateway.cli.terminal import local

AT = "2026-11-30T09:00:00.000Z"


def a_delivery(**changes):
    return {
        "id": "dlv_1",
        "due_in_s": None,
        "behind": False,
        "digest": None,
        "gathered": 0,
        "waits_until": None,
        "held": "",
        **changes,
    }


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        (a_delivery(), ""),
        (a_delivery(due_in_s=0.0), ", due now"),
        (a_delivery(due_in_s=4.2), ", next attempt in 4s"),
        (a_delivery(behind=True), ", waiting for an earlier one with the same key"),
        (a_delivery(due_in_s=4000.0, waits_until=AT), f", waits until {local(AT)}"),
        (
            a_delivery(due_in_s=90.0, waits_until=AT, digest="dlv_1", gathered=3),
            f", gathers until {local(AT)}, 3 events so far",
        ),
        (a_delivery(digest="dlv_2"), ", in digest dlv_2"),
        (a_delivery(digest="dlv_2", waits_until=AT), f", in digest dlv_2, due {local(AT)}"),
        (
            a_delivery(due_in_s=-60.0, held="waits until Mon 09:00 (Europe/Berlin)"),
            ", held: waits until Mon 09:00 (Europe/Berlin)",
        ),
    ],
)
def test_it_is_said_when_it_is_sent_and_with_what(delivery, said):
    assert _next(delivery) == said


@pytest.mark.parametrize(
    ("looked_up", "said"),
    [
        ({"found": True}, "fetch person: GET crm, 200 in 34.2 ms, 2.0 KiB"),
        ({"status": 404}, "fetch person: GET crm, 404 in 34.2 ms, nothing found"),
        ({"status": 503, "failed": True}, "fetch person: GET crm, 503 in 34.2 ms"),
        ({"status": None, "failed": True}, "fetch person: GET crm, no answer in 34.2 ms"),
        ({"found": True, "cached": True}, "fetch person: GET crm, as found before, 2.0 KiB"),
    ],
)
def test_it_is_said_what_came_of_a_look_up(looked_up, said):
    known = {"name": "person", "destination": "crm", "method": "GET", "status": 200, "duration_ms": 34.2, "size": 2048}
    assert _lookup({**known, "found": False, "cached": False, "failed": False, **looked_up}) == said
