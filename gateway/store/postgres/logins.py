"""Logins in the PostgreSQL store: the table, its statements, and rows to values and back."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.store.logins import Login
from gateway.store.postgres.rows import name_of, packed, unpacked

#: Of schema 2. owned_until is by the database's clock, since and until are for people.
LOGINS: Final = """
CREATE TABLE login (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    rev integer NOT NULL,
    sealed bytea NOT NULL,
    by bytea NOT NULL,
    since float8 NOT NULL,
    until float8,
    ended bytea NOT NULL,
    owner text NOT NULL DEFAULT '',
    owned_until float8 NOT NULL DEFAULT 0
);
"""
# As for a hold: two that store the first of a login at once must not both succeed.
SET: Final = """
INSERT INTO login AS l (id, rev, sealed, by, since, until, ended, owner, owned_until)
SELECT $1, $2::integer + 1, $3, $4, $5, $6, $7, $8, gateway_now() + $9::float8
WHERE $2 = 0 OR EXISTS (SELECT 1 FROM login WHERE id = $1 AND rev = $2)
ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, sealed = excluded.sealed, by = excluded.by, since = excluded.since,
    until = excluded.until, ended = excluded.ended, owner = excluded.owner, owned_until = excluded.owned_until
WHERE l.rev = $2
RETURNING rev
"""
ALL: Final = "SELECT id, rev, sealed, by, since, until, ended, owner, owned_until FROM login ORDER BY id"


def row_of(login: Login) -> tuple[Any, ...]:
    """What SET is given."""
    said = (packed(login.by), login.since, login.until, packed(login.ended), name_of(login.owner))
    return (name_of(login.id), login.rev, login.sealed, *said, login.owned_s)


def login_of(row: Mapping[str, Any], now: float) -> Login:
    """A row of ALL as of ``now``."""
    return Login(
        id=row["id"],
        rev=row["rev"],
        sealed=row["sealed"],
        by=unpacked(row["by"]),
        since=row["since"],
        until=row["until"],
        ended=unpacked(row["ended"]),
        owner=row["owner"],
        owned_s=max(0.0, row["owned_until"] - now),
    )
