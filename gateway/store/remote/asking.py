"""Asking the process that has the store: calls that wait for their answer, and what becomes of those nobody waits for."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.errors import StoreError, StoreUnavailable
from gateway.model import Release
from gateway.store.nouns import Lease, Outcome
from gateway.store.remote.calls import State, error_of, giving
from gateway.store.remote.frames import Message, decoder, packed
from gateway.store.remote.link import Link

#: Not calls: who this process is, how the store is, what else the other process tells, and a call nobody waits for.
HELLO: Final = "hello"
STATE: Final = "state"
TELL: Final = "tell"
CANCEL: Final = "cancel"
#: Answers that grant leases: the call is carried out even if its caller has gone.
GRANTING: Final = ("append", "claim")

_NOTHING: Final = packed(())
_hello: Final = decoder(tuple[str, str])
_state: Final = decoder(State)
_told: Final = decoder(tuple[str, bytes])
_message_of_error: Final = decoder(str)


class Waiting(Struct, frozen=True):
    """A call on its way."""

    name: str
    future: "asyncio.Future[Any]"


class Asking:
    """The connection of one process to the one that has the store. Methods belong to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = Link(self._received, self._lose)
        self._calls: dict[int, Waiting] = {}
        self._numbers = count(1)
        self._is_closing = False
        self._told: Callable[[str, bytes], None] = _ignored
        #: The name of this process among the replicas, and that of the store.
        self.hello: asyncio.Future[tuple[str, str]] = self._loop.create_future()
        self.state = State((0, 0, 0, ""), healthy=False, trouble="", checked=0.0, progress=(0, 0))
        #: Why nothing will be answered any more; done once that is so.
        self.ended: asyncio.Future[str] = self._loop.create_future()

    async def begin(self, sock: socket.socket) -> tuple[str, str]:
        """Connect over a socket that leads to the other process; waits until that one has the store.

        Raises StoreUnavailable.
        """
        await self._loop.create_connection(lambda: self._link, sock=sock)
        return await self.hello

    def hear(self, told: Callable[[str, bytes], None]) -> None:
        """Have ``told`` get whatever the other process tells."""
        self._told = told

    def tell(self, word: str, what: bytes) -> None:
        """Tell the other process something that is not about the store."""
        self._link.send((0, TELL, packed((word, what))))

    @property
    def refusal(self) -> StoreUnavailable | None:
        """Why nothing is asked now."""
        if self._is_closing:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        return StoreUnavailable(self.ended.result()) if self.ended.done() else None

    def begin_call(self, name: str, *values: object) -> "asyncio.Future[Any]":
        """Ask. Never raises: errors come with the future. To stop waiting, cancel it."""
        future = self._loop.create_future()
        if refusal := self.refusal:
            future.set_exception(refusal)
            return future
        number = next(self._numbers)
        try:
            message = packed(values)
        except Exception as error:  # noqa: BLE001  too long, or not a value of MessagePack: only the caller's future fails
            future.set_exception(StoreError(f"the store cannot be asked: {error}"))
            return future
        self._calls[number] = Waiting(name, future)
        self._link.send((number, name, message))
        if name not in GRANTING:
            future.add_done_callback(partial(self._let_go, number))
        return future

    async def call(self, name: str, *values: object) -> Any:
        """Ask, and wait for the answer."""
        future = self.begin_call(name, *values)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                # It was answered just before its caller went away.
                self._give_back(name, future.result())
            raise

    async def close(self) -> None:
        """Wait for the answers to what was asked, but not to what waits for something to happen; then end."""
        self._is_closing = True
        if left := [each.future for each in self._calls.values() if each.name != "wake" and not each.future.done()]:
            await asyncio.wait(left)
        self._link.close()
        await asyncio.shield(self.ended)

    # what comes

    def _received(self, messages: Sequence[Message]) -> None:
        for number, word, value in messages:
            if number:
                self._answered(number, word, value)
            elif word == STATE:
                self.state = _state.decode(value)
            elif word == HELLO and not self.hello.done():
                self.hello.set_result(_hello.decode(value))
            elif word == TELL:
                self._told(*_told.decode(value))

    def _answered(self, number: int, error: str, value: Raw) -> None:
        waiting = self._calls.pop(number, None)
        if waiting is None:
            return
        answer: Any = None
        failed: Exception | None = None
        try:
            if error:
                failed = error_of(error, _message_of_error.decode(value))
            else:
                answer = self._in_time(waiting.name, giving(waiting.name).decode(value))
        except msgspec.MsgspecError as broken:
            failed = StoreError(f"the answer to {waiting.name} cannot be read: {broken}")
        if waiting.future.done():
            self._give_back(waiting.name, answer)
        elif failed is not None:
            waiting.future.set_exception(failed)
        else:
            waiting.future.set_result(answer)

    def _in_time(self, name: str, answer: Any) -> Any:
        """An answer without the leases that have ended before it was read: this process may have stood still."""
        if name not in GRANTING:
            return answer
        late_s = monotonic() - self.state.at
        if late_s < 1.0:
            return answer
        if name == "claim":
            return _lasting(answer, late_s)
        return [replace(each, leases=_lasting(each.leases, late_s)) for each in answer]

    def _lose(self, why: str) -> None:
        said = why if self._is_closing else f"the process that has the store has ended ({why}): it is started again"
        if not self.ended.done():
            self.ended.set_result(said)
        calls, self._calls = self._calls, {}
        waiting: list[asyncio.Future[Any]] = [each.future for each in calls.values()]
        for future in [*waiting, self.hello]:
            if not future.done():
                future.set_exception(StoreUnavailable(said))
                # Nobody may be waiting for it.
                future.exception()

    # what nobody waits for

    def _let_go(self, number: int, future: "asyncio.Future[Any]") -> None:
        """The caller may have gone. Of what grants leases the answer is awaited all the same, to give them back."""
        if future.cancelled() and self._calls.pop(number, None) is not None:
            self._link.send((number, CANCEL, _NOTHING))

    def _give_back(self, name: str, answer: Any) -> None:
        leases: Sequence[Lease] = ()
        if name == "claim":
            leases = answer or ()
        elif name == "append":
            leases = [lease for appended in answer or () for lease in appended.leases]
        if leases and self.refusal is None:
            released = self.begin_call("settle", [Outcome(lease, Release()) for lease in leases])
            # Should the store refuse, the leases expire.
            released.add_done_callback(lambda future: future.exception())


def _lasting(leases: Sequence[Lease], late_s: float) -> tuple[Lease, ...]:
    return tuple(each for each in leases if each.expires > late_s)


def _ignored(_word: str, _what: bytes) -> None:
    """Nobody wants to know."""
