"""A pipe that nobody reads stops nothing."""

import os

from gateway.telemetry.output import LinePump


def test_a_full_pipe_drops_lines_and_blocks_nobody():
    reading, writing = os.pipe()
    dropped = []
    pump = LinePump(writing, dropped.append)
    for _ in range(30_000):
        pump.put(b"x" * 200)
    assert dropped
    os.close(reading)
    pump.flush(20)


def test_a_closed_pipe_drops_what_was_meant_for_it():
    reading, writing = os.pipe()
    os.close(reading)
    dropped = []
    pump = LinePump(writing, dropped.append)
    pump.put(b"one")
    pump.put(b"two")
    pump.flush(20)
    assert sum(dropped) == 2


def test_lines_are_whole_and_in_order():
    reading, writing = os.pipe()
    pump = LinePump(writing, lambda _: None)
    for number in range(1000):
        pump.put(b"%d" % number)
    pump.flush(20)
    assert os.read(reading, 65536).split() == [b"%d" % number for number in range(1000)]
