"""How far a replay has come, in words."""

import pytest

from gateway.cli.activity import outcome
from gateway.console import story
from gateway.operate.outcomes import deed
from tests.console import given as g


@pytest.mark.parametrize(
    ("verb", "subject", "said", "icon", "marked"),
    [
        ("reload", "9f2c01ab: 1 route changed (new-lead)", "reload", "duplicate", "reload by sam"),
        ("reload", "refused: 2 problems", "reload refused", "dead", "reload by sam (refused)"),
        ("pause", "refused: by name", "pause", "paused", "pause by sam"),
    ],
)
def test_a_reload_that_was_refused_says_so_wherever_it_is_named(verb, subject, said, icon, marked):
    done = g.an_activity(verb=verb, subject=subject, by="sam", at=g.NOW, progress=None)
    assert (deed(done), story.deed_icon(done)) == (said, icon)
    assert [each["words"] for each in story.marks([done], g.NOW, subject)] == [marked]


def test_what_was_taken_back_before_it_was_tried_is_not_sent():
    progress = {"total": 30, "moved": 20, "pending": 0, "delivered": 5, "dead": 1, "not_sent": 14, "stopped_by": "ann"}
    assert (
        outcome({"verb": "replay", "progress": progress})
        == "5 delivered, 1 dead, 14 not sent, 10 not reached, stopped by ann"
    )
