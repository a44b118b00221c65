"""The tests of a routes.yaml, compiled: an event and what is expected of it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from gateway.errors import Place


class Plain(Struct, frozen=True):
    """A literal value without templates, possibly null."""

    value: object


class Check(Struct, frozen=True, kw_only=True):
    """What is expected of one delivery; None and empty expect nothing."""

    place: Place
    destination: str
    #: None: any route.
    route: str | None = None
    #: Whether the body must be the exact bytes received.
    verbatim: bool = False
    method: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: A Plain, because null is a value.
    json: Plain | None = None
    json_contains: Plain | None = None
    text: str | None = None
    contains: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = ()
    #: Number of deliveries to the destination.
    count: int | None = None


class Test(Struct, frozen=True, kw_only=True):
    """One of ``tests``. Exactly one of ``event``, ``file`` and ``payload`` is set."""

    #: Keeps pytest from collecting it.
    __test__ = False

    name: str
    place: Place
    source: str
    #: A sample of the source's preset.
    event: str | None = None
    #: Relative to the folder of the configuration.
    file: str | None = None
    payload: Plain | None = None
    #: By path: ``attrs.type``, ``payload.data.id``.
    set: Mapping[str, object] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    #: The fields of the request's query.
    query: Mapping[str, str] = field(default_factory=dict)
    #: ``deliveries``: exactly those of ``checks``; ``failed``: one becomes dead with ``reason``.
    outcome: Literal["deliveries", "ignored", "rejected", "failed"] = "deliveries"
    checks: tuple[Check, ...] = ()
    reason: str = ""
