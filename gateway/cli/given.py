"""The event that a verb is given: a sample or a file, its headers, and changes to them."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.config.samples import REQUEST, request_in
from gateway.errors import GatewayError, Unparsable
from gateway.event.likeness import type_like
from gateway.event.paths import PathRefused, lookup
from gateway.event.payload import parse
from gateway.presets import CONTENT_TYPES
from gateway.routing import Source
from gateway.routing.cases import header_of
from gateway.signatures import Request
from gateway.wording import closest, closest_header

#: ``X-GitHub-Event: push`` as curl has it, or ``x-github-event=push``.
_HEADER: Final = re.compile(r"\s*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*[:=]\s*(?P<value>[^\r\n\x00]*)")
#: How like another name a field that ``--set`` adds must be to be taken for it, from 0 to 1.
_LIKE: Final = 0.75


class EventRefused(GatewayError):
    """There is no such event, or it cannot be changed, signed or played as asked."""

    exit_code = 2


class Given(Struct, frozen=True, kw_only=True):
    """An event before it is sent or played."""

    #: As it was named: a sample, a file, or "".
    name: str
    body: bytes
    #: By lower-case name, with those that the user wrote.
    headers: Mapping[str, str]
    #: Names of those that the user wrote: no signature and no fresh id takes their place.
    written: frozenset[str] = frozenset()
    #: Changes to the payload: ``attrs.email=a@b.c``.
    changes: tuple[str, ...] = ()


def given(source: Source, name: str, changes: Sequence[str] = (), headers: Sequence[str] = ()) -> Given:
    """The event ``name`` of a source: a sample or a file. Raises EventRefused.

    ``changes``: ``--set``, which may name a header (``headers.x-github-event=push``); ``headers``: ``--header``.
    """
    of_payload, written = changed(changes, headers)
    body, own = _event(source, name)
    return Given(name=name, body=body, headers={**own, **written}, written=frozenset(written), changes=of_payload)


def changed(changes: Sequence[str], headers: Sequence[str]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The changes to the payload, and the headers that ``--set`` and ``--header`` write. Raises EventRefused."""
    of_payload, written = list[str](), dict(map(_header, headers))
    for change in changes:
        path, equals, value = change.partition("=")
        header = header_of(path) if equals and path.startswith("headers.") else None
        if header is None:
            of_payload.append(change)
        else:
            written[header] = value
    return tuple(of_payload), written


def notes(source: Source, asked: Given) -> Iterator[str]:
    """What the user may not have meant: an event without its type, a change of a field that is like one that it has."""
    if hint := _missing_type(source, asked):
        yield hint
    with suppress(Unparsable, PathRefused):
        payload = parse(asked.body) if asked.changes else None
        for change in asked.changes:
            path, equals, _ = change.partition("=")
            if equals and (hint := _misspelt(path, source.naming.payload_path(path, payload), payload)):
                yield f"the event has no {path}, which --set adds: {hint}"


def _misspelt(written: str, path: Sequence[str], payload: object) -> str:
    """``did you mean "attrs.firstname"?`` if a segment of a path is not there, and one like it is."""
    for at, name in enumerate(path):
        home = lookup(payload, path[:at])
        if not isinstance(home, Mapping):
            break
        if name not in home:
            right = closest(name, home, closeness=_LIKE)
            before, _, after = written.rpartition(name)
            return f'did you mean "{before}{right}{after}"?' if right else ""
    return ""


def _missing_type(source: Source, asked: Given) -> str:
    """What to add to an event whose type is in a header that it does not have; empty if nothing is missing."""
    lacking = source.missing_header(asked.body, asked.headers)
    if lacking is None:
        return ""
    header, example = lacking
    # A file is often called as what is in it: push.json.
    named = Path(asked.name).name.partition(".")[0]
    is_known = any(each.get(header) == named for each in source.sample_headers.values())
    added = f"--header '{header}: {named if is_known else example}'" + ("" if is_known else ", for example")
    if near := closest_header(header, asked.headers):
        return f"the type of this event is in the header {header}, and it has {near}: write {added}"
    return (
        f"the type of this event is in the header {header}, which it does not have: add {added}, or "
        f"keep the event with its headers in a file that ends in {REQUEST}"
    )


def written_as_json(request: Request, url: str) -> Mapping[str, object]:
    """A request as ``verify``, ``send`` and the folder of ``samples`` read it."""
    headers = [[name.decode(), value.decode()] for name, value in request.headers]
    return {"method": request.method, "url": url, "headers": headers, **body_as_json(request.body)}


def body_as_json(body: bytes) -> Mapping[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _header(text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise EventRefused(f"--header {text}: write NAME: VALUE, for example 'X-GitHub-Event: push'")
    return found["name"].lower(), found["value"].strip()


def _event(source: Source, name: str) -> tuple[bytes, Mapping[str, str]]:
    samples = source.samples
    sample = name or next(iter(samples), "")
    if sample in samples:
        return samples[sample], source.sample_headers[sample]
    file = Path(name)
    try:
        if name and file.is_file():
            return _in_file(file)
    except (OSError, ValueError) as error:
        raise EventRefused(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    meant = type_like(name, samples)
    listed = f"samples: {', '.join(samples)}" if samples else f"{source.name} has no samples"
    hint = f'did you mean "{meant}"?' if meant else listed
    raise EventRefused(f"{name or 'the event'} is not a sample of {source.name} or a file ({hint})")


def _in_file(file: Path) -> tuple[bytes, Mapping[str, str]]:
    data = file.read_bytes()
    if file.name.endswith(REQUEST):
        return request_in(data, file.name)
    return data, {"content-type": CONTENT_TYPES.get(file.suffix.removeprefix("."), CONTENT_TYPES["json"])}
