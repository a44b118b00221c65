"""A request as a curl command. Pure."""

import base64
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from gateway.egress import Door, unix
from gateway.model import HttpRequest
from gateway.wording import printable

#: Separates the parts of a command over several lines.
LINES: Final = " \\\n  "


def command(request: HttpRequest, *, options: Sequence[str] = (), between: str = LINES) -> str:
    """The curl command for a request, with the options of its destination. Bytes that could control a terminal are in base64.

    It does what the gateway does, whatever the body or a value begins with: curl would read a file for ``@``.
    """
    parts = [f"curl -sS{_method(request)} {_address(request.url)}", *options]
    parts += [f"-H {shlex.quote(f'{name}: {value}' if value else f'{name};')}" for name, value in request.headers]
    before = ""
    if request.body:
        if all(name.lower() != "content-type" for name, _ in request.headers):
            parts.append("-H content-type:")  # curl would call it a form
        text = request.body.decode("utf-8", "replace")
        if all(map(_is_plain, text)):
            parts.append(f"--data-raw {shlex.quote(text)}")
        else:
            # Bytes that a terminal or a shell would interpret.
            before = f"printf %s {base64.b64encode(request.body).decode()} | base64 -d | "
            parts.append("--data-binary @-")
    return before + between.join(parts)


def _address(url: str) -> str:
    """The url with what curl needs to send it as it is written."""
    if url.startswith(unix.SCHEME):
        # The socket of an address that was masked is not known.
        with suppress(ValueError):
            path, asked = unix.parted(url)
            return f"--unix-socket {shlex.quote(path)} {_address(asked)}"
    exact = [
        "--globoff " if re.search(r"[\[\]{}]", url) else "",
        "--path-as-is " if re.search(r"/\.{1,2}(?:[/?]|$)", url) else "",
    ]
    return f"{''.join(exact)}{shlex.quote(url)}"


def options(door: Door) -> Iterator[str]:
    """The options that a destination's door comes to, quoted for a shell, without the login of a proxy."""
    if door.proxy:
        scheme, _, rest = door.proxy.partition("://")
        without_login = f"{scheme}://{rest.rpartition('@')[2]}"
        yield f"--proxy {shlex.quote(without_login)}"
    if door.cert:
        yield f"--cert {shlex.quote(door.cert)}"
    if door.key:
        yield f"--key {shlex.quote(door.key)}"
    if door.least_tls == "1.3":
        yield "--tlsv1.3"
    if door.http2:
        yield "--http2"


def _method(request: HttpRequest) -> str:
    match request.method:
        case "HEAD":
            return " --head"  # with --request HEAD curl would wait for a body
        case "POST" if request.body:
            return ""
        case method:
            return f" --request {method}"


def _is_plain(character: str) -> bool:
    return character == "\n" or printable(character) == character != "\N{REPLACEMENT CHARACTER}"
