"""How far a replay has come, in words."""

from gateway.cli.activity import outcome


def test_what_was_taken_back_before_it_was_tried_is_not_sent():
    progress = {"total": 30, "moved": 20, "pending": 0, "delivered": 5, "dead": 1, "not_sent": 14, "stopped_by": "ann"}
    assert (
        outcome({"verb": "replay", "progress": progress})
        == "5 delivered, 1 dead, 14 not sent, 10 not reached, stopped by ann"
    )
