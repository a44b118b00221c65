"""The calls of the contract that cross the socket: what each takes and gives. And the errors that come back by name."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway import errors
from gateway.errors import GatewayError, StoreError
from gateway.model import Attempt, Delivery, Event, Secret
from gateway.store.activities import Activity, ActivityPage, Erasure, OpenErasure, Task
from gateway.store.awaiting import Expectation
from gateway.store.cluster import Replica, Roll, Session
from gateway.store.holds import Assigned, Hold, Terms
from gateway.store.logins import Login
from gateway.store.memory import Recalled, Subject
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Record, Retention, Want
from gateway.store.queries import (
    CandidatePage,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    LastError,
    Rejected,
    Stats,
    Survey,
)
from gateway.store.remote.frames import decoder


class Call(Struct, frozen=True):
    """A method of the contract."""

    #: Its arguments, those that are named last.
    takes: Any
    gives: Any
    named: tuple[str, ...] = ()


class State(Struct, frozen=True, array_like=True):
    """What the contract says of a store at any time without waiting, and when that was."""

    #: As ``Room``.
    room: tuple[int, int, int, str]
    healthy: bool
    trouble: str
    checked: float
    progress: tuple[int, int]
    #: On the monotonic clock, which all processes of a machine share.
    at: float = 0.0


#: By name; a dot leads to ``cluster``, ``secrets`` and ``expectations``. Bodies that are damaged cross as the text of their error.
CALLS: Final[Mapping[str, Call]] = MappingProxyType(
    {
        "append": Call(tuple[list[NewEvent], str], list[Appended], ("replica",)),
        "claim": Call(tuple[str, dict[str, Want]], list[Lease]),
        "load": Call(tuple[list[str]], dict[str, Event | str]),
        "gathered": Call(tuple[str], list[str]),
        "recall": Call(tuple[str, list[Subject]], Recalled),
        "settle": Call(tuple[list[Outcome]], frozenset[str]),
        "wake": Call(tuple[()], list[str]),
        "crashed": Call(tuple[str], Delivery | None),
        "hasten": Call(tuple[list[str]], int),
        "assigned": Call(tuple[str, dict[str, Terms]], Assigned),
        "release": Call(tuple[str, list[str]], None),
        "set_hold": Call(tuple[Hold], bool),
        "set_login": Call(tuple[Login], bool),
        "begin": Call(tuple[Task], Activity),
        "go_on": Call(tuple[str], bool),
        "stop": Call(tuple[str, str], Activity, ("by",)),
        "begin_erasure": Call(tuple[Erasure], Activity),
        "open_erasure": Call(tuple[str], OpenErasure | None),
        "forget": Call(tuple[OpenErasure, list[str], str, str], None, ("to", "replica")),
        "note": Call(tuple[Activity], None),
        "reject": Call(tuple[list[Rejected]], None),
        "prune": Call(tuple[Retention, int], int, ("limit",)),
        "unredacted": Call(tuple[str, int], tuple[dict[str, Event | str], str], ("after", "limit")),
        "redact": Call(tuple[dict[str, bytes]], int),
        "inspect": Call(tuple[()], bool),
        "cleanse": Call(tuple[dict[str, list[str]], int], bool, ("limit",)),
        "wipe": Call(tuple[()], bool),
        "index": Call(tuple[int], bool, ("limit",)),
        "events": Call(tuple[EventQuery], EventPage),
        "candidates": Call(tuple[EventQuery], CandidatePage),
        "survey": Call(tuple[str, str], Survey, ("after", "until")),
        "event": Call(tuple[str], EventHistory | None),
        "deliveries": Call(tuple[DeliveryQuery], DeliveryPage),
        "last_attempts": Call(tuple[list[str]], dict[str, Attempt]),
        "last_errors": Call(tuple[list[str]], dict[str, LastError]),
        "count": Call(tuple[DeliveryQuery], int),
        "waiting": Call(tuple[()], dict[tuple[str, str], int]),
        "memories": Call(tuple[()], dict[str, int]),
        "stats": Call(tuple[()], Stats),
        "rejected": Call(tuple[int], list[Rejected], ("limit",)),
        "activities": Call(tuple[int, str], ActivityPage, ("limit", "before")),
        "activity": Call(tuple[str], Activity | None),
        "holds": Call(tuple[()], list[Hold]),
        "records": Call(tuple[str, list[str]], dict[str, Record]),
        "remembered": Call(tuple[()], dict[str, int]),
        "logins": Call(tuple[()], list[Login]),
        "stored_time": Call(tuple[()], float),
        "backup": Call(tuple[str, bool], int, ("replaces",)),
        "check": Call(tuple[()], list[str]),
        "cluster.beat": Call(tuple[Replica], Roll),
        "cluster.ask_to_reload": Call(tuple[()], None),
        "cluster.begin_session": Call(tuple[bytes, str, float], None),
        "cluster.session": Call(tuple[bytes], Session | None),
        "cluster.end_session": Call(tuple[bytes], None),
        "expectations.overdue": Call(tuple[int], list[Expectation], ("limit",)),
        "expectations.lasting": Call(tuple[()], list[Expectation]),
        "expectations.open": Call(tuple[()], dict[str, int]),
        "expectations.add": Call(tuple[Expectation], bool),
        "expectations.remove": Call(tuple[list[Expectation]], None),
        "secrets.of": Call(tuple[str], tuple[Secret, ...]),
        "secrets.add": Call(tuple[str, Secret], None),
    }
)


@cache
def taking(name: str) -> msgspec.msgpack.Decoder[Any]:
    """Reads the arguments of a call. Raises KeyError for one that there is not."""
    return decoder(CALLS[name].takes)


@cache
def giving(name: str) -> msgspec.msgpack.Decoder[Any]:
    """Reads the answer to a call."""
    return decoder(CALLS[name].gives)


#: Those that are made of their message alone.
_ERRORS: Final[Mapping[str, type[GatewayError]]] = MappingProxyType(
    {
        name: each
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, GatewayError) and each.__init__ is Exception.__init__
    }
)


def said_of(error: Exception) -> tuple[str, str]:
    """An error as it crosses: its name and its message."""
    if isinstance(error, KeyError):
        return "KeyError", str(error.args[0]) if error.args else ""
    name = type(error).__name__
    if _ERRORS.get(name) is type(error):
        return name, str(error)
    return "StoreError", f"the process that has the store failed: {name}: {error}"


def error_of(name: str, message: str) -> Exception:
    """The error that has crossed."""
    if name == "KeyError":
        return KeyError(message)
    return _ERRORS.get(name, StoreError)(message)
