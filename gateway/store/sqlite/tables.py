"""The tables of the SQLite store, and the migrations from older formats; no I/O."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Mapping
from typing import Final

from gateway.model import DeliveryState
from gateway.store.numbers import BUCKETS

_BUCKET: Final = f"CASE {' '.join(f'WHEN new.duration_s <= {most} THEN {at}' for at, most in enumerate(BUCKETS))} ELSE {len(BUCKETS)} END"

#: Marks a file as ours: "WHGW".
APPLICATION: Final = 0x57484757
VERSION: Final = 7

#: The due time of a delivery that waits for another one in its lane: never. It stays at the end of the index.
BEHIND: Final = 1e15

# Rows name each other by seq, which is the order of acceptance. Times are by the store's clock,
# except attempt.started_at, event.received_at and those in hold.pause and hold.mute, which are for people.
# This is format 1: a new file goes through every migration, as an old one does.
SCHEMA: Final = f"""
CREATE TABLE clock (now REAL NOT NULL) STRICT;
INSERT INTO clock VALUES (0);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    received_at REAL NOT NULL,
    stored_at REAL NOT NULL,
    headers TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE dedupe (
    source TEXT NOT NULL,
    key BLOB NOT NULL,
    event_id TEXT NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_expires ON dedupe (expires);
CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    event_seq INTEGER NOT NULL REFERENCES event,
    route TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({", ".join(f"'{state}'" for state in DeliveryState)})),
    due REAL CHECK ((state = 'pending') = (due IS NOT NULL)),
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_before_replay INTEGER NOT NULL DEFAULT 0,
    spent_s REAL NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    last_status INTEGER,
    last_answer TEXT NOT NULL DEFAULT '',
    changed_at REAL NOT NULL,
    replayed_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX delivery_of_event ON delivery (event_seq);
