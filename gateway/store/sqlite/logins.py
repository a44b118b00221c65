"""Logins in the SQLite store: its statements, and rows to values and back."""

from collections.abc import Sequence
from typing import Any, Final

import apsw

from gateway.store.logins import Login
from gateway.store.sqlite.rows import storable

_SET: Final = """
INSERT INTO login (id, rev, sealed, by, since, until, ended, owner, owned_until)
SELECT ?1, ?2 + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE ?2 = coalesce((SELECT rev FROM login WHERE id = ?1), 0)
ON CONFLICT DO UPDATE SET rev = excluded.rev, sealed = excluded.sealed, by = excluded.by, since = excluded.since,
    until = excluded.until, ended = excluded.ended, owner = excluded.owner, owned_until = excluded.owned_until
"""
_ALL: Final = "SELECT id, rev, sealed, by, since, until, ended, owner, owned_until FROM login ORDER BY id"


def keep(db: apsw.Connection, login: Login, now: float) -> bool:
    """Store a login; False: it is not based on the present revision."""
    said = (storable(login.by), login.since, login.until, storable(login.ended), storable(login.owner))
    db.execute(_SET, (storable(login.id), login.rev, login.sealed, *said, now + login.owned_s))
    return db.changes() > 0


def every(db: apsw.Connection, now: float) -> Sequence[Login]:
    """All of them, by id."""
    rows: list[Any] = db.execute(_ALL).fetchall()
    return [_login(row, now) for row in rows]


def _login(row: Sequence[Any], now: float) -> Login:
    id_, rev, sealed, by, since, until, ended, owner, owned_until = row
    owned_s = max(0.0, owned_until - now)
    return Login(
        id=id_, rev=rev, sealed=sealed, by=by, since=since, until=until, ended=ended, owner=owner, owned_s=owned_s
    )
