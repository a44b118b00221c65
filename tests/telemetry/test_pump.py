"""What cannot be sent is dropped, counted and said, and whoever hands it over never waits."""

import threading

from gateway import telemetry
from gateway.telemetry.pump import Pump
from tests.acceptance.harness import eventually


class Stuck:
    """Sends batches once it is told to go on."""

    def __init__(self):
        self.sent, self._is_stuck, self._goes_on = [], threading.Event(), threading.Event()

    def send(self, batch):
        self._is_stuck.set()
        self._goes_on.wait(20)
        self.sent.extend(batch)
        return ""

    def pump(self, **options):
        """A pump of which the first batch is stuck."""
        pump = Pump("traces", self.send, batch=1, gather_s=600, **options)
        pump.put(0)
        assert self._is_stuck.wait(20)
        return pump

    def go_on(self):
        self._goes_on.set()


def dropped():
    return telemetry.OTLP_DROPPED.labels("traces")._value.get()


def test_what_is_given_is_sent_in_order_and_in_batches(logged):
    sent = []
    pump = Pump("traces", lambda batch: sent.append(list(batch)) or "", batch=3, gather_s=600)
    for number in range(7):
        pump.put(number)
    pump.close(20)
    assert [each for batch in sent for each in batch] == list(range(7))
    assert max(len(batch) for batch in sent) <= 3
    assert logged == []


def test_a_batch_that_is_full_does_not_wait_for_the_next_round():
    sent = []
    pump = Pump("traces", lambda batch: sent.extend(batch) or "", batch=2, gather_s=600)
    pump.put(1)
    pump.put(2)
    eventually(lambda: sent == [1, 2], "both were sent")
    pump.close(20)


def test_one_that_is_alone_is_sent_after_a_while():
    sent = []
    pump = Pump("traces", lambda batch: sent.extend(batch) or "", gather_s=0.01)
    pump.put(1)
    eventually(lambda: sent == [1], "it was sent")
    pump.close(20)


def test_of_what_does_not_fit_the_oldest_is_dropped_and_counted_while_a_batch_is_stuck(logged):
    before, stuck = dropped(), Stuck()
    pump = stuck.pump(most=5)
    for number in range(1, 9):
        pump.put(number)
    assert dropped() - before == 3
    stuck.go_on()
    pump.close(20)
    assert dropped() - before == 3
    assert stuck.sent == [0, 4, 5, 6, 7, 8]


def test_the_end_waits_no_longer_than_it_may_and_says_what_was_left(logged):
    before, stuck = dropped(), Stuck()
    pump = stuck.pump()
    pump.put(1)
    pump.close(0.05)
    stuck.go_on()
    assert dropped() - before == 1
    assert logged == [("otlp.failed", {"signal": "traces", "reason": "1 were not sent before the process ended"})]
    pump.put(2)
    assert dropped() - before == 2


def test_a_failure_is_said_once_and_so_is_its_end(logged):
    before, answers = dropped(), iter(["it is away", ValueError("what"), "", ""])

    def send(batch):
        answered = next(answers)
        if isinstance(answered, Exception):
            raise answered
        return answered

    pump = Pump("traces", send, batch=1, gather_s=600)
    for number in range(4):
        pump.put(number)
    pump.close(20)
    assert dropped() - before == 2
    assert logged == [
        ("otlp.failed", {"signal": "traces", "reason": "it is away"}),
        ("otlp.recovered", {"signal": "traces", "dropped": 2}),
    ]


def test_of_totals_the_latest_is_sent_after_a_batch_was_stuck(logged):
    stuck = Stuck()
    pump = stuck.pump(most=1)
    for number in range(1, 4):
        pump.put(number)
    stuck.go_on()
    pump.close(20)
    assert stuck.sent == [0, 3]