CREATE INDEX delivery_due ON delivery (destination, due) WHERE state = 'pending';
CREATE INDEX delivery_dead ON delivery (seq) WHERE state = 'dead';
CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY,
    delivery_seq INTEGER NOT NULL REFERENCES delivery,
    number INTEGER NOT NULL,
    recorded_at REAL NOT NULL,
    started_at REAL NOT NULL,
    duration_s REAL NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    reason TEXT NOT NULL,
    answer TEXT NOT NULL,
    config_revision TEXT NOT NULL,
    sent_bytes INTEGER NOT NULL,
    sent_sha256 BLOB NOT NULL,
    next_s REAL,
    UNIQUE (delivery_seq, number)
) STRICT;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = 1;
"""

#: A hold that has ended keeps its row, for the revision: a later hold must not be mistaken for it.
HOLDS: Final = """
    CREATE TABLE hold (
        destination TEXT NOT NULL PRIMARY KEY,
        rev INTEGER NOT NULL,
        pause TEXT,
        mute TEXT,
        failures INTEGER,
        denied TEXT,
        next_probe REAL,
        probe_interval_s REAL,
        waits_until REAL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO hold (destination, rev, pause, mute)
    SELECT destination, 1, max(CASE is_mute WHEN 0 THEN said END), max(CASE is_mute WHEN 1 THEN said END) FROM (
        SELECT destination, is_mute, json_object('by', by, 'reason', reason, 'since', since, 'until', until) AS said FROM pause
    ) GROUP BY destination;
    DROP TABLE pause;
"""

#: The replica that continues a task holds it until then.
TASK_LEASES: Final = """
    ALTER TABLE activity ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    ALTER TABLE activity ADD COLUMN leased_until REAL NOT NULL DEFAULT 0;
"""

#: Events of that time could be identified by an id that nobody had signed: those that are still known are known by their
#: bytes, too. Headers that senders prove themselves by are removed from the events that were stored with them.
SIGNED_IDENTITY: Final = """
    ALTER TABLE event ADD COLUMN label TEXT NOT NULL DEFAULT '';
    INSERT OR IGNORE INTO dedupe SELECT d.source, e.sha256, d.event_id, d.expires
    FROM dedupe d CROSS JOIN event e ON e.id = d.event_id AND e.body_is = 'kept';
    CREATE TABLE uncleansed (last_event INTEGER NOT NULL) STRICT;
    INSERT INTO uncleansed SELECT coalesce(max(seq), 0) FROM event;
"""

#: Each source has its own newest refused requests. A repeated key of a task must ask for the same.
REFUSED_BY_SOURCE: Final = """
    ALTER TABLE rejected ADD COLUMN client TEXT NOT NULL DEFAULT '';
    CREATE INDEX rejected_by ON rejected (source, seq);
    ALTER TABLE activity ADD COLUMN asked TEXT NOT NULL DEFAULT '';
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

#: An event that is forgotten takes what it has fired with it, without a look at every key.
FIRED_BY_EVENT: Final = """
    CREATE INDEX once_by ON once (event_id);
    CREATE INDEX held_back_by ON held_back (event_id);
"""

#: From each format to the next one.
MIGRATIONS: Final[Mapping[int, str]] = {
    1: """
    CREATE TABLE pause (
        destination TEXT NOT NULL PRIMARY KEY,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE delivery ADD COLUMN lane TEXT;
    ALTER TABLE delivery ADD COLUMN turn INTEGER;
    CREATE INDEX delivery_lane ON delivery (destination, lane, turn) WHERE state = 'pending' AND lane IS NOT NULL;
    CREATE TABLE once (
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        event_id TEXT NOT NULL,
        fired_at REAL NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX once_expires ON once (expires);
    CREATE TABLE held_back (
        event_seq INTEGER NOT NULL REFERENCES event,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        event_id TEXT NOT NULL,
        fired_at REAL NOT NULL,
        PRIMARY KEY (event_seq, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE notice (
        delivery_seq INTEGER PRIMARY KEY REFERENCES delivery,
        teller TEXT NOT NULL,
        due REAL NOT NULL,
        dead TEXT NOT NULL,
        count INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE INDEX notice_teller ON notice (teller, due);
    PRAGMA user_version = 2;
    """,
    # Triggers keep the counts: whatever changes a row, they are right in the same transaction.
    2: f"""
    ALTER TABLE delivery ADD COLUMN cause TEXT NOT NULL DEFAULT '';
    ALTER TABLE delivery ADD COLUMN task INTEGER;
    UPDATE delivery SET cause = cause_of(reason) WHERE state = 'dead';
    DROP INDEX delivery_dead;
    CREATE INDEX delivery_by ON delivery (destination, state, cause, event_seq);
    CREATE INDEX delivery_task ON delivery (task, state, attempts, attempts_before_replay) WHERE task IS NOT NULL;
    ALTER TABLE event ADD COLUMN body_is TEXT NOT NULL DEFAULT 'kept';
    ALTER TABLE event ADD COLUMN redact INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX event_by ON event (source, type);
    CREATE INDEX event_redact ON event (seq) WHERE redact = 1;

    CREATE TABLE tally (
        destination TEXT NOT NULL,
        state TEXT NOT NULL,
        cause TEXT NOT NULL,
        deliveries INTEGER NOT NULL,
        PRIMARY KEY (destination, state, cause)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO tally SELECT destination, state, cause, count(*) FROM delivery GROUP BY destination, state, cause;
    CREATE TRIGGER delivery_added AFTER INSERT ON delivery BEGIN
        INSERT INTO tally VALUES (new.destination, new.state, new.cause, 1)
        ON CONFLICT DO UPDATE SET deliveries = deliveries + 1;
    END;
    CREATE TRIGGER delivery_moved AFTER UPDATE OF state, cause ON delivery
    WHEN old.state <> new.state OR old.cause <> new.cause BEGIN
        UPDATE tally SET deliveries = deliveries - 1
        WHERE destination = old.destination AND state = old.state AND cause = old.cause;
        INSERT INTO tally VALUES (new.destination, new.state, new.cause, 1)
        ON CONFLICT DO UPDATE SET deliveries = deliveries + 1;
    END;
    CREATE TRIGGER delivery_removed AFTER DELETE ON delivery BEGIN
        UPDATE tally SET deliveries = deliveries - 1
        WHERE destination = old.destination AND state = old.state AND cause = old.cause;
    END;

    CREATE TABLE came (
        minute INTEGER NOT NULL,
        source TEXT NOT NULL,
        events INTEGER NOT NULL,
        PRIMARY KEY (minute, source)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER event_added AFTER INSERT ON event BEGIN
        INSERT INTO came VALUES (CAST(new.stored_at / 60 AS INTEGER), new.source, 1)
        ON CONFLICT DO UPDATE SET events = events + 1;
    END;
    CREATE TABLE went (
        minute INTEGER NOT NULL,
        destination TEXT NOT NULL,
        outcome TEXT NOT NULL,
        bucket INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        PRIMARY KEY (minute, destination, outcome, bucket)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER attempt_added AFTER INSERT ON attempt BEGIN
        INSERT INTO went VALUES (
            CAST(new.recorded_at / 60 AS INTEGER), (SELECT destination FROM delivery WHERE seq = new.delivery_seq),
            new.outcome, {_BUCKET}, 1
        ) ON CONFLICT DO UPDATE SET attempts = attempts + 1;
    END;

    CREATE TABLE rejected (
        seq INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        source TEXT NOT NULL,
        path TEXT NOT NULL,
        status INTEGER NOT NULL,
        reason TEXT NOT NULL,
        count INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE activity (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,
        by TEXT NOT NULL,
        verb TEXT NOT NULL,
        subject TEXT NOT NULL,
        reason TEXT NOT NULL,
        key TEXT UNIQUE,
        which TEXT,
        total INTEGER,
        moved INTEGER,
        began REAL,
        position INTEGER,
        ends INTEGER,
        interval_s REAL,
        next_due REAL,
        as_new INTEGER,
        finished INTEGER,
        stopped_by TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX activity_unfinished ON activity (seq) WHERE finished = 0;
    CREATE VIRTUAL TABLE word USING fts5 (text, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii');

    ALTER TABLE pause RENAME TO old_pause;
    CREATE TABLE pause (
        destination TEXT NOT NULL,
        is_mute INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL,
        PRIMARY KEY (destination, is_mute)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO pause SELECT destination, 0, by, reason, since, until FROM old_pause;
    DROP TABLE old_pause;
    PRAGMA user_version = 3;
    """,
    3: f"""{HOLDS}{TASK_LEASES}
    PRAGMA user_version = 4;
    """,
    4: f"""{SIGNED_IDENTITY}{REFUSED_BY_SOURCE}
    PRAGMA user_version = 5;
    """,
    5: f"""{FIRED_BY_EVENT}
    PRAGMA user_version = 6;
    """,
    6: f"""{LOGINS}
    PRAGMA user_version = 7;
    """,
}
