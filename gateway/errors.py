"""The one error tree: the class says whose fault it is and what follows.

Errors that several rooms raise or handle are defined here. The others are defined in the room that raises them, named
in parentheses. The command line exits with 1 after an error unless the drawing says otherwise.

::

    GatewayError
    ├── ConfigError                the operator's file; carries every Problem
    ├── TemplateRefused            a template that does not compile; carries its Problem
    ├── RequestRefused             the sender's request; carries the HTTP status of the answer
    │   ├── UnknownSource          404
    │   ├── MethodRefused          405
    │   ├── BodyTooLarge           413
    │   ├── EncodingRefused        415
    │   ├── SignatureRefused       401; the reason goes to our log, never to the sender
    │   ├── Unparsable             400
    │   └── NoRoom                 503 + Retry-After: the bodies in memory take all the room there is
    ├── KeysUnavailable            503: the keys that a sender signs with could not be fetched
    ├── BuildError                 no request can be built for this delivery: dead, replayable
    │   ├── NameGone               its route, destination or source is no longer in routes.yaml
    │   ├── RenderError            a template failed; carries file:line
    │   └── CorruptEvent           the stored body does not match its checksum
    ├── EgressError                no usable answer came: the attempt is retried
    │   ├── AddressBlocked         destinations may not use this address: dead, replayable
    │   ├── ConnectFailed          no connection
    │   │   ├── NameNotResolved    (egress) DNS
    │   │   └── TLSFailed          an untrusted certificate, or no common version or cipher
    │   ├── TimedOut               the attempt's total deadline passed
    │   ├── AnswerBroken           the connection broke, or the answer was not HTTP
    │   └── FileFailed             (egress) the disk refused the line
    ├── NoToken                    no access token could be had: nothing was sent, and the delivery waits
    │   ├── TokenUnavailable       the authorization server is in trouble or refuses the client: the circuit's business
    │   ├── TokenAwaited           another replica renews the login, or the store cannot: soon again
    │   └── NotLoggedIn            a person has to log in: the destination is paused
    ├── NothingChosen              no element of its route's choose holds: discarded by the file
    ├── Poisonous                  the process died too often while working on this delivery: dead
    ├── TooOld                     past the destination's retry.max_age: dead, replayable
    ├── StoreError                 503
    │   ├── StoreUnavailable       503 + Retry-After: nothing was made durable
    │   │   └── StoreFull          there is no room for new events; those stored are sent
    │   ├── StoreLocked            another process owns the store; names it
    │   ├── StoreCorrupt           refused at start, never repaired silently
    │   ├── StoreOutdated          of an older release: to be migrated first
    │   └── StoreTooNew            written by a newer release
    ├── BadRequest                 exit 2: an operator's request that makes no sense: 400
    ├── QueryRefused               exit 2: a query that makes no sense to the store: 400
    ├── UnknownName                no such event, delivery, activity or destination: 404
    ├── Conflict                   an operator's request that what was done before rules out: 409
    │   ├── BodyGone               a replay whose body was removed by retention or redaction, or forgotten
    │   ├── KeyReused              an idempotency key that was used for another request
    │   └── Overlaps               a replay of deliveries that another replay has yet to reach
    ├── FrameBroken                (store) another process of the gateway sent what is not a frame; it is cut off
    ├── TooLong                    (store) a value that no frame between processes can carry
    ├── TooManyListen              (web) 503: all places on the live stream are taken
    ├── BindFailed                 (sockets) a listener cannot have its address; nothing was started
    ├── Unsealable                 (oauth) a stored refresh token that this GATEWAY_SECRET_KEY does not open
    ├── Refused                    (oauth) the authorization server's refusal; carries its code
    ├── Ended                      (oauth) a login can no longer be used
    ├── LoginFailed                (oauth) a person's login came to no refresh token
    │   └── OtherState             (oauth) a redirect that belongs to another login
    ├── UnknownSample              (routing) the source has no such sample
    ├── NoEvent                    (routing) a test's event cannot be built as written
    ├── ApiRefused                 (cli) the running gateway refused
    │   └── ApiMisused             (cli) exit 2: it cannot make sense of what was asked
    ├── Unreachable                (cli) exit 3: no answer at the address given
    │   └── NobodyListens          (cli) exit 3: no gateway there
    ├── NotConfirmed               (cli) exit 2: a confirmation is needed and there is no terminal
    ├── NothingSelected            (cli) exit 2: nothing was selected
    ├── NotFound                   (cli) the store has no such thing
    ├── EventRefused               (cli) exit 2: no such event, or it cannot be changed, signed or played as asked
    │   └── NotPlayable            (cli) exit 1: the stored event is no longer as the routes saw it
    ├── SendRefused                (cli) exit 2: the event cannot be built or sent as asked
    ├── CannotCapture              (cli) exit 2: no such source, or its event cannot become a sample
    ├── SameFile                   (cli) exit 2: a file is to be compared with itself
    ├── ExtraMissing               (cli) exit 2: a package is not installed that a verb needs
    ├── VerbFailed                 (cli) a verb that an assistant asked for could not be run
    ├── NoTests                    (cli) the file has no tests
    ├── SourceUnclear              (cli) exit 2: no such source, or several are possible
    ├── UnknownSender              (cli) exit 2: no preset of that name
    ├── Unknown                    (cli) exit 2: no preset, or no type of destination, of that name
    ├── UnknownName                (cli) exit 2: a filter's name that neither routes.yaml nor the store knows
    ├── BadDuration                (cli) exit 2: no pause or mute can last that long
    ├── RequestUnreadable          (cli) exit 2: not an HTTP request, or it names no source
    ├── NoLogin                    (cli) exit 2: the destination has no login that a person could make
    ├── CannotListen               (cli) the address where the browser is to come back is taken
    ├── EnvFileUnreadable          (cli) the file of variables cannot be read
    ├── InTheWay                   (cli) a file to write exists already, or cannot be written
    └── UnsafeBind                 (cli) the admin listener would be open to others without a token
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

from msgspec import Struct

from gateway.wording import count


class GatewayError(Exception):
    """Anything the gateway raises on purpose. ``str(error)`` names the thing, the value and the remedy."""

    #: What the command line exits with: 1 findings or a failed start, 2 usage, 3 server unreachable.
    exit_code: ClassVar[int] = 1


class Place(Struct, frozen=True):
    """A position in a file: line and column count from 1; 0 is the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file, *(str(n) for n in (self.line, self.column) if n)]
        return ":".join(parts)


