"""A destination of each kind as tests write it. A new kind needs nothing here unless its address has a shape of its own."""

from collections.abc import Mapping
from typing import Final

from hypothesis import find
from hypothesis import strategies as st

from gateway.destinations import Kind, Option, Target

HOST: Final = "https://host.example"

#: Path and query of an address with secrets in the places of ``{}``; of any other kind: ``/{}``.
PATHS: Final[Mapping[str, str]] = {
    "http": "/p/{}?key={}",
    "slack": "/services/T0/B0/{}",
    "discord": "/api/webhooks/1/{}",
    "teams": "/workflows/{}?sig={}",
    "googlechat": "/v1/spaces/A/messages?key={}&token={}",
    "telegram": "/bot1:{}",
}


def url(kind: Kind, secret: str = "s3cr3t", host: str = HOST) -> str:
    """An address of that kind."""
    return host + PATHS.get(kind.name, "/{}").replace("{}", secret)


def value_of(option: Option) -> str:
    """A text that it can be."""
    return find(st.from_regex(option.pattern or "7", fullmatch=True), bool)


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
        "auth": f"auth: {{bearer: '{secret}'}}",
    }
    keys = [text for key, text in has.items() if key in kind.keys]
    return ", ".join([f"type: {kind.name}", *keys, *(f"{name}: '{text}'" for name, text in options(kind).items())])
