"""An example of each verb, for its help page and its page in the documentation."""

from collections.abc import Iterator, Mapping
from typing import Final

import click

#: By the verb, or by the verb and the one below it. Each can be typed as it is.
EXAMPLES: Final[Mapping[str, str]] = {
    "init": "gateway init my-gateway --source github --to slack",
    "dev": "gateway dev --bind 127.0.0.1:8080",
    "serve": "gateway serve --env-file .env --watch",
    "check": "gateway check --strict --no-env",
    "test": "gateway test --config deploy/routes.yaml",
    "explain": "gateway explain contact.created --set attrs.type=customer",
    "render": "gateway render slack/contact-created.json.j2 --event contact.created",
    "schema": "gateway schema > routes.schema.json",
    "sources": "gateway sources github",
    "send": "gateway send push.json --source github --header 'X-GitHub-Event: push'",
    "sign": "gateway sign contact.created --url http://127.0.0.1:8080",
    "verify": "gateway verify --source stripe --request request.json",
    "capture": "gateway capture github",
    "events": "gateway events --find data.id=451 --since 2h",
    "show": "gateway show evt_0190163c-8694-739b-aea5-966c26f8ad90 --why",
    "dead": "gateway dead --destination crm --list",
    "refused": "gateway refused --source github --reason 401",
    "tail": "gateway tail --source xobito --type 'contact.*'",
    "activity": "gateway activity --limit 50",
    "replicas": "gateway replicas --json",
    "replay": "gateway replay --dead --destination crm --since 2h --dry-run",
    "discard": "gateway discard --dead --destination old-crm --reason 'it is gone'",
    "forget": "gateway forget --find attrs.phone=+14155551234 --dry-run",
    "destinations": "gateway destinations --json",
    "destinations pause": "gateway destinations pause crm --reason 'their migration' --for 2h",
    "destinations resume": "gateway destinations resume crm",
    "destinations mute": "gateway destinations mute crm --reason 'known outage' --for 8h",
    "destinations unmute": "gateway destinations unmute crm",
    "login": "gateway login crm",
    "handshake": "gateway handshake asana",
    "reload": "gateway reload",
    "doctor": "gateway doctor --online",
    "backup": "gateway backup gateway-2026-11-30.db",
    "migrate": "gateway migrate --store postgresql://gateway@db.internal/gateway",
    "copy": "gateway copy --from sqlite:///gateway.db --to postgresql://gateway@db.internal/gateway",
    "completion": "gateway completion fish",
}


def commands(verbs: Mapping[str, click.Command], before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb with its whole name, those below a verb after it."""
    for name, command in verbs.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command.commands, f"{name} ")


def add(verbs: Mapping[str, click.Command]) -> None:
    """Show its example below the help of each verb."""
    for called, command in commands(verbs):
        if called in EXAMPLES:
            command.epilog = f"Example: {EXAMPLES[called]}"
