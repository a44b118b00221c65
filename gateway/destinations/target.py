"""What a kind makes a request from: the settings of a destination, and what an entry rendered for one event."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from gateway import __version__
from gateway.model import Content, Event

Pairs = tuple[tuple[str, str], ...]

#: Stands for the value of a body that is not JSON: null is a value.
NO_JSON: Final = object()
NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


class Answer(Struct, frozen=True):
    """What rules of ``success`` look at."""

    status: int
    text: str
    #: Its body as JSON, or NO_JSON.
    json: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The compiled settings of one destination in routes.yaml. Its repr hides whatever can hold a secret."""

    #: Empty for a file; scheme and host are the operator's literal words.
    url: str = field(default="", repr=False)
    #: The file's path; empty for all others.
    path: str = ""
    method: str | None = None
    headers: Pairs = field(default=(), repr=False)
    #: A header that no entry can replace: ``("authorization", "Bearer ...")``.
    auth: tuple[str, str] | None = field(default=None, repr=False)
    #: What requests name as their host and their user agent; empty: the url's, and the gateway's.
    host: str = ""
    user_agent: str = ""
    #: Where the login comes from, in words: ``auth.bearer is ${CRM_TOKEN}, which is read at start``.
    login: str = ""
    #: The options of its kind: ``{"channel": "#leads"}``. ``build`` gets them rendered for the event.
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)
    #: Whether an answer counts as success by the operator's rules; None: the kind decides.
    success: Callable[[Answer], bool] | None = None
    #: Path in the JSON of an answer to the seconds to wait.
    hint: tuple[str, ...] = ()
    #: Sent with every request, by lower-case name: ``headers``, ``auth`` and the gateway's own.
    fixed_headers: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fixed = {name.lower(): value for name, value in (*self.headers, *([self.auth] if self.auth else []))}
        fixed |= {"user-agent": self.user_agent or f"gateway/{__version__}", "accept-encoding": "identity"}
        fixed |= {"host": self.host} if self.host else {}
        object.__setattr__(self, "fixed_headers", MappingProxyType(fixed))

    @property
    def is_inbox(self) -> bool:
        """Whether ``gateway dev`` records its requests instead of sending them."""
        return self.url.startswith("inbox:")

    def with_options(self, rendered: Mapping[str, str]) -> "Target":
        """The settings for one event. An option that is rendered empty is left out."""
        if not rendered:
            return self
        options = {name: text for name, text in {**self.options, **rendered}.items() if text}
        return replace(self, options=MappingProxyType(options))


class Parts(Struct, frozen=True, kw_only=True):
    """What an entry of routes.yaml rendered for one event. Its repr hides what can hold a secret."""

    event: Event
    delivery_id: str
    method: str | None = None
    #: Percent-encoded; with or without a leading slash.
    path: str = ""
    #: Names as written, values percent-encoded.
    query: Pairs = ()
    headers: Pairs = ()
    #: None: the exact bytes received.
    content: Content | None = None
    #: Headers that travel with the exact bytes: those that the source signs or names events by.
    verbatim_headers: Pairs = ()
    #: The options of the destination that are templates.
    options: Mapping[str, str] = NO_OPTIONS

    def __repr__(self) -> str:
        return f"Parts(delivery_id={self.delivery_id!r}, method={self.method!r})"
