"""``gateway send``: sign and post sample events."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from gateway.cli import surroundings
from gateway.cli.client import FAILURES, Client, NobodyListens
from gateway.cli.samples import fresh, posted, sender_of
from gateway.errors import GatewayError
from gateway.rehearsal.rehearse import request_of
from gateway.routing import Source, cases
from gateway.signatures import CannotSign, Request
from gateway.wording import printable


class SendRefused(GatewayError):
    """The event cannot be made or posted as asked."""


def send(
    *,
    sample: str,
    config: Path,
    source: str,
    changes: Sequence[str],
    to: str,
    count: int,
    rate: float,
    same: bool,
    as_json: bool,
) -> int:
    """Post ``count`` signed events; 1 if one was refused. Raises ConfigError, NobodyListens, SendRefused."""
    sender = sender_of(surroundings.loaded(config, dev=True), source, sample)
    raw = _sample(sender, sample)
    url = to or surroundings.usual_address("GATEWAY_BIND", "127.0.0.1:8080")
    began, refused, duplicates = time.monotonic(), 0, 0
    with _client(url, sender) as client:
        for number in range(count):
            if rate:
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
            event = _signed(sender, raw if same else _fresh(raw, sender, changes), sample, same=same)
            status, answer = _post(client, url, sender, event)
            is_accepted = 200 <= status < 300
            refused += not is_accepted
            duplicates += is_accepted and bool(_fields(answer).get("duplicate"))
            if as_json or count == 1 or not is_accepted:
                print(answer if as_json else _sentence(status, answer, sample))
    if count > 1 and not as_json:
        elapsed = time.monotonic() - began
        known = f", {duplicates} of them duplicates" if duplicates else ""
        print(f"{count - refused} of {count} accepted in {elapsed:.1f} s ({count / elapsed:.0f}/s){known}")
    return 1 if refused else 0


def _sample(source: Source, name: str) -> bytes:
    try:
        return cases.sample(source, name)
    except cases.UnknownSample as error:
        raise SendRefused(str(error)) from None


def _fresh(raw: bytes, source: Source, changes: Sequence[str]) -> bytes:
    try:
        return fresh(raw, source.naming, time.time(), changes)
    except ValueError as error:
        raise SendRefused(str(error)) from None


def _signed(source: Source, body: bytes, sample: str, *, same: bool) -> Request:
    try:
        return request_of(source, body, sample, time.time()) if same else posted(source, body, sample, time.time())
    except CannotSign as error:
        raise SendRefused(f"cannot sign a request of {source.name}: {error}") from None


def _client(url: str, source: Source) -> Client:
    try:
        return Client(url, timeout_s=30.0)
    except ValueError:
        example = f"http://127.0.0.1:8080{source.path}"
        raise SendRefused(f"--to {url}: write an address, for example {example}") from None


def _post(client: Client, url: str, source: Source, request: Request) -> tuple[int, str]:
    """Status and answer. Raises NobodyListens."""
    headers = {name.decode(): value.decode() for name, value in request.headers}
    secret = f"/{quote(request.path_secret)}" if request.path_secret else ""
    query = "&".join(filter(None, (client.query, request.query.decode())))
    target = f"{client.path or source.path}{secret}" + (f"?{query}" if query else "")
    try:
        status, answer = client.answer(request.method, target, body=request.body, headers=headers)
    except FAILURES as error:
        raise NobodyListens(
            f"no gateway listens at {url} ({error}): start `gateway dev`, or give its address with --to"
        ) from None
    return status, answer.decode("utf-8", "replace")


def _sentence(status: int, answer: str, sample: str) -> str:
    if 200 <= status < 300:
        fields = _fields(answer)
        if "duplicate" in fields:
            return f"{sample} {'a duplicate of' if fields['duplicate'] else 'accepted as'} {fields.get('id')}"
        # The source has a reply of its own.
        said = f": {printable(answer.strip()[:300])}" if answer.strip() else ""
        return f"{sample} accepted, answered {status}{said}"
    hint = ": the secret here differs from the gateway's" if status == 401 else ""
    return f"refused with {status}: {answer.strip()[:300]}{hint}"


def _fields(answer: str) -> Mapping[str, object]:
    """The gateway's answer, if it is one in JSON."""
    try:
        fields = json.loads(answer)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
