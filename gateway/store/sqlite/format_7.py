"""What format 7 of the SQLite file adds; no I/O."""

from typing import Final

#: Deliveries that gather: a digest has a row for each of its events, a debounced delivery has one, and so has one that waits
#: in its lane and then for its time.
TIMING: Final = """
    CREATE TABLE timing (
        delivery_seq INTEGER PRIMARY KEY REFERENCES delivery,
        head TEXT NOT NULL,
        open TEXT,
        began REAL NOT NULL,
        due REAL NOT NULL,
        count INTEGER NOT NULL,
        size INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX timing_open ON timing (open) WHERE open IS NOT NULL;
    CREATE INDEX timing_head ON timing (head) WHERE head <> '';
"""

#: What entries remember of answers; a trigger counts the keys of each name, so that there is a most. A delivery that
#: waits for one has its due time in ``until``: one that differs by now has been tried, or is no longer waiting.
MEMORY: Final = """
    CREATE TABLE memory (
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        said TEXT NOT NULL,
        event_id TEXT NOT NULL,
        remembered_at REAL NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX memory_expires ON memory (expires);
    CREATE INDEX memory_by ON memory (event_id);
    CREATE INDEX memory_age ON memory (name, remembered_at);
    CREATE TABLE memories (name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER memory_added AFTER INSERT ON memory BEGIN
        INSERT INTO memories VALUES (new.name, 1) ON CONFLICT DO UPDATE SET keys = keys + 1;
    END;
    CREATE TRIGGER memory_removed AFTER DELETE ON memory BEGIN
        UPDATE memories SET keys = keys - 1 WHERE name = old.name;
    END;
    CREATE TABLE memory_wait (
        delivery_seq INTEGER NOT NULL REFERENCES delivery,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL NOT NULL,
        PRIMARY KEY (delivery_seq, name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX memory_wait_for ON memory_wait (name, key);
    ALTER TABLE attempt ADD COLUMN memory TEXT;
"""

#: What sources remember of the records that their events are about, and what each event has changed.
TRACKED: Final = """
    ALTER TABLE event ADD COLUMN track BLOB;
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        key TEXT NOT NULL,
        event_id TEXT NOT NULL,
        track BLOB NOT NULL,
        expires REAL NOT NULL,
        UNIQUE (source, key)
    ) STRICT;
    CREATE INDEX record_expires ON record (source, expires);
"""

#: Logins at authorization servers. Times in since and until are by the wall clock, for people.
LOGINS: Final = """
    CREATE TABLE login (
        id TEXT NOT NULL PRIMARY KEY,
        rev INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        by TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL,
        ended TEXT NOT NULL,
        owner TEXT NOT NULL DEFAULT '',
        owned_until REAL NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
"""

#: What a source is expected to send; due is null if it is never overdue.
AWAITED: Final = """
    CREATE TABLE awaited (
        source TEXT NOT NULL,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        event_id TEXT NOT NULL,
        since REAL NOT NULL,
        due REAL,
        PRIMARY KEY (source, name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX awaited_due ON awaited (due) WHERE due IS NOT NULL;
    CREATE INDEX awaited_by ON awaited (event_id);
"""

#: What an attempt looked up before it was sent, and what it chose: see ``contents.looked_up``.
LOOKED_UP: Final = """
    ALTER TABLE attempt ADD COLUMN looked_up TEXT;
"""

#: All of it.
ADDED: Final = f"{TIMING}{MEMORY}{TRACKED}{LOGINS}{AWAITED}{LOOKED_UP}"
