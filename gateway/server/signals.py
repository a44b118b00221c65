"""SIGTERM and SIGINT: the first one drains, the second one exits at once."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

_STOPS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stops_on_signal(stop: asyncio.Event, draining: Callable[[], None], *, is_child: bool = False) -> Iterator[None]:
    """Set ``stop`` and call ``draining`` at the first signal; only a process's main thread receives signals.

    ``is_child``: the second one does nothing. It may be the first one again, sent to all processes by systemd and by the
    supervisor, which ends those that take too long.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal() -> None:
        if stop.is_set():
            if is_child:
                return
            os._exit(1)  # at once, even if something hangs: acknowledged events are on disk
        stop.set()
        draining()

    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)
