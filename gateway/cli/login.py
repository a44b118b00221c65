"""``gateway login``: a person logs in for a destination, and the running gateway keeps the login."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.cli import api, surroundings, terminal
from gateway.egress import Egress
from gateway.errors import GatewayError
from gateway.oauth import login as flow
from gateway.oauth.settings import OAuth
from gateway.routing import Destination
from gateway.wording import suggest_or_list

#: How long the browser may take to come back, seconds.
PATIENCE_S: Final = 600.0
#: How long a browser's request may take, seconds, and how many bytes of it are read.
REQUEST_S: Final = 10.0
LONGEST_REQUEST: Final = 32_768
#: Says lines to the person.
Say = Callable[..., None]
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_DONE: Final = "Go back to the terminal: it hands the login to the gateway."
_NOT_OURS: Final = "This address belongs to another login: use the page that the terminal printed last."


class NoLogin(GatewayError):
    """The destination has no login that a person could make."""

    exit_code = 2


class CannotListen(GatewayError):
    """The address where the browser comes back is in use, or not on this machine."""


def log_in(*, name: str, config: Path, url: str, paste: bool, as_json: bool) -> int:
    """Log in for a destination, and hand the refresh token to the running gateway."""
    destination = _destination(name, config)
    oauth = destination.oauth
    assert oauth is not None
    # Before anybody takes the trouble.
    api.ask(url, "/api/destinations")
    # On standard error, where no program looks for JSON.
    say = _flushed(terminal.note if as_json else terminal.say)
    token = asyncio.run(_logged_in(oauth, destination, say, is_pasted=paste))
    answer = api.ask(url, f"/api/destinations/{api.part(name)}/login", {"refresh_token": token, "by": api.who()})
    if as_json:
        terminal.print_json(answer)
        return 0
    terminal.say(f"{name} is logged in.")
    if others := [each for each in answer["destinations"] if each != name]:
        terminal.say(f"So {'is' if len(others) == 1 else 'are'} {', '.join(others)}, with the same settings.")
    return 0


def _flushed(say: Callable[[str], None]) -> Say:
    """Says each line at once: somebody waits for it, perhaps through a pipe."""

    def said(*lines: str) -> None:
        for line in lines:
            say(line)
        sys.stdout.flush()

    return said


def _destination(name: str, config: Path) -> Destination:
    found = surroundings.loaded(config)
    destination = found.destinations.get(name)
    if destination is None:
        raise NoLogin(f"unknown destination {name}  ({suggest_or_list(name, found.destinations)})")
    if destination.oauth is None:
        raise NoLogin(f"{name} does not use OAuth: give it auth: {{oauth2: ...}} in {config}")
    if not destination.oauth.is_by_a_person:
        raise NoLogin(f"{name} needs no login: its grant is {destination.oauth.grant}")
    return destination


async def _logged_in(oauth: OAuth, destination: Destination, say: Say, *, is_pasted: bool) -> str:
    egress, door = Egress(), destination.door
    try:
        if oauth.grant == "device_code":
            device = await flow.device(oauth, egress=egress, door=door)
            say(f"Open {device.complete_url or device.url} and confirm the code {device.user_code}")
            return await flow.confirmed(oauth, device, egress=egress, door=door)
        page = flow.page(oauth)
        code = await (_pasted(page, say) if is_pasted or not _is_here(oauth) else _heard(oauth, page, say))
        return await flow.redeemed(oauth, page, code, egress=egress, door=door)
    finally:
        await egress.close()


def _is_here(oauth: OAuth) -> bool:
    """Whether the browser is sent to this machine."""
    parts = urlsplit(oauth.redirect_url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


async def _pasted(page: flow.Page, say: Say) -> str:
    say("Open this page and log in:", page.url, "Then paste the address that the browser ends up at:")
    # A browser shows it even if nothing is there.
    line = await asyncio.to_thread(sys.stdin.readline)
    return flow.code_of(page, line)


async def _heard(oauth: OAuth, page: flow.Page, say: Say) -> str:
    """The code, once the browser has come back to this machine."""
    parts = urlsplit(oauth.redirect_url)
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    host = "::1" if parts.hostname == "::1" else "127.0.0.1"
    listener = _Listener(parts.path or "/", page, heard, say)
    try:
        server = await asyncio.start_server(listener.serve, host, parts.port or 80, limit=LONGEST_REQUEST)
    except OSError as error:
        raise CannotListen(
            f"cannot listen at {oauth.redirect_url}, where the browser comes back ({error.strerror}): stop what listens there, "
            "or use --paste"
        ) from None
    async with server:
        say("Open this page and log in:", page.url)
        say(f"Waiting at {oauth.redirect_url} for the browser; if it is on another machine, use --paste")
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await heard
        except TimeoutError:
            raise flow.LoginFailed("the browser did not come back in time: run the command again") from None


class _Listener:
    """Accepts the one request that brings the code; any other changes nothing."""

    def __init__(self, path: str, page: flow.Page, heard: "asyncio.Future[str]", say: Say) -> None:
        self._path, self._page, self._heard, self._say = path, page, heard, say

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, text = self._answer(head.decode("latin-1").partition("\r\n")[0].split(" "))
                body = text.encode()
                lines = (
                    f"HTTP/1.1 {status}", "content-type: text/plain; charset=utf-8", f"content-length: {len(body)}",
                    "cache-control: no-store", "x-content-type-options: nosniff", "referrer-policy: no-referrer", "connection: close", "", "",
                )  # fmt: skip
                writer.write("\r\n".join(lines).encode() + body)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    def _answer(self, request: list[str]) -> tuple[str, str]:
        target = request[1] if len(request) == 3 and request[0] == "GET" else ""
        if urlsplit(target).path != self._path or self._heard.done():
            return "404 Not Found", "There is nothing here."
        try:
            self._heard.set_result(flow.code_of(self._page, target))
        except flow.OtherState as error:
            self._say(f"Ignored a redirect: {error}")
            return "400 Bad Request", _NOT_OURS
        except flow.LoginFailed as error:
            self._heard.set_exception(error)
            return "400 Bad Request", str(error)
        return "200 OK", _DONE
