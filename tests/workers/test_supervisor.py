"""When the supervisor starts a child again."""

import pytest

from gateway.workers import supervisor
from gateway.workers.supervisor import LONGEST_PAUSE_S, STABLE_S, Supervisor


class Ended:
    """A process that has ended."""

    pid, returncode = 4711, -9


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(supervisor.time, "monotonic", lambda: Clock.now)
    return Clock


def pauses(clock, lived):
    """The pause after each life of one worker, by how long that life was."""
    watched = Supervisor(lambda *_: pytest.fail("nothing is started here"), 1, ())
    [worker] = watched._workers
    found = []
    for lived_s in lived:
        worker.popen, worker.began = Ended(), clock.now
        clock.now += lived_s
        assert watched._ended(worker) == -9
        found.append(worker.again_at - clock.now)
    return found


def test_a_child_that_ends_again_and_again_is_started_after_growing_pauses_up_to_the_longest(clock):
    found = pauses(clock, [1.0] * 9)
    assert found[:4] == [0.0, 0.5, 1.0, 2.0]
    assert found[-2:] == [LONGEST_PAUSE_S] * 2


def test_a_child_that_has_lived_for_a_while_is_started_at_once_whatever_was_before(clock):
    assert pauses(clock, [1.0, 1.0, 1.0, STABLE_S, 1.0, 1.0]) == [0.0, 0.5, 1.0, 0.0, 0.0, 0.5]
