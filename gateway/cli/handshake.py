"""``gateway handshake``: accept the secret that a sender chooses."""

from gateway.cli import api, terminal
from gateway.cli.terminal import local


def expect(name: str, *, url: str, as_json: bool) -> int:
    """Accept what comes in a handshake of a source during the next ten minutes."""
    answer = api.ask(url, f"/api/sources/{api.part(name)}/handshake", {"by": api.who()})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.say(
            f"{name} accepts a secret from its sender until {local(answer['until'])}: create the webhook there now"
        )
    return 0
