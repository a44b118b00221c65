"""What verbs print of requests, without the secrets that they hold."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, quote_plus, urlsplit

from gateway.config import Config
from gateway.config.include import read_all
from gateway.config.references import References
from gateway.config.report import Report
from gateway.config.values import TEST_TEXT, Reading
from gateway.render.values import ESCAPERS, html_escape

#: Characters from which a value from outside is masked wherever it turns up: a shorter one is no secret.
_SHORTEST: Final = 6
#: The same of a part of an address: shorter ones are words.
_SHORTEST_OF_PATH: Final = 16
_REFERENCE: Final = re.compile(r"\$\{(file:[^}]+|[A-Za-z_][A-Za-z0-9_]*)")
MASK: Final = "***"


class Masks:
    """Texts that are never printed, and the ways in which a request may spell them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        kept = {secret for secret in secrets if len(secret) >= _SHORTEST}
        # An escaped text can be shorter, down to nothing, which stands everywhere.
        spelled = {each for secret in kept for each in _spellings(secret) if len(each) >= _SHORTEST}
        # The longest first: one secret may be a part of another.
        found = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))
        self._pattern = re.compile(found) if found else None

    @classmethod
    def of(cls, path: Path, environ: Mapping[str, str], config: Config) -> Self:
        """Those of a file that was loaded as ``config``: all that came from outside, and what it holds as a secret."""
        return cls([*_foreign(path, environ), *_declared(config)])

    def text(self, text: str) -> str:
        """The text with ``***`` in place of every secret."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def value(self, value: object) -> object:
        """A JSON value with every text in it masked, and a number that is a secret."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(each) for key, each in value.items()}
            case list() | tuple():
                return [self.value(each) for each in value]
            case int() | float() if self.text(str(value)) != str(value):
                return MASK
        return value

    def url(self, url: str) -> str:
        """The host stays: it says where a request goes, also when it comes from a variable."""
        scheme, separator, rest = url.partition("://")
        host, slash, behind = rest.partition("/")
        return f"{scheme}{separator}{host}{slash}{self.text(behind)}"


def _spellings(secret: str) -> Iterator[str]:
    """As it is and escaped for chats and HTML, each also inside JSON; in a url; in a form."""
    for escaped in {html_escape(secret), *(escape(secret) for escape in ESCAPERS.values())}:
        yield escaped
        yield from (json.dumps(escaped, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    try:
        yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    except UnicodeEncodeError:
        # Half a surrogate pair, from a variable that is not UTF-8: no url has it.
        return


def _foreign(path: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """The value of every variable and file that the configuration names."""
    references = References(environ, path.parent)
    for name in sorted(_names(path)):
        value = references.resolve(f"${{{name}}}").text
        yield value
        yield from _of_address(value)


def _names(path: Path) -> set[str]:
    reading = Reading(Report(path.name), References({}, path.parent, TEST_TEXT), dev=False, no_env=True)
    written = read_all(reading, path)
    content = () if written is None else written.content
    return {found[1] for data in content for found in _REFERENCE.finditer(data.decode("utf-8", "replace"))}


def _of_address(value: str) -> Iterator[str]:
    """The parts of a url that open it."""
    if "://" not in value:
        return
    try:
        parts = urlsplit(value)
    except ValueError:
        return
    yield from filter(None, (parts.username, parts.password))
    yield from (each.partition("=")[2] for each in parts.query.split("&"))
    yield from (each for each in parts.path.split("/") if len(each) >= _SHORTEST_OF_PATH)


def _declared(config: Config) -> Iterator[str]:
    for source in config.sources.values():
        yield from (secret.reveal() for secret in source.secrets)
    for destination in config.destinations.values():
        if destination.target.auth is not None:
            value = destination.target.auth[1]
            yield from (value, value.rpartition(" ")[2])
