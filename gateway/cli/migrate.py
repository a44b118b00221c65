"""``gateway migrate``: bring a database to the schema of this release."""

import asyncio

from gateway.cli import terminal
from gateway.store import migrate as migrated
from gateway.store import shown


def migrate(*, store: str, as_json: bool) -> int:
    """Say from which version to which one."""
    steps = asyncio.run(migrated(store))
    name = shown(store)
    if as_json:
        before, after = steps or (None, None)
        terminal.print_json({"store": name, "from": before, "to": after})
    elif steps is None:
        terminal.say(f"{name}: nothing to do: a file is migrated when a gateway opens it")
    elif steps[0] == steps[1]:
        terminal.say(f"{name}: nothing to do: it has schema {steps[1]}")
    elif steps[0]:
        terminal.say(f"{name}: from schema {steps[0]} to schema {steps[1]}")
    else:
        terminal.say(f"{name}: an empty database, now with schema {steps[1]}")
    return 0
