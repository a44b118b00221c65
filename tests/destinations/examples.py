"""A destination of each kind as tests write it. A new kind needs nothing here unless its address has a shape of its own."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from hypothesis import find
from hypothesis import strategies as st

from gateway.destinations import Kind, Option, Target
from gateway.model import FileAppend, Mail, OutboundRequest

HOST: Final = "https://host.example"

#: Path and query of an address with secrets in the places of ``{}``; of any other kind: ``/{}``.
PATHS: Final[Mapping[str, str]] = {
    "http": "/p/{}?key={}",
    "slack": "/services/T0/B0/{}",
    "discord": "/api/webhooks/1/{}",
    "teams": "/workflows/{}?sig={}",
    "googlechat": "/v1/spaces/A/messages?key={}&token={}",
    "telegram": "/bot1:{}",
    "pagerduty": "/v2/enqueue",
    "twilio": "/2010-04-01/Accounts/AC1/Messages.json",
    "cloudevents": "/p/{}?key={}",
}


def message_of(kind: Kind, made: OutboundRequest) -> object:
    """What people or programs read of a request of that kind."""
    match made:
        case FileAppend(line=line):
            return json.loads(line)
        case Mail(said=said):
            return json.loads(said)
    return dict(kind.message_in(made.body)) if kind.sends_form else json.loads(made.body)


def url(kind: Kind, secret: str = "s3cr3t", host: str = HOST) -> str:
    """An address of that kind."""
    if kind.is_mail:
        return host.replace("https://", "smtps://").replace("http://", "smtp://")
    return host + PATHS.get(kind.name, "/{}").replace("{}", secret)


#: Texts that many options can be: to find one takes seconds.
USUAL: Final = ("0" * 32, "7", "a@b.example", "+14155551234", "@channel", "binary")


@cache
def value_of(option: Option) -> str:
    """A text that it can be."""
    usual = (text for text in USUAL if re.fullmatch(option.pattern or "7", text))
    return next(usual, None) or find(st.from_regex(option.pattern or "7", fullmatch=True), bool)


def options(kind: Kind) -> Mapping[str, str]:
    """The options it cannot do without."""
    return {name: value_of(option) for name, option in kind.options.items() if option.required}


def target(kind: Kind, secret: str = "s3cr3t") -> Target:
    """A destination of that kind, compiled."""
    address = url(kind, secret) if kind.has_url else ""
    path = "" if kind.has_url else "events.ndjson"
    return Target(url=address, path=path, options=options(kind))


def written(kind: Kind, secret: str = "s3cr3t", *, secret_in_url: str | None = None, host: str = HOST) -> str:
    """Its keys in routes.yaml, with the secret in every place that can hold one."""
    address = url(kind, secret if secret_in_url is None else secret_in_url, host)
    has = {
        "url": f"url: '{address}'",
        "path": "path: logs/events.ndjson",
        "headers": f"headers: {{x-key: '{secret}'}}",
        "auth": f"auth: {{basic: {{user: me, password: '{secret}'}}}}"
        if kind.is_mail
        else f"auth: {{bearer: '{secret}'}}",
    }
    keys = [text for key, text in has.items() if key in kind.keys]
    return ", ".join([f"type: {kind.name}", *keys, *(f"{name}: '{text}'" for name, text in options(kind).items())])
