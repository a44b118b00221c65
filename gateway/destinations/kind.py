"""What every kind of destination is made of. Plain values, no I/O."""

import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Final
from urllib.parse import unquote

from msgspec import DecodeError, Struct, field, json
from msgspec.structs import replace

from gateway.destinations.answers import answer_of, hinted, quoted, retry_after
from gateway.destinations.escapes import Escaper, no_escape
from gateway.destinations.fields import Fields
from gateway.destinations.previews import Message, Part, text
from gateway.destinations.target import Parts, Target
from gateway.errors import BuildError
from gateway.event.forms import pairs
from gateway.event.paths import lookup
from gateway.hiding.addresses import after_host, secrets_of
from gateway.model import Delivered, Event, OutboundRequest, Reply, Retry, Text, Verdict

#: What a request is made from to see where its kind puts the parts of an address.
_PROBE: Final = Parts(
    event=Event(id="", source="", type="", received_at=0.0, headers={}, body=b"{}", sha256=b""),
    delivery_id="",
    content=Text("?"),
)


class Option(Struct, frozen=True, kw_only=True):
    """A key in routes.yaml that only one kind has: a text, which may be a template of the event."""

    #: One line for people.
    about: str
    required: bool = False
    #: How values of an event are escaped in it.
    escape: Escaper = no_escape
    #: What it has to be where it is written out, a regular expression for all of it: ``[1-5]``, ``low|high``. Empty: any
    #: text. ``about`` then says what that is.
    pattern: str = ""
    #: What stands in for a variable that is not set, where not any text would do.
    example: str = ""
    #: Whether it opens something: a value of it that is written in the file is shown nowhere.
    is_secret: bool = False
    #: Whether it can be a list; ``build`` gets its values with commas between them.
    many: bool = False


