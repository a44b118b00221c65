"""What ``gateway dev`` prints when it is ready."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway import presets
from gateway.cli.samples import curl, fresh, posted
from gateway.routing import Config, Source
from gateway.signatures import CannotSign
from gateway.store import shown


def banner(config: Config, ingest_address: str, admin_address: str, store_url: str) -> str:
    """Where everything is, and a request to paste."""
    source = next(iter(config.sources.values()), None)
    lines = ["", f"  Console   {admin_address}/"]
    if config.inboxes:
        lines += [
            f"  Inbox     {admin_address}/inbox   records {', '.join(sorted(config.inboxes))}: their url is not set"
        ]
    command = Path(sys.argv[0]).absolute()
    lines += [
        f"  Data      {shown(store_url)}",
        f"  Command   {command}",
        "  Stop      Ctrl-C; the next start continues where it left off",
    ]
    if source is None:
        return "\n".join([*lines, "", "  routes.yaml has no source yet: add one to receive events.", ""])
    url = f"{ingest_address}{source.path}"
    lines += [
        f"  Events    {url}",
        *_advice(config, source, ingest_address),
        "",
        f"  Paste this; {_what_happens(config)}. Pasted again, it is recognised as a duplicate:",
        "",
        _curl(url, config),
        "",
    ]
    return "\n".join(lines)


def _advice(config: Config, source: Source, ingest_address: str) -> Sequence[str]:
    title = presets.load(source.preset).title
    if source.name in config.demo_sources:
        return [
            f"            verified with the demo secret, which everyone knows: before {title} may post here,",
            "            put the secret you typed there into .env; it takes effect as soon as you save it",
        ]
    return [
        f"            {title} must reach it from the internet: give it https://<your-host>{source.path},",
        f"            or, to try it out, the address that this prints: cloudflared tunnel --url {ingest_address}",
    ]


def _what_happens(config: Config) -> str:
    real = sorted(
        name
        for name, destination in config.destinations.items()
        if name not in config.inboxes and destination.target.url
    )
    if real:
        return f"a test contact, John Doe, is sent FOR REAL to any of these that its routes name: {', '.join(real)}"
    return "the message is in the inbox at once" if config.inboxes else "`gateway events` lists it at once"


def _curl(url: str, config: Config) -> str:
    source = next(iter(config.sources.values()))
    samples = source.samples
    if not samples:
        return f"  (source {source.name} has no sample: post to {url})"
    name = "contact.created" if "contact.created" in samples else next(iter(samples))
    try:
        return "  " + curl(url, posted(source, fresh(samples[name], source.naming, time.time()), name, time.time()))
    except (CannotSign, ValueError):
        return f"  (only {presets.load(source.preset).title} can sign: let it post to {url})"
