"""The logins of destinations at authorization servers, as they are stored: encrypted, and renewed by one replica at a time."""

from msgspec import Struct


class Login(Struct, frozen=True, kw_only=True):
    """A login whose refresh token is kept, the same for every replica."""

    id: str
    #: The number of changes so far; a change based on an older one is refused.
    rev: int = 0
    #: Its refresh token, encrypted; empty: none was kept yet.
    sealed: bytes = b""
    #: Who logged in; empty: the first refresh token is in routes.yaml.
    by: str = ""
    #: When the refresh token came, and until when the latest access token is valid: seconds since the epoch, by the wall
    #: clock. None: no access token came yet, or it does not say.
    since: float = 0.0
    until: float | None = None
    #: Why it can no longer be used; empty: it can.
    ended: str = ""
    #: The process that uses the refresh token just now, and for how many seconds from now no other may.
    owner: str = ""
    owned_s: float = 0.0
