"""Urls of Unix sockets, as other tools write them: ``http+unix://%2Frun%2Fapp.sock/path``. Pure."""

import re
from typing import Final
from urllib.parse import unquote

#: How such a url begins.
SCHEME: Final = "http+unix://"
#: What is asked for over a socket, before the path.
PLACE: Final = "http://localhost"
EXAMPLE: Final = "write http+unix://%2Frun%2Fapp.sock/path"
#: Bytes that the path of a socket may have (sun_path of Linux, without its NUL).
LONGEST: Final = 107

_PARTS: Final = re.compile(r"([^/?#]*)(.*)", re.DOTALL)


def parted(url: str) -> tuple[str, str]:
    """The path of the socket, and the url that is asked for over it. ValueError with the reason if there is none."""
    found = _PARTS.fullmatch(url, len(SCHEME)) if url.startswith(SCHEME) else None
    path = "" if found is None else unquote(found[1])
    # An address reads brackets as those of IPv6.
    if found is None or not path.startswith("/") or not path.isprintable() or {*"[]"} & {*found[1]}:
        raise ValueError("the socket's path must begin with / and be percent-encoded")
    if len(path.encode()) > LONGEST:
        raise ValueError(f"the socket's path must not be longer than {LONGEST} bytes")
    return path, f"{PLACE}{'' if found[2].startswith('/') else '/'}{found[2]}"
