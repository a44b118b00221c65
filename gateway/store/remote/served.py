"""The other end of a worker's socket: its calls are carried out on the store that this process has."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from gateway.errors import StoreUnavailable
from gateway.store.base import Store
from gateway.store.queries import Unredacted
from gateway.store.remote.asking import CANCEL, HELLO, STATE, TELL
from gateway.store.remote.calls import CALLS, State, said_of, taking
from gateway.store.remote.frames import Message, TooLong, decoder, packed
from gateway.store.remote.link import Link

if TYPE_CHECKING:
    from gateway.store.sqlite.shared import SharedFile

#: Seconds between two looks whether the store is as it was last told to be.
LOOK_S: Final = 0.5
_told: Final = decoder(tuple[str, bytes])


class Served:
    """One worker, as the process that has the store sees it. Methods belong to the event loop."""

    def __init__(
        self, store: Store, sharing: "SharedFile | None", me: str, told: Callable[[str, str, bytes], None]
    ) -> None:
        """``sharing``: the same store, if the worker has none of its own.

        ``me``: its name among the replicas, never one that another had. ``told`` gets its name and what it tells.
        """
        self.me = me
        self._store = store
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._link = Link(self._received, self._lose, self._first)
        self._sharing = sharing
        self._hints = sharing.join() if sharing is not None else None
        #: Calls that are being carried out, by number.
        self._calls: dict[int, asyncio.Future[Any]] = {}
        #: The names under which it has asked for leases and assignments.
        self._names = {me}
        self._state: State | None = None
        self._looking: asyncio.TimerHandle | None = None
        #: Done once it has ended and everything it had is given back.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._leaving: asyncio.Task[None] | None = None

    async def begin(self, sock: socket.socket) -> None:
        """Serve what comes over a socket."""
        self._link.send((0, HELLO, packed((self.me, self._store.name))))
        await self._loop.create_connection(lambda: self._link, sock=sock)
        self._look()

    def tell(self, word: str, what: bytes = b"") -> None:
        """Tell the worker something, unless it does not listen: then it would wait for ever."""
        if not self._link.is_full:
            self._link.send((0, TELL, packed((word, what))))

    def abort(self) -> None:
        """End the connection at once."""
        self._link.abort("the gateway is stopping")

    # the state that needs no asking

    def _present(self) -> State:
        store = self._store
        room = store.room
        said = (room.pending, room.free_bytes, room.disk_bytes, room.damage)
        return State(said, store.healthy, store.trouble, store.checked, store.progress)

    def _first(self) -> Sequence[Message]:
        """What every frame begins with."""
        self._state = self._present()
        said = msgspec.structs.replace(self._state, at=time.monotonic())
        return [(0, STATE, packed(said))]

    def _look(self) -> None:
        """Have the state told if it is another one."""
        self._looking = self._loop.call_later(LOOK_S, self._look)
        if self._present() != self._state and not self._link.is_full:
            # Every frame begins with it.
            self._link.send((0, TELL, packed(("", b""))))

    # calls

    def _received(self, messages: Sequence[Message]) -> None:
        for number, name, value in messages:
            if name == CANCEL:
                if (call := self._calls.get(number)) is not None:
                    call.cancel()
            elif name == TELL:
                self._told(self.me, *_told.decode(value))
            else:
                self._call(number, name, value)

    def _call(self, number: int, name: str, value: Raw) -> None:
        try:
            arguments = taking(name).decode(value)
        except (msgspec.MsgspecError, KeyError) as error:
            self._fail(number, StoreUnavailable(f"{name} was not understood: {error}"))
            return
        # Some are futures already: what happens most often takes no task.
        call = asyncio.ensure_future(self._begun(name, arguments), loop=self._loop)
        self._calls[number] = call
        call.add_done_callback(partial(self._done, number, name))

    def _begun(self, name: str, arguments: Sequence[Any]) -> Awaitable[Any]:
        if name == "wake":
            return self._wake()
        if name in ("claim", "assigned"):
            self._names.add(arguments[0])
        elif name == "append":
            self._names.add(arguments[1])
        named = CALLS[name].named
        at = len(arguments) - len(named)
        method = attrgetter(name)(self._store)
        begun: Awaitable[Any] = method(*arguments[:at], **dict(zip(named, arguments[at:], strict=True)))
        return begun

    async def _wake(self) -> Collection[str]:
        assert self._hints is not None
        return list(await self._hints.wake())

    def _done(self, number: int, name: str, call: "asyncio.Future[Any]") -> None:
        self._calls.pop(number, None)
        if call.cancelled():
            return
        if (error := call.exception()) is not None:
            self._fail(number, error)
            return
        answer = call.result()
        try:
            self._link.send((number, "", packed(_plain(answer))))
        except TooLong as error:
            self._fail(number, StoreUnavailable(f"the answer to {name} is too long: {error}"))

    def _fail(self, number: int, error: BaseException) -> None:
        name, message = said_of(error) if isinstance(error, Exception) else ("StoreError", repr(error))
        self._link.send((number, name, packed(message)))

    # the end

    def _lose(self, _why: str) -> None:
        if self._looking is not None:
            self._looking.cancel()
        for call in list(self._calls.values()):
            # What it appended is appended; the leases are given back.
            call.cancel()
        self._leaving = self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        try:
            if self._sharing is not None and self._hints is not None:
                await self._sharing.leave(self._names, self._hints)
        finally:
            self.ended.set_result(None)


def _plain(answer: Any) -> Any:
    """An answer that has a word in MessagePack."""
    return (answer.events, answer.next) if isinstance(answer, Unredacted) else answer
