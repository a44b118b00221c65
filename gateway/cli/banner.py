"""What ``gateway dev`` prints when it is ready."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from gateway import presets
from gateway.cli.given import Given
from gateway.cli.samples import curl, fresh, posted
from gateway.config.schema.reading import DEMO_SECRET
from gateway.rehearsal.example import Example, example
from gateway.routing import Config, Source
from gateway.signatures import CannotSign
from gateway.store import shown
from gateway.wording import joined

#: Where a gateway listens, and ``gateway send`` posts, unless something else is set.
USUAL_ADDRESS: Final = "http://127.0.0.1:8080"


def banner(config: Config, ingest_address: str, admin_address: str, store_url: str, folder: Path) -> str:
    """Where everything is, and a request to paste. ``folder``: of routes.yaml."""
    source = next(iter(config.sources.values()), None)
    lines = ["", f"  Console   {admin_address}/"]
    if config.inboxes:
        whose = "its url is not set" if len(config.inboxes) == 1 else "their urls are not set"
        lines += [f"  Inbox     {admin_address}/inbox   records {', '.join(sorted(config.inboxes))}: {whose}"]
    command = Path(sys.argv[0]).absolute()
    lines += [
        f"  Data      {shown(store_url)}",
        f"  Command   {command}",
        "  Stop      Ctrl-C; the next start continues where it left off",
    ]
    if source is None:
        return "\n".join([*lines, "", "  routes.yaml has no source yet: add one to receive events.", ""])
    url = f"{ingest_address}{source.path}"
    event = example(config, source, folder)
    lines += [
        f"  Events    {url}",
        *_advice(config, source, ingest_address),
        *_others(config, source, ingest_address),
        *_tokens(config),
        "",
    ]
    if event is None:
        return "\n".join([*lines, f"  Nothing is known of what {_sender(source)} sends: post to {url}", ""])
    lines += [
        f"  Paste the {_called(event)}; {_what_happens(config, event)}. Pasted again, it is recognized as a duplicate:",
        "",
        _curl(url, source, event),
        "",
        *_send(config, source, event, ingest_address),
    ]
    return "\n".join(lines)


def _sender(source: Source) -> str:
    return presets.load(source.preset).title if source.preset else source.name


def _called(event: Example) -> str:
    return f'event "{event.name}"' if " " not in event.name else f'event of the test "{event.name}"'


def _others(config: Config, first: Source, ingest_address: str) -> Sequence[str]:
    """Where the events of further sources go."""
    return [f"            {ingest_address}{each.path}" for each in config.sources.values() if each is not first]


def _tokens(config: Config) -> Iterator[str]:
    """Which verify token to enter at each sender that shows one in a handshake; only the value of the demo token is shown."""
    for each in config.sources.values():
        tokens = each.handshake_tokens or each.secrets
        if each.token_from and tokens:
            is_demo = tokens[0].reveal() == DEMO_SECRET
            shown = f"{DEMO_SECRET} until you set your own:" if is_demo else "the one from"
            yield f"            the verify token to enter at {_sender(each)} is {shown} {each.token_from}"


def _advice(config: Config, source: Source, ingest_address: str) -> Sequence[str]:
    title = _sender(source)
    if source.name in config.demo_sources:
        whose = f"you set at {title}" if source.preset else f"{title} signs with"
        return [
            "            verified with the demo secret, which everyone knows: before real events arrive,",
            f"            put the secret that {whose} into .env; it takes effect as soon as you save it",
        ]
    return [
        f"            {title} must reach it from the internet: give it https://<your-host>{source.path},",
        f"            or, to try it out, the address that this prints: cloudflared tunnel --url {ingest_address}",
    ]


def _is_reached(config: Config, name: str) -> bool:
    """Whether a request to a destination leaves this process."""
    return name not in config.inboxes and bool(config.destinations[name].target.url)


def _what_happens(config: Config, event: Example) -> str:
    if not event.sent:
        return "no route sends it, and `gateway explain` says why"
    routes, to = ([*dict.fromkeys(each)] for each in zip(*event.sent, strict=True))
    asked = dict.fromkeys(fetch.destination for route in routes for fetch in config.fetches.get(route, ()))
    if real := [name for name in {**asked, **dict.fromkeys(to)} if _is_reached(config, name)]:
        return f"although it is a test event, it is sent FOR REAL to {joined(real)}"
    who = f'the route "{routes[0]}" sends' if len(routes) == 1 else f"{len(routes)} routes send"
    if len(event.sent) == 1:
        what, then = "it", "the message is in the inbox at once"
    else:
        what, then = f"{len(event.sent)} messages, to {joined(to)}", "they are in the inbox at once"
    return f"{who} {what}, and {then}" if config.inboxes else f"{who} {what} at once"


def _send(config: Config, source: Source, event: Example, ingest_address: str) -> Sequence[str]:
    """How to send more where ``gateway send`` would not find this gateway by itself: another terminal has no GATEWAY_BIND."""
    if ingest_address == USUAL_ADDRESS or event.name not in source.samples:
        return []
    of = ["--source", source.name] if len(config.sources) > 1 else []
    command = shlex.join(["gateway", "send", event.name, *of, "--to", ingest_address])
    return [f"  More, signed and as new events: {command}", ""]


def _curl(url: str, source: Source, event: Example) -> str:
    now = time.time()
    given = Given(name=event.name, body=event.body, headers=event.headers)
    try:
        request = posted(source, fresh(event.body, source.naming, now), given, now)
    except (CannotSign, ValueError):
        return f"  (only {_sender(source)} can sign: let it post to {url})"
    query = b"&".join(filter(None, (event.query.encode(), request.query)))
    return "  " + curl(url, replace(request, query=query))
