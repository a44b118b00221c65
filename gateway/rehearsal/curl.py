"""A request as a curl command. Pure."""

import base64
import shlex
from typing import Final

from gateway.model import HttpRequest
from gateway.wording import printable

#: Separates the parts of a command over several lines.
LINES: Final = " \\\n  "


def command(request: HttpRequest, *, between: str = LINES) -> str:
    """The curl command for a request. Bytes that could control a terminal are in base64."""
    parts = [f"curl -sS{_method(request)} {shlex.quote(request.url)}"]
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers]
    before = ""
    if request.body:
        text = request.body.decode("utf-8", "replace")
        if all(map(_is_plain, text)):
            parts.append(f"--data-binary {shlex.quote(text)}")
        else:
            # Bytes that a terminal or a shell would interpret.
            before = f"printf %s {base64.b64encode(request.body).decode()} | base64 -d | "
            parts.append("--data-binary @-")
    return before + between.join(parts)


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