class Problem(Struct, frozen=True):
    """One finding of ``gateway check``: where, what, and the remedy."""

    place: Place
    message: str
    #: The remedy, shown in parentheses after the message: ``did you mean "where"?``.
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    #: The source line without its newline; empty if there is none to show.
    line_text: str = ""
    #: What is on that line where the problem is; its column is not known yet.
    near: str = ""


class ConfigError(GatewayError):
    """The configuration has problems; none of it is in force."""

    def __init__(
        self,
        problems: Sequence[Problem],
        includes: Sequence[str] = (),
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.problems = tuple(problems)
        #: The file patterns it includes, as far as they could be read.
        self.includes = tuple(includes)
        #: SHA-256 of every file that was read, by name in the folder.
        self.files = files
        # A warning is none: it would not have kept the file from being in force.
        errors = sum(each.severity == "error" for each in self.problems)
        super().__init__(f"{count(errors, 'problem')} in the configuration")


class TemplateRefused(GatewayError):
    """A template does not compile; the configuration is refused with these problems among the others."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{each.place}: {each.message}" for each in problems))


class RequestRefused(GatewayError):
    """A sender's request is refused; the sender gets ``answer`` and nothing more."""

    status: ClassVar[int] = 400
    answer: str = "bad request"
    #: Labels the counter of refused requests: one of a few fixed words.
    reason: ClassVar[str] = "refused"

    def __init__(self, why: str, answer: str = "") -> None:
        """``why`` is for our log, ``answer`` for the sender."""
        self.answer = answer or type(self).answer
        super().__init__(why)


class UnknownSource(RequestRefused):
    """No source in routes.yaml has this path."""

    status, answer, reason = 404, "unknown source", "unknown_source"


class BodyTooLarge(RequestRefused):
    """The body exceeds the source's max_body."""

    status, answer, reason = 413, "body too large", "too_large"

    def __init__(self, why: str, said: str = "") -> None:
        super().__init__(why, f"{self.answer}{f': {said}' if said else ''}")


class EncodingRefused(RequestRefused):
    """A Content-Encoding other than gzip and deflate, or several of them."""

    status, answer, reason = 415, "content encoding not accepted: send gzip, deflate or none", "content_encoding"


class MethodRefused(RequestRefused):
    """A source accepts POST, or what its ``methods`` and handshakes say."""

    status, reason = 405, "method"

    def __init__(self, method: str, allowed: Sequence[str] = ("POST",)) -> None:
        self.allowed = tuple(allowed)
        expected = " or ".join(allowed)
        super().__init__(f"{method} where only {expected} is accepted", f"method not allowed: send {expected}")


class SignatureRefused(RequestRefused):
    """The request is not authentic. The operator's log gets the reason, the sender does not."""

    status, answer, reason = 401, "signature missing or wrong", "signature"


class KeysUnavailable(GatewayError):
    """The keys or the certificate that a sender signs with could not be fetched; it is asked to retry."""


class Unparsable(RequestRefused):
    """Signed, but not acceptable JSON: RFC 8259 in UTF-8, with limits on nesting and numbers. Its sender is told why."""

    status, reason = 400, "unparsable"

    def __init__(self, why: str) -> None:
        super().__init__(why, why)


class NoRoom(RequestRefused):
    """The bodies in memory take all the room there is; the sender is asked to retry."""

    status, answer, reason = 503, "too many large bodies at one time: send it again", "no_room"


class BuildError(GatewayError):
    """No request can be built for this delivery as things are. Dead; can be replayed once they have changed."""

    #: Labels the counter of attempts: one of a few fixed words.
    reason: ClassVar[str] = "build"


class NameGone(BuildError):
    """A route, destination or source of a waiting delivery is no longer in routes.yaml."""

    reason = "gone"


class RenderError(BuildError):
    """A template failed on this event."""

    reason = "render"

    def __init__(self, place: Place, message: str) -> None:
        self.place, self.message = place, message
        super().__init__(f"{place}: {message}")


class CorruptEvent(BuildError):
    """The stored body of an event does not match its checksum and will not be sent."""

    reason = "corrupt"


class EgressError(GatewayError):
    """No usable answer came from a destination. The text never contains a URL's path or query, or a secret."""

    reason: ClassVar[str] = "broken"


class NoToken(GatewayError):
    """No access token could be had: nothing was sent, or all of it was answered 401. The delivery waits at no expense."""

    reason: ClassVar[str] = "token"
    #: What that shows about the destination, in a word of ``gates.Learned``.
    shows: ClassVar[Literal["failed", "nothing", "login"]] = "failed"
    #: Seconds until it is tried again.
    after_s: ClassVar[float] = 5.0


class TokenUnavailable(NoToken):
    """The authorization server gave no token: it is in trouble, or does not know the client."""


class TokenAwaited(NoToken):
    """A token will be there soon: another replica is renewing the login, or the store cannot keep it just now."""

    shows = "nothing"
    after_s = 2.0


class NotLoggedIn(NoToken):
    """The login of a destination can no longer be used; says what a person has to do."""

    reason = "login"
    shows = "login"
    after_s = 0.0


class NothingChosen(GatewayError):
    """No element of the route's ``choose`` holds for this event, so nothing is sent."""

    reason: ClassVar[str] = "not_chosen"


class Poisonous(GatewayError):
    """The process died too often while working on this delivery."""

    reason: ClassVar[str] = "poisonous"


class TooOld(GatewayError):
    """The event is too old for another attempt: see the destination's retry.max_age."""

    reason: ClassVar[str] = "too_old"


class AddressBlocked(EgressError):
    """The destination's address is not allowed; nothing was sent, and a retry would not help."""

    reason = "blocked"


class ConnectFailed(EgressError):
    """No connection: the name, the port or TLS failed."""

    reason = "connect"


class TLSFailed(ConnectFailed):
    """The certificate is not trusted, or both sides share no TLS version or cipher."""

    reason = "tls"


class TimedOut(EgressError):
    """The attempt's total deadline passed."""

    reason = "timeout"


class AnswerBroken(EgressError):
    """The connection broke before the answer was complete, or the answer was not HTTP."""


class BadRequest(GatewayError):
    """An operator asks for something that makes no sense; says which part, and what to write instead."""

    exit_code = 2


class UnknownName(GatewayError):
    """There is no such event, delivery, activity or destination."""


class QueryRefused(GatewayError):
    """A query that makes no sense to the store; says which part."""

    exit_code = 2


class Conflict(GatewayError):
    """What was done before rules out what an operator asks for."""


class BodyGone(Conflict):
    """A replay is refused: its event's body is no longer kept."""


class KeyReused(Conflict):
    """An idempotency key that was used for another request."""


class Overlaps(Conflict):
    """A replay is refused: another one has yet to reach some of its deliveries."""


class StoreError(GatewayError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError):
    """Nothing was made durable; the sender is asked to retry."""


class StoreFull(StoreUnavailable):
    """There is no room for new events; what is stored is still sent."""


class StoreLocked(StoreError):
    """Another process owns this store."""


class StoreCorrupt(StoreError):
    """The file is damaged; it was left unchanged."""


class StoreOutdated(StoreError):
    """The database has the schema of an older release: ``gateway migrate`` brings it up to date."""


class StoreTooNew(StoreError):
    """The store was written by a newer release of the gateway."""
