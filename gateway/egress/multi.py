"""libcurl's multi handle on the running loop, by its socket interface (``curl_multi_socket_action``).

The sockets are in an epoll set of their own, of which the loop knows one descriptor. So a connection that is used again costs
the loop nothing, where ``add_reader`` and ``remove_reader`` cost several system calls for each request; and while it is
idle, its set tells when the other side closes it.
"""

import asyncio
import os
import select
import socket
import time
from contextlib import suppress
from typing import Final

import pycurl

_ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_READS: Final = select.EPOLLIN | select.EPOLLRDHUP
#: By libcurl's CURL_POLL_NONE, IN, OUT and INOUT.
_MASKS: Final = (0, _READS, select.EPOLLOUT, _READS | select.EPOLLOUT)


class Multi:
    """Carries out transfers; belongs to the loop that is running."""

    def __init__(self, *, most_idle: int, may_be_http2: bool) -> None:
        self._loop = asyncio.get_running_loop()
        #: Whether data on an idle connection may be a frame that the other side may send at any time.
        self._may_be_http2 = may_be_http2
        self._running: dict[pycurl.Curl, asyncio.Future[None]] = {}
        self._epoll = select.epoll()
        #: What the set reports of each descriptor, and those that a transfer waits for. The others are idle.
        self._masks: dict[int, int] = {}
        self._busy: set[int] = set()
        #: When libcurl wants to be called (monotonic clock, seconds), and the loop's timer, which may fire earlier.
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        #: Transfers were given since the loop's last turn. They begin together: 32 at a time that costs a third less.
        self._is_beginning = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, most_idle)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._wake_in)
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    async def carry_out(self, curl: pycurl.Curl) -> None:
        """Carry out the transfer of a handle. Raises pycurl.error. Whoever gives it up closes its connection at once."""
        done = self._running[curl] = self._loop.create_future()
        try:
            self._multi.add_handle(curl)
            if not self._is_beginning:
                self._is_beginning = True
                self._loop.call_soon(self._begin)
            await done
        finally:
            # Unless it has ended: then this is done already.
            if self._running.pop(curl, None) is not None:
                self._multi.remove_handle(curl)
                self._set_timer()

    def made(self, descriptor: int) -> None:
        """A socket was made: whatever had its number is closed."""
        self._masks.pop(descriptor, None)
        self._busy.discard(descriptor)

    def close(self) -> None:
        """Close every connection; what is being carried out is cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        for curl, done in list(self._running.items()):
            self._multi.remove_handle(curl)
            done.cancel()
        self._running.clear()
        self._multi.close()
        self._epoll.close()

    # called by the loop

    def _ready(self) -> None:
        events = self._epoll.poll(0)
        # Idle ones first: a transfer may close them, and their numbers go to others.
        for descriptor, mask in events:
            if descriptor not in self._busy:
                self._heard(descriptor, mask)
        for descriptor, mask in events:
            if descriptor in self._busy:
                self._act(descriptor, _selected(mask))

    def _heard(self, descriptor: int, mask: int) -> None:
        """Something came on an idle connection: its end, or an answer to nothing (RFC 9112, 9.2)."""
        self._masks.pop(descriptor, None)
        with suppress(OSError):
            self._epoll.unregister(descriptor)
            if mask & _ENDED or not self._may_be_http2:
                # It is libcurl's to close, with the next request. Until then it does not keep the other side waiting.
                with socket.socket(fileno=os.dup(descriptor)) as copy:
                    copy.shutdown(socket.SHUT_RDWR)

    def _begin(self) -> None:
        self._is_beginning = False
        if not self._multi.closed:
            self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _fire(self) -> None:
        self._timer = None
        if self._due is not None and self._due <= time.monotonic():
            self._act(pycurl.SOCKET_TIMEOUT, 0)
        else:
            self._set_timer()

    # calls libcurl

    def _act(self, descriptor: int, selected: int) -> None:
        try:
            self._multi.socket_action(descriptor, selected)
        except pycurl.error:
            for curl in list(self._running):
                self._end(curl, pycurl.error(pycurl.E_OUT_OF_MEMORY, ""))
        _, ended, failed = self._multi.info_read()
        for curl in ended:
            self._end(curl)
        for curl, code, said in failed:
            self._end(curl, pycurl.error(code, said))
        self._set_timer()

    def _end(self, curl: pycurl.Curl, error: pycurl.error | None = None) -> None:
        done = self._running.pop(curl, None)
        if done is None:
            return
        self._multi.remove_handle(curl)
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def _set_timer(self) -> None:
        """See to it that the loop calls in time. It may call too early: most timers are taken back long before."""
        if self._due is None or (self._timer is not None and self._timer_at <= self._due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._due
        self._timer = self._loop.call_later(max(self._due - time.monotonic(), 0), self._fire)

    # called by libcurl, which must not be called from there

    def _watch(self, what: int, descriptor: int, _multi: pycurl.CurlMulti, _assigned: object) -> None:
        before = self._masks.get(descriptor)
        if what == pycurl.POLL_REMOVE:
            self._busy.discard(descriptor)
            mask = _READS if before is not None else None
        else:
            self._busy.add(descriptor)
            mask = _MASKS[what]
        if mask is None or mask == before:
            return
        self._masks[descriptor] = mask
        if before is None:
            self._epoll.register(descriptor, mask)
        else:
            self._epoll.modify(descriptor, mask)

    def _wake_in(self, timeout_ms: int) -> None:
        self._due = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000


def _selected(mask: int) -> int:
    """An event of epoll in libcurl's words; after an error both directions know."""
    reads = pycurl.CSELECT_IN if mask & ~select.EPOLLOUT else 0
    writes = pycurl.CSELECT_OUT if mask & (select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR) else 0
    return int(reads | writes)