class Kind(Struct, frozen=True, kw_only=True):
    """One type of destination, with everything that depends on the type.

    The defaults are the safe ones: an HTTP API whose address is a secret, and whose name may resolve to any address.
    """

    # --- what it is called ---

    #: Its ``type`` in routes.yaml.
    name: str
    #: What people call it: ``Google Chat``.
    title: str
    #: What a destination of it needs in routes.yaml, and what becomes of an entry's text, for the table of all types.
    needs: str
    sends: str

    # --- what can be written about it ---

    #: Of the keys that not every type has, those that it has.
    keys: frozenset[str] = frozenset({"url", "headers"})
    options: Mapping[str, Option] = field(default_factory=dict)
    #: Whether an entry's method, path and query mean something to it.
    shapes_request: bool = False
    #: Whether an entry has to say something: a text, body or template. Otherwise it can send the exact bytes received.
    needs_text: bool = False

    # --- its address ---

    #: Whether the path of its url may be shown. Otherwise everything after the host is a secret and serves as a login.
    is_path_public: bool = False
    #: What comes before the secret in its addresses, wherever they turn up: ``hooks.slack.com/``.
    secret_after: tuple[str, ...] = ()
    #: The hosts of its vendor, and what is below them: ``slack.com``. Empty: everybody has their own.
    hosts: tuple[str, ...] = ()
    #: Whether it is a service on the internet: its name must not resolve to a private address.
    is_hosted: bool = False
    #: The most deliveries that one destination accepts, unless routes.yaml says otherwise: ``1/s``. None: no limit.
    rate: str | None = None
    #: The vendor's page about that, or about how it answers those who are too fast.
    rate_page: str = ""

    # --- the request ---

    #: Whether it sends e-mail over SMTP, and no HTTP.
    is_mail: bool = False
    #: Whether its requests are forms instead of JSON.
    sends_form: bool = False
    #: Where the JSON or the form of a request has the text of an entry.
    text_at: tuple[str, ...] = ("text",)
    #: Fields of its messages of which each has to have one. Empty: none, or it is not known.
    contents: tuple[str, ...] = ()
    #: Characters of a value that its messages can show: it is cut to them before it is escaped. None: it is not cut.
    longest: int | None = None
    #: How values of an event are escaped in its texts. Templates recognize a kind with ``fields`` by its escape, so each of
    #: those has one of its own.
    escape: Escaper = no_escape
    #: Which of the fields of its messages has which markup. None: they are read by programs.
    fields: Fields | None = None
    #: Where angle brackets in a text are markup: what to write instead of a value inside them. Empty: they are not.
    instead_of_markup: str = ""
    #: Raises BuildError, and nothing else.
    build: Callable[[Target, Parts], OutboundRequest]

    # --- the answer ---

    #: What an answer means according to the kind's documentation. Total.
    read: Callable[[Target, Reply], Verdict]
    #: The HTTP status that an answer amounts to, where it is not its own: an error inside a 2xx, a refused login inside a 400,
    #: an answer of a mail server. Total.
    status_of: Callable[[Reply], int] = attrgetter("status")
    #: Path in the JSON of its answers to the seconds to wait.
    hint: tuple[str, ...] = ()

    # --- how people see it ---

    #: The parts of a message for the console, from the JSON of a request. None: its text, if it needs one.
    preview: Callable[[Message], Iterator[Part]] | None = None
    #: Fields that only its messages have, to recognize one whose destination is unknown.
    marks: tuple[str, ...] = ()

    @property
    def has_url(self) -> bool:
        return "url" in self.keys

    def secrets_of(self, url: str) -> tuple[str, ...]:
        """The texts of an address that must not be shown, wherever they turn up."""
        return secrets_of(url, is_path_public=self.is_path_public)

    def moved(self, url: str) -> tuple[str, ...]:
        """The parts of an address that its requests have in their body, where even a word must be hidden: a topic, say."""
        here, elsewhere = self._probed(url), self._probed(url.partition("://")[0] + "://elsewhere.example/")
        parts = re.split(r"[/?&=:]", after_host(url))
        return tuple(part for part in parts if unquote(part) in here - elsewhere)

    def _probed(self, url: str) -> frozenset[str]:
        """The texts in the body of some request to an address; none if it cannot be made, or is no JSON."""
        options = {name: "7" for name, option in self.options.items() if option.required}
        try:
            return frozenset(_texts(json.decode(self.build(Target(url=url, options=options), _PROBE).sent)))
        except (BuildError, DecodeError):
            return frozenset()

    def previewed(self, message: Message) -> Iterator[Part]:
        """The parts of a message as its readers see it; none if people do not read it, or it has no text."""
        if self.preview is not None:
            return self.preview(message)
        return text(lookup(message, self.text_at)) if self.needs_text else iter(())

    def message_in(self, body: bytes) -> Message:
        """The fields of a message that is a form; empty for any other. Total."""
        try:
            return dict(pairs(body)) if self.sends_form else {}
        except ValueError:
            return {}

    def request(self, target: Target, parts: Parts) -> OutboundRequest:
        """The request for one event. Raises BuildError."""
        target = target.with_options(parts.options)
        for name in parts.options:
            if self.options[name].required and name not in target.options:
                raise BuildError(f"{name} is empty for this event: correct its template, or give it a default")
        return self.build(target, parts)

    def judge(self, target: Target, reply: Reply, now: float) -> Verdict:
        """What an answer means: by the operator's rules of success first, then by the kind. Total.

        The answer of an inbox means that it was delivered. ``now`` is the wall clock, seconds since the epoch.
        """
        if target.is_inbox:
            return Delivered()
        if target.success is not None and target.success(answer_of(reply)):
            return Delivered()
        verdict = self.read(target, reply)
        if isinstance(verdict, Delivered) and target.success is not None:
            verdict = Retry(f"answered {reply.status}, but no rule of success matched{quoted(reply)}")
        if isinstance(verdict, Retry):
            hints = (hinted(reply.body, path) for path in (target.hint, self.hint) if path)
            return replace(verdict, after_s=max(retry_after(reply.headers, now), *hints, 0.0))
        return verdict


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            yield from (text for each in value for text in _texts(each))
        case dict():
            yield from (text for each in value.values() for text in _texts(each))
