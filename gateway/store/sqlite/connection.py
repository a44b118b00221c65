"""How the file is opened, by its owner and by readers: checks, and what SQLite's errors mean."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import apsw

from gateway.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from gateway.event import tracks
from gateway.store.contents import searchable
from gateway.store.rules import cause_of, mentions, state_before
from gateway.store.sqlite import tables

#: How long a caller waits while another program holds the file, seconds; its answer is to leave within 1 s.
BUSY_S: Final = 0.9
#: How long the writer waits at a time: then it looks at who has waited too long, seconds.
BUSY_LOOK_S: Final = 0.02
#: How long the file is checked at its start, at most, seconds: after a clean end, and after any other.
CLEAN_CHECK_S: Final = 1.0
CHECK_S: Final = 5.0
#: The number of statements that stay compiled: every size of every statement that carries many rows, and the rest.
STATEMENTS: Final = 256


def connect(path: str, flags: int) -> apsw.Connection:
    connection = apsw.Connection(path, flags=flags, statementcachesize=STATEMENTS)
    connection.set_busy_timeout(int(BUSY_S * 1000))
    connection.execute("PRAGMA cache_size = -16384")
    connection.create_scalar_function("cause_of", _cause_of, 1, deterministic=True)
    connection.create_scalar_function("content_of", _content_of, 1, deterministic=True)
    connection.create_scalar_function("key_of", _key_of, 1, deterministic=True)
    connection.create_scalar_function("mentions", _mentions, 2, deterministic=True)
    connection.create_scalar_function("state_before", _state_before, 1, deterministic=True)
    return connection


def _cause_of(*values: Any) -> str:
    return cause_of(str(values[0]))


def _content_of(*values: Any) -> bytes:
    return searchable(values[0])


def _key_of(*values: Any) -> bytes | None:
    return values[0] and tracks.only_key(values[0])


def _mentions(*values: Any) -> int:
    text, value = values
    return int(mentions(text, value))


def _state_before(*values: Any) -> str:
    return state_before(values[0]).value


def sqlite_version() -> str:
    return apsw.sqlite_lib_version()


def check_version(connection: apsw.Connection, path: str) -> int:
    """The format of one of our files; 0: a new, empty one. Any other file is refused and left as it is."""
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if application != tables.APPLICATION:
        if application or version or connection.execute("SELECT count(*) FROM sqlite_schema").get:
            raise StoreError(f"{path} is a SQLite database of another program; name another file")
        return 0
    if version > tables.VERSION:
        raise StoreTooNew(
            f"{path} has format {version}, written by a newer release; this one reads up to format {tables.VERSION}: use the newer one"
        )
    return int(version)


def refuse_old(connection: apsw.Connection, path: str) -> None:
    """Refuse to read a file of an older format: only its owner brings it up to date."""
    version = check_version(connection, path)
    if version < tables.VERSION:
        raise StoreError(
            f"{path} has format {version}, written by an older release: start the gateway once, which brings it to "
            f"{tables.VERSION}"
        )


def migrate(connection: apsw.Connection, version: int) -> None:
    """Bring a file of an older format, or a new one, to the present format: all or nothing."""
    steps = [tables.MIGRATIONS[step] for step in range(max(version, 1), tables.VERSION)]
    if not version:
        steps.insert(0, tables.SCHEMA)
    if steps:
        connection.execute(f"BEGIN IMMEDIATE; {' '.join(steps)} COMMIT")


def quick_check(connection: apsw.Connection, path: str, most_s: float) -> bool:
    """Check the file for at most ``most_s``; whether that was time for all of it. Raises StoreCorrupt."""
    until = time.monotonic() + most_s
    connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        finding = connection.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        return False
    finally:
        connection.set_progress_handler(None)
    if finding != "ok":
        raise corrupt(path, finding)
    return True


def corrupt(path: str, finding: object) -> StoreCorrupt:
    line = str(finding).replace("\n", " ")
    return StoreCorrupt(f"{path} is damaged ({line}) and was left as it is: restore a backup, or name another file")


@contextmanager
def opening(path: str) -> Generator[None]:
    """Translate SQLite's errors for a file that is being opened or read."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise corrupt(path, error) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreUnavailable(busy_message(path)) from error
    except (apsw.Error, OSError) as error:
        raise StoreUnavailable(f"{path} cannot be opened ({error}): check its permissions and the disk") from error


def busy_message(path: str) -> str:
    return f"{path} is locked by another program, and has been for {BUSY_S:g} s: close that program"


def emptied(path: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{path} is empty, and has held events ({path}.lock says so), so it was left as it is: restore a backup, or remove "
        f"{path}.lock to begin with an empty store"
    )


def disk_message(path: str, error: BaseException) -> str:
    return f"{path}: writing failed ({error}) and nothing was stored: check the disk and its free space"


def unchecked_message(path: str) -> str:
    return f"{path}: writing failed, and the file has not been opened again and checked yet; nothing was stored"


def gone_message(path: str) -> str:
    return (
        f"{path} was removed, replaced or truncated while it was in use, so no more events are accepted: "
        "put it back, or what is left of it, and start again"
    )


def log_gone_message(path: str) -> str:
    return (
        f"{path}-wal was removed or replaced while it was in use, so no more events are accepted: what was stored has been "
        f"copied into {path}; keep other programs away from both files and start again"
    )
