"""What an entry makes of an event, for somebody who tries both out: nothing is stored, and only ``send`` sends."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.trial import has_hidden
from gateway.errors import BadRequest, BuildError, ConfigError, EgressError, GatewayError, RequestRefused, UnknownName
from gateway.model import Delivered, Delivery, FileAppend, new_id
from gateway.operate import views
from gateway.process import Gateway
from gateway.rehearsal.as_test import as_test
from gateway.rehearsal.explained import explained
from gateway.rehearsal.rehearse import Rehearsal, rehearse
from gateway.rehearsal.showing import without_secrets
from gateway.routing import Config, Source
from gateway.routing.memory import recollect
from gateway.signatures import RawHeaders
from gateway.store.memory import Recalled
from gateway.wording import printable, suggest_or_list

#: Characters of an entry and of a template, and lines of headers.
LONGEST_ENTRY: Final = 64 * 1024
MOST_HEADERS: Final = 100
#: Characters of an answer that are shown.
SHOWN_ANSWER: Final = 1024
_JSON: Final = (b"content-type", b"application/json")


class Draft(Struct, frozen=True, kw_only=True):
    """An event and an entry that somebody tries out."""

    source: str
    #: The body as the sender would post it.
    payload: str
    #: Lines of ``name: value``.
    headers: str = ""
    #: An entry as it is written under ``routes``; empty: all that the file has.
    entry: str = ""
    #: A file in templates/, and its text here; empty: as it is on disk.
    template: str = ""
    template_text: str = ""
    #: The type of destination to show it as; empty: of each its own.
    kind: str = ""


class Answered(Struct, frozen=True, kw_only=True):
    """What a destination answered to a request that was sent from here."""

    destination: str
    is_accepted: bool
    #: None: it did not answer.
    status: int | None
    #: Why it is not accepted, without secrets.
    reason: str
    answer: str


def played(config: Config, draft: Draft, now: float) -> Mapping[str, Any]:
    """What becomes of the event, as ``explained`` says it, with ``problems`` and ``warnings`` of the entry; or ``error``.

    Runs without values from outside, so that no condition and no template can be used to guess one. Total; takes its
    time, and belongs in a thread.
    """
    nothing: dict[str, Any] = {
        "problems": [],
        "warnings": [],
        "error": "",
        "entries": [],
        "deliveries": [],
        "event": None,
        "test": "",
    }
    try:
        tried = compiled(config, draft)
        bare = without_secrets(tried)
        rehearsal = _rehearsed(bare, draft, now)
        found = {**explained(bare, rehearsal), "test": as_test(bare, rehearsal.event)}
    except ConfigError as error:
        return {**nothing, "problems": [views.problem(each) for each in error.problems]}
    except (GatewayError, RecursionError) as error:
        said = str(error) if isinstance(error, GatewayError) else "the body is nested too deeply"
        return {**nothing, "error": config.masks.text(said)}
    if not draft.entry.strip():
        return {**nothing, **found}
    # Its place is in no file.
    entries = [{**each, "place": ""} for each in found["entries"]]
    return {**nothing, **found, "entries": entries, "warnings": [views.problem(each) for each in tried.warnings]}


async def send(gateway: Gateway, draft: Draft, *, route: str, destination: str, by: str) -> Answered:
    """Send what a draft makes for one destination, once, beside its queue; who did it is recorded.

    Raises BadRequest, UnknownName, ConfigError, RequestRefused, BuildError, NothingChosen, StoreUnavailable.
    """
    _refuse_hidden(draft)
    tried, now = compiled(gateway.config, draft), gateway.clock()
    known = gateway.config.destinations.get(destination)
    if known is None or destination not in tried.destinations:
        raise UnknownName(f"no destination {printable(destination[:100])} in routes.yaml")
    rehearsal = _rehearsed(tried, draft, now)
    if (route, destination) not in [(each.route, each.destination) for each in rehearsal.deliveries]:
        raise BadRequest(f"{route} does not send this event to {destination}: correct its conditions first")
    event = replace(rehearsal.event, id=new_id("evt", now))
    delivery = Delivery(id=new_id("dlv", now), event_id=event.id, route=route, destination=destination)
    if route in tried.fetches:
        raise BadRequest(f"{route} looks something up before it sends: use gateway send, which also makes the look-up")
    asked = tried.asked(delivery, event, rehearsal.facts["payload"])
    recalled = await gateway.store.recall("", [subject for _, subject in asked if subject]) if asked else Recalled()
    values = recollect(asked, {subject: each.value for subject, each in recalled.known.items()})
    built = tried.built(delivery, event, rehearsal.facts["payload"], gateway.console, recalled=values)
    request = known.signed(built.request, delivery.id, now)
    await gateway.note("send", destination, by=by, reason=f"from the playground: {event.type} by {route}")
    hiding = gateway.config.hiding(event, destination)
    try:
        reply = await gateway.tokens.send(request, known)
    except (EgressError, BuildError) as error:
        return Answered(
            destination=destination, is_accepted=False, status=None, reason=hiding.text(str(error)), answer=""
        )
    reply = replace(reply, shown=hiding.answer(reply.body))
    verdict = known.kind.judge(known.target, reply, now)
    return Answered(
        destination=destination,
        is_accepted=isinstance(verdict, Delivered),
        status=None if isinstance(request, FileAppend) else reply.status,
        reason="" if isinstance(verdict, Delivered) else hiding.text(verdict.reason),
        answer=reply.quotable.decode("utf-8", "replace")[:SHOWN_ANSWER],
    )


def _refuse_hidden(draft: Draft) -> None:
    if draft.kind:
        raise BadRequest("a message shown as another type is not sent: choose the type of its own destination")
    if has_hidden(draft.entry) or has_hidden(draft.template_text):
        raise BadRequest("it has a value that is hidden here: save the entry in routes.yaml, then use gateway send")


def compiled(config: Config, draft: Draft) -> Config:
    """The configuration with the entry of a draft; the one in force if it has none. Raises ConfigError, BadRequest."""
    if len(draft.entry) > LONGEST_ENTRY or len(draft.template_text) > LONGEST_ENTRY:
        raise BadRequest(f"an entry and a template have at most {LONGEST_ENTRY:,} characters here")
    if not draft.entry.strip():
        return config
    templates = {draft.template: draft.template_text} if draft.template in config.trials.templates else {}
    return config.trials.config(draft.entry, templates, draft.kind)


def _source(config: Config, name: str) -> Source:
    source = config.sources.get(name)
    if source is None:
        hint = suggest_or_list(name, config.sources)
        raise UnknownName(f"no source {printable(name[:100])} in routes.yaml ({hint})")
    return source


def _rehearsed(config: Config, draft: Draft, now: float) -> Rehearsal:
    source = _source(config, draft.source)
    try:
        return rehearse(config, source, draft.payload.encode(), _headers(draft.headers), now)
    except UnicodeEncodeError:
        raise BadRequest("the payload has an unpaired surrogate, which UTF-8 cannot encode") from None
    except RequestRefused as refused:
        raise BadRequest(f"a request with this payload is refused: {refused}") from None


def _headers(text: str) -> RawHeaders:
    """The headers in lines of ``name: value``, in lower case; JSON unless they have a content type. Raises BadRequest."""
    found: list[tuple[bytes, bytes]] = []
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_HEADERS:
        raise BadRequest(f"headers: {len(lines)} lines are too many; at most {MOST_HEADERS}")
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not name.strip().isascii():
            raise BadRequest(f'headers: "{printable(line[:60])}" is not a header; write name: value')
        found.append((name.strip().lower().encode(), value.strip().encode("latin-1", "replace")))
    return found if any(name == _JSON[0] for name, _ in found) else [*found, _JSON]


def samples(config: Config) -> Mapping[str, Sequence[str]]:
    """The names of the sample events of each source."""
    return {name: sorted(source.samples) for name, source in config.sources.items()}
