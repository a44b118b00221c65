"""What of an address is a secret, and the address without it. Total on any text."""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from string import punctuation
from typing import Final
from urllib.parse import quote

MASK: Final = "***"
#: Characters from which a value is masked wherever it turns up: a shorter one is a word.
SHORTEST_SECRET: Final = 6
#: The same for a segment of a path: many shorter ones are words.
SHORTEST_SEGMENT: Final = 16
#: Characters of a ``Location`` that are looked at.
_LONGEST_LOCATION: Final = 2_000


def masked_url(url: str, own: str, *, is_path_public: bool) -> str:
    """The url of a request with ``***`` for what is secret in ``own``, its destination's address.

    Everything after the host is secret, unless ``is_path_public``: then only long segments of ``own``'s path and the
    values of its query are.
    """
    scheme, separator, rest = url.partition("://")
    host, slash, after = rest.partition("/")
    if not is_path_public:
        return f"{scheme}{separator}{host}{slash}{MASK if after else ''}"
    path, question, query = after.partition("?")
    own_address, _, own_query = own.partition("?")
    segments = set(_long_segments(own_address))
    path = "/".join(MASK if segment in segments else segment for segment in path.split("/"))
    own_pieces = frozenset(own_query.split("&"))
    query = "&".join(_masked_piece(piece, own_pieces) for piece in query.split("&"))
    return f"{scheme}{separator}{host}{slash}{path}{question}{query}"


def _masked_piece(piece: str, own: Collection[str]) -> str:
    name, equals, _ = piece.partition("=")
    return f"{name}={MASK}" if equals and piece in own else piece


def secrets_of(url: str, *, is_path_public: bool) -> tuple[str, ...]:
    """What must not be shown of a destination's address, wherever it turns up."""
    after = after_host(url)
    whole = () if is_path_public or len(after) < SHORTEST_SECRET else (after,)
    return (*whole, *(each for each in parts_that_open(url) if len(each) >= SHORTEST_SECRET))


def after_host(url: str) -> str:
    """The path and query of an address, without the first slash."""
    return url.partition("://")[2].partition("/")[2]


def parts_that_open(url: str) -> Iterator[str]:
    """The parts of an address that may be secrets by themselves: its login, long segments, the values of its query."""
    address, _, query = url.partition("?")
    host = address.partition("://")[2].partition("/")[0]
    yield from filter(None, host.rpartition("@")[0].split(":"))
    yield from _long_segments(address)
    yield from (piece.partition("=")[2] for piece in query.partition("#")[0].split("&"))


def _long_segments(address: str) -> Iterator[str]:
    return (segment for segment in address.split("/")[3:] if len(segment) >= SHORTEST_SEGMENT)


_LOCATION: Final = re.compile(r"((?:[a-z][a-z0-9+.-]*:)?//)?([^/?#]*@)?([^?#]*)(\??[^#]*)", re.IGNORECASE)


def masked_location(location: str, secrets: Iterable[str]) -> str:
    """Where an answer points, on one line, with ``***`` for the secrets and for whatever else may be one; at most 200 characters."""
    text = quote(location[:_LONGEST_LOCATION], safe=punctuation, errors="replace")
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    found = _LOCATION.match(text)
    scheme, login, path, query = found.groups("") if found else ("", "", "", "")
    host, *segments = path.split("/")
    path = "/".join([host, *(MASK if len(each) >= SHORTEST_SEGMENT else each for each in segments)])
    pieces = (piece.partition("=")[:2] for piece in query.removeprefix("?").split("&") if piece)
    query = "&".join(f"{name}={MASK}" if equals else MASK for name, equals in pieces)
    return f"{scheme}{f'{MASK}@' if login else ''}{path}{'?' if query else ''}{query}"[:200]


def masked_path(path: str) -> str:
    """The path of a received request: what follows ``/in/name`` may be a secret."""
    parts = path[:200].split("/")
    return "/".join([*parts[:3], MASK]) if len(parts) > 3 else path[:200]


# --- addresses in the lines of a file ---

#: An address on a line that may not even be YAML. A sign that ends a value in YAML belongs to the address if more follows,
#: and so does all of a tag of a template.
_ADDRESS: Final = r"(?P<host>[a-z][a-z0-9+.-]{0,30}://[^\s/?\"',}\]]+[/?])(?P<secret>(?:\{\{[^{}\n\"]{0,200}\}\}|[^\s\"',}\]]|[\"',}\]](?=[^\s\"',}\]]))+)"
_AN_ADDRESS: Final = re.compile(_ADDRESS, re.IGNORECASE)
#: One after a key that holds an address, whatever signs are between the two.
_UNDER_A_KEY: Final = re.compile(
    rf"(?<![\w-])(?:url|uri|endpoint|address|webhook_url)[\"']?\s*:[^\w\n]*{_ADDRESS}", re.IGNORECASE
)


def starred(line: str, public: Collection[str] = (), *, is_yaml: bool = True) -> str:
    """A line of a file with a star for each character after the host of an address; three at least at the end of the line.

    Addresses that are not the value of a key such as ``url`` are left alone if the file ``is_yaml``, and so are those that
    begin one of the ``public``.
    """
    known = sorted(public)

    def with_stars(found: re.Match[str]) -> str:
        address, secret = found["host"] + found["secret"], found["secret"]
        at = bisect_left(known, address)
        is_public = at < len(known) and known[at].startswith(address)
        return found[0] if is_public else found[0].removesuffix(secret) + _stars(found, secret)

    return (_UNDER_A_KEY if is_yaml else _AN_ADDRESS).sub(with_stars, line)


def starred_after(marks: Iterable[str]) -> Callable[[str], str]:
    """What puts stars for the login of any address in a text, and for what follows one of the ``marks``: ``hooks.slack.com/``."""
    after = "".join(rf"|(?<={re.escape(mark)})[^\s\"',}}\]]+" for mark in marks)
    secret = re.compile(rf"(?<=://)[^\s\"']{{1,300}}(?=@){after}")
    return lambda text: secret.sub(lambda found: _stars(found, found[0]), text)


def _stars(found: re.Match[str], secret: str) -> str:
    """As many as the secret has characters, so that what follows keeps its column; at the end of a line three at least."""
    is_at_end = _ENDING.match(found.string, found.end()) is not None
    return "*" * max(len(secret), len(MASK) if is_at_end else 0)


#: What closes a value at the end of a line.
_ENDING: Final = re.compile(r"[ \"'}\]]*\Z")
