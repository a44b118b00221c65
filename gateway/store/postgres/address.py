"""Where a PostgreSQL store is: what its URL says, and how it is shown, without a password. Pure."""

import re
from typing import Final, Self
from urllib.parse import parse_qsl, quote, urlencode

from msgspec import Struct

from gateway.errors import StoreError
from gateway.model import Secret

SCHEMES: Final = ("postgresql://", "postgres://")
#: Parameters of the URL that are ours, with the values that they accept; PostgreSQL never sees them.
_OURS: Final = {"pooler": ("true", "false"), "synchronous_commit": ("on", "off")}
_SHAPE: Final = "write postgresql://user:password@host:5432/database, with %40 for an @ in the password, %2F for a /"
# More "@" or "/" than there may be: a password with one has to be percent-encoded.
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^][@:,/?#]*)(?::[0-9]+)?"
_WHOLE: Final = re.compile(rf"postgres(?:ql)?://(?:[^@/?#]*@)?{_HOST}(?:,{_HOST})*/[^/@?#]+(?:\?[^#]*)?")
#: Parameters that hold a secret.
_SECRET: Final = frozenset({"password", "passfile", "sslpassword"})


class Address(Struct, frozen=True, kw_only=True):
    """One database."""

    #: What to connect to. It may have a password.
    dsn: Secret
    #: For LISTEN, session locks and ``gateway migrate``; where a pooler is in between, None if no direct URL is known.
    direct: Secret | None
    #: ``postgresql://gateway@db.internal/gateway``: for people.
    name: str
    #: Whether PgBouncer in transaction mode is in between: no named statements, session locks or LISTEN.
    pooler: bool
    #: Whether a server that may lose acknowledged events in a crash is accepted (``?synchronous_commit=off``).
    may_lose: bool

    @classmethod
    def of(cls, url: str, direct: str = "") -> Self:
        """From the URL of the store and from GATEWAY_STORE_DIRECT. Raises StoreError, which shows no password."""
        dsn, ours = _taken_apart(url)
        pooler = ours.get("pooler") == "true"
        beside = Secret(_taken_apart(direct)[0]) if direct else None if pooler else Secret(dsn)
        return cls(
            dsn=Secret(dsn),
            direct=beside,
            name=shown(dsn),
            pooler=pooler,
            may_lose=ours.get("synchronous_commit") == "off",
        )


def is_database(url: str) -> bool:
    """Whether a store with this URL is a PostgreSQL database."""
    return url.startswith(SCHEMES)


def _taken_apart(url: str) -> tuple[str, dict[str, str]]:
    """The URL without our own parameters, and these."""
    if not _WHOLE.fullmatch(url):
        raise StoreError(f'"{shown(url)}" is not the URL of a PostgreSQL database: {_SHAPE}')
    base, _, query = url.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise StoreError(f'"{shown(url)}" has parameters that are not name=value: {_SHAPE}') from None
    ours = {name: value for name, value in pairs if name in _OURS}
    for name, value in ours.items():
        if value not in _OURS[name]:
            raise StoreError(f"{shown(url)}: {name}={value} is not valid: write {' or '.join(_OURS[name])}")
    theirs = urlencode([pair for pair in pairs if pair[0] not in _OURS], quote_via=quote, safe="/,")
    return base + (f"?{theirs}" if theirs else ""), ours


def shown(url: str) -> str:
    """A URL without what is secret in it, also one that is not valid."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    if _WHOLE.fullmatch(url):
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
    else:
        # A password may have anything unescaped: nothing up to the last "@" is shown but the user's name.
        (user, at, host), slash, path = rest.rpartition("@"), "", ""
    path, question, query = (host + slash + path).partition("?")
    kept = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in _SECRET)
    return f"{scheme}{separator}{re.split('[:/?#]', user)[0]}{at}{path}{question if kept else ''}{kept}"
