"""``gateway send``: sign and post events."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace

from gateway.cli import surroundings, terminal
from gateway.cli.client import FAILURES, Client, NobodyListens
from gateway.cli.given import Given, given, notes
from gateway.cli.samples import fresh, posted, sender_of, signed
from gateway.errors import GatewayError
from gateway.routing import Source, questions
from gateway.signatures import CannotSign, Request
from gateway.wording import few, printable


class SendRefused(GatewayError):
    """The event cannot be made or posted as asked."""

    exit_code = 2


def send(
    *,
    event: str,
    config: Path,
    source: str,
    changes: Sequence[str],
    headers: Sequence[str],
    to: str,
    count: int,
    rate: float,
    same: bool,
    as_json: bool,
) -> int:
    """Post ``count`` signed events; 1 if one was refused. Raises ConfigError, NobodyListens, SendRefused."""
    sender = sender_of(surroundings.loaded_for_senders(config), source, event)
    asked = given(sender, event, changes, headers)
    for hint in notes(sender, asked):
        terminal.note(f"note: {hint}")
    url = to or surroundings.usual_address("GATEWAY_BIND", "127.0.0.1:8080")
    began, refused, duplicates = time.monotonic(), 0, 0
    with _client(url, sender) as client:
        for number in range(count):
            if rate:
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
            request = _with_query(client, _signed(sender, asked, same=same))
            types = _types(sender, request) if client.path in ("", sender.path) else ()
            status, answer = _post(client, url, sender, request)
            is_accepted = 200 <= status < 300
            refused += not is_accepted
            duplicates += is_accepted and bool(_fields(answer).get("duplicate"))
            if as_json or count == 1 or not is_accepted:
                print(answer if as_json else _sentence(status, answer, event, types))
    if count > 1 and not as_json:
        elapsed = time.monotonic() - began
        known = f", {duplicates} of them duplicates" if duplicates else ""
        print(f"{count - refused} of {count} accepted in {elapsed:.1f} s ({count / elapsed:.0f}/s){known}")
    return 1 if refused else 0


def _signed(source: Source, event: Given, *, same: bool) -> Request:
    now = time.time()
    try:
        if same:
            return signed(source, event.body, event, now)
        return posted(source, fresh(event.body, source.naming, now, event.changes), event, now)
    except CannotSign as error:
        raise SendRefused(f"cannot sign a request of {source.name}: {error}") from None
    except ValueError as error:
        raise SendRefused(str(error)) from None


def _client(url: str, source: Source) -> Client:
    try:
        return Client(url, timeout_s=30.0)
    except ValueError:
        example = f"http://127.0.0.1:8080{source.path}"
        raise SendRefused(f"--to {url}: write an address, for example {example}") from None


def _with_query(client: Client, request: Request) -> Request:
    """With the query of ``--to`` as well, which may name the type, too."""
    return replace(request, query=b"&".join(filter(None, (client.query.encode(), request.query))))


def _post(client: Client, url: str, source: Source, request: Request) -> tuple[int, str]:
    """Status and answer. Raises NobodyListens."""
    headers = {name.decode(): value.decode() for name, value in request.headers}
    secret = f"/{quote(request.path_secret)}" if request.path_secret else ""
    query = f"?{request.query.decode()}" if request.query else ""
    target = f"{client.path or source.path}{secret}{query}"
    try:
        status, answer = client.answer(request.method, target, body=request.body, headers=headers)
    except FAILURES as error:
        raise NobodyListens(
            f"no gateway listens at {url} ({error}): start `gateway dev`, or give its address with --to"
        ) from None
    return status, answer.decode("utf-8", "replace")


def _types(source: Source, request: Request) -> Sequence[str]:
    """The types under which the events of a request are stored, as this file names them; empty if nothing is."""
    try:
        if questions.asked(source, request, time.time()):
            return ()
        found = source.received(
            list(request.headers), request.body, now=0.0, query=request.query, method=request.method
        )
    except GatewayError:
        return ()
    if questions.asked_by_event(source, request, found[0].payload):
        return ()
    return list(dict.fromkeys(each.event.type for each in found))


def _sentence(status: int, answer: str, event: str, types: Sequence[str]) -> str:
    if 200 <= status < 300:
        fields = _fields(answer)
        of_type = f" ({'type' if len(types) == 1 else 'types'} {few(types)})" if types else ""
        if fields.get("duplicate"):
            return f"{event} is a duplicate of {fields.get('id')}"
        if "duplicate" in fields:
            ids = fields.get("ids")
            named = f"{len(ids)} events, {few(ids)}" if isinstance(ids, list) else fields.get("id")
            return f"{event} accepted as {named}{of_type}"
        # The source has a reply of its own.
        said = f": {printable(answer.strip()[:300])}" if answer.strip() else ""
        return f"{event} accepted{of_type}, answered {status}{said}"
    hint = ": the secret here differs from the gateway's" if status == 401 else ""
    return f"refused with {status}: {answer.strip()[:300]}{hint}"


def _fields(answer: str) -> Mapping[str, object]:
    """The gateway's answer, if it is one in JSON."""
    try:
        fields = json.loads(answer)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
