"""``gateway verify`` and ``gateway sign``: why a request verifies or not, and how to make one that does."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.cli import surroundings, terminal
from gateway.cli.given import given, notes, written_as_json
from gateway.cli.samples import address_of, curl, fresh, sender_of, signed
from gateway.egress import Egress
from gateway.errors import GatewayError
from gateway.routing import Config, Source
from gateway.signatures import CannotSign, Refused, Request, Verified, Wanted
from gateway.wording import printable


class RequestUnreadable(GatewayError):
    """The file is not a request, or there is no such source."""

    exit_code = 2


def verify(*, config: Path, source: str, request: Path, at: str | None, as_json: bool) -> int:
    """Print step by step what was computed, and where it failed; 1 if the request is refused. Raises ConfigError."""
    known, steps = _source(surroundings.loaded_for_senders(config), source), list[str]()
    asked = _request(request)
    verdict = _verdict(known, asked, time.time() if at is None else _moment(at), steps)
    reason = "" if isinstance(verdict, Verified) else verdict.reason
    if as_json:
        print(json.dumps({"verified": not reason, "reason": reason, "steps": steps}, indent=2))
    else:
        for step in steps:
            print(f"  {printable(step)}")
        print(f"refused: {printable(reason)}" if reason else "verified")
    return 1 if reason else 0


def _verdict(source: Source, asked: Request, now: float, steps: list[str]) -> Verified | Refused | Wanted:
    """The verdict, with the keys or the certificate that it takes."""
    verdict = source.verifier.verify(asked, now, steps)
    if not isinstance(verdict, Wanted):
        return verdict
    steps.clear()
    documents = asyncio.run(_fetched(source, verdict.url))
    return source.verifier.verify(asked, now, steps, documents)


async def _fetched(source: Source, url: str) -> Mapping[str, bytes]:
    egress = Egress()
    try:
        await egress.documents.look(url, source.door)
    finally:
        await egress.close()
    return egress.documents.known


def _moment(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise RequestUnreadable(f"--at {written}: write 2026-12-31T12:00:00Z, or seconds since 1970") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def sign(
    *, config: Path, source: str, event: str, changes: Sequence[str], headers: Sequence[str], url: str, as_json: bool
) -> int:
    """Print a request that the source accepts, as a curl command or as ``verify`` reads it. Raises ConfigError."""
    known, now = sender_of(surroundings.loaded_for_senders(config), source, event), time.time()
    asked = given(known, event, changes, headers)
    for hint in notes(known, asked):
        terminal.note(f"note: {hint}")
    try:
        body = fresh(asked.body, known.naming, now, asked.changes) if asked.changes else asked.body
        made = signed(known, body, asked, now)
    except CannotSign as error:
        raise RequestUnreadable(f"cannot sign a request of {known.name}: {error}") from None
    except ValueError as error:
        raise RequestUnreadable(str(error)) from None
    address = (url or surroundings.usual_address("GATEWAY_BIND", "127.0.0.1:8080")).rstrip("/") + known.path
    print(json.dumps(written_as_json(made, address_of(address, made)), indent=2) if as_json else curl(address, made))
    return 0


def _source(config: Config, name: str) -> Source:
    if name not in config.sources:
        raise RequestUnreadable(f"unknown source {name} (known: {', '.join(config.sources) or 'none'})")
    return config.sources[name]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RequestUnreadable(f"cannot read {file}: {error.strerror}") from None


def _request(file: Path) -> Request:
    try:
        return _parsed(json.loads(_read(file)))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        hint = '{"method", "url", "headers": [[name, value], ...], "body" or "body_base64"}'
        raise RequestUnreadable(f"{file} is not a request ({error}): write {hint}") from None


def _parsed(written: Any) -> Request:
    parts = urlsplit(written.get("url", ""))
    body = base64.b64decode(written["body_base64"]) if "body_base64" in written else written.get("body", "").encode()
    return Request(
        method=str(written.get("method", "POST")),
        query=parts.query.encode(),
        headers=[(name.lower().encode(), value.encode()) for name, value in written.get("headers", [])],
        body=body,
        path_secret=parts.path.rpartition("/")[2].encode(),
    )
