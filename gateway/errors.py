"""The one error tree. The class says whose fault it is and what follows.

::

    GatewayError
    ├── ConfigError                the operator's file; carries every Problem
    ├── TemplateRefused            a template that cannot be compiled; carries its Problem
    ├── RequestRefused             the sender's request; carries the HTTP status of the answer
    │   ├── UnknownSource          404
    │   ├── BodyTooLarge           413
    │   ├── EncodingRefused        415
    │   ├── SignatureRefused       401; the reason is for our log, never for the sender
    │   └── Unparsable             400
    ├── BuildError                 no request can be made of this delivery: dead, replayable
    │   ├── NameGone               its route, destination or source is no longer in routes.yaml
    │   ├── RenderError            a template failed; carries file:line
    │   └── CorruptEvent           the stored body does not match its checksum
    ├── EgressError                no usable answer came: another attempt follows
    │   ├── AddressBlocked         no destination may be at its address: dead, replayable
    │   ├── ConnectFailed          no connection
    │   │   ├── NameNotResolved    DNS
    │   │   └── TLSFailed          no trust, or no common ground
    │   ├── TimedOut               the attempt's total deadline passed
    │   ├── AnswerBroken           the connection broke or the answer was not HTTP
    │   └── FileFailed             the disk refused the line
    ├── QueryRefused               a question to the store that makes no sense
    ├── BodyGone                   a replay of what retention or redaction has taken the body of
    └── StoreError
        ├── StoreUnavailable       503 + Retry-After: it could not be made durable
        ├── StoreLocked            a second owner; names the first
        ├── StoreCorrupt           refused at start, never repaired silently
        └── StoreTooNew            written by a newer release
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from gateway.wording import count


class GatewayError(Exception):
    """Anything the gateway raises on purpose. ``str(error)`` names the thing, the value and the remedy."""

    #: Of the command line: 0 ok, 1 findings or a failed start, 2 usage, 3 server unreachable.
    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file and the 1-based line and column in it (0: the whole file)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file, *(str(n) for n in (self.line, self.column) if n)]
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of ``gateway check``: where, what, and the remedy."""

    place: Place
    message: str
    #: The remedy, shown in brackets behind the message: ``did you mean "where"?``.
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    #: The source line, without its newline; empty where there is none to show.
    line_text: str = ""


class ConfigError(GatewayError):
    """The configuration has problems; nothing of it is in force."""

    def __init__(self, problems: Sequence[Problem], includes: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        #: The patterns of the files that it includes, as far as they could be read.
        self.includes = tuple(includes)
        super().__init__(f"{count(len(self.problems), 'problem')} in the configuration")


class TemplateRefused(GatewayError):
    """A template cannot be compiled; the configuration is refused with this problem among the others."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.place}: {problem.message}")


class RequestRefused(GatewayError):
    """A sender's request is refused; ``answer`` is all the sender is told."""

    status: ClassVar[int] = 400
    answer: ClassVar[str] = "bad request"
    #: The label of the counter: few and fixed words.
    reason: ClassVar[str] = "refused"


class UnknownSource(RequestRefused):
    """No source of routes.yaml listens at this path."""

    status, answer, reason = 404, "unknown source", "unknown_source"


class BodyTooLarge(RequestRefused):
    """The body is over the source's cap."""

    status, answer, reason = 413, "body too large", "too_large"


class EncodingRefused(RequestRefused):
    """A Content-Encoding: the signature covers raw bytes, and unpacking a stranger's archive is a risk."""

    status, answer, reason = 415, "content encodings are not accepted", "content_encoding"


class SignatureRefused(RequestRefused):
    """The request is not authentic. Says why to the operator's log and nothing to the sender."""

    status, answer, reason = 401, "signature missing or wrong", "signature"


class Unparsable(RequestRefused):
    """Signed, but not JSON that can be carried on: RFC 8259 in UTF-8, with bounds on nesting and numbers."""

    status, reason = 400, "unparsable"
    answer = "the body is not JSON in UTF-8, or nests deeper than 128 levels, or holds a number or text out of range"


class BuildError(GatewayError):
    """No request can be made of this delivery as things stand. Dead, and replayable once they have changed."""

    #: The label of the counter of attempts: few and fixed words.
    reason: ClassVar[str] = "build"


class NameGone(BuildError):
    """A route, destination or source that a waiting delivery names is no longer in routes.yaml."""

    reason = "gone"


class RenderError(BuildError):
    """A template failed on this event."""

    reason = "render"

    def __init__(self, place: Place, message: str) -> None:
        self.place = place
        super().__init__(f"{place}: {message}")


class CorruptEvent(BuildError):
    """The stored body of an event does not match its checksum; it is never sent."""

    reason = "corrupt"


class EgressError(GatewayError):
    """No usable answer came from a destination. The text never holds a URL's path, query or a secret."""

    #: As of a BuildError.
    reason: ClassVar[str] = "broken"


class Poisonous(GatewayError):
    """The process died over this delivery too often."""

    reason: ClassVar[str] = "poisonous"


class TooOld(GatewayError):
    """The event is older than its destination's retry.max_age allows for another attempt."""

    reason: ClassVar[str] = "too_old"


class AddressBlocked(EgressError):
    """A destination may not be at the address that it has; nothing was sent, and trying again changes nothing."""

    reason = "blocked"


class ConnectFailed(EgressError):
    """No connection: the name, the port or TLS."""

    reason = "connect"


class NameNotResolved(ConnectFailed):
    """No address is known for the name of its host."""

    reason = "dns"


class TLSFailed(ConnectFailed):
    """Its certificate is not trusted, or there is no version or cipher that both sides take."""

    reason = "tls"


class TimedOut(EgressError):
    """The attempt's total deadline passed."""

    reason = "timeout"


class AnswerBroken(EgressError):
    """The connection broke before a whole answer, or the answer was not HTTP."""


class FileFailed(EgressError):
    """The line could not be appended durably."""

    reason = "file"


class QueryRefused(GatewayError):
    """A question to the store that makes no sense; says which part of it."""


class BodyGone(GatewayError):
    """A replay is refused: the body of its event is not kept any more."""


class StoreError(GatewayError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError):
    """Nothing was made durable; the sender is told to come back."""


class StoreLocked(StoreError):
    """Another process owns this store."""


class StoreCorrupt(StoreError):
    """The file is damaged; it is left as it is."""


class StoreTooNew(StoreError):
    """The file was written by a newer release of the gateway."""
