"""What version 2 of the PostgreSQL schema adds; no I/O. The release before knows nothing of it, and may run beside this one."""

from typing import Final

#: Deliveries that gather: a digest has a row for each of its events, a debounced delivery has one, and so has one that waits
#: in its lane and then for its time.
TIMING: Final = """
CREATE TABLE timing (
    delivery_seq bigint NOT NULL PRIMARY KEY,
    -- the id of the delivery that sends it together with others, which may be itself; empty: it is in no digest
    head text COLLATE "C" NOT NULL,
    -- JSON: [what, route, destination, key]; null: no event joins it or replaces it any more
    open bytea,
    -- when the first event of a debounced delivery came
    began float8 NOT NULL,
    -- not before
    due float8 NOT NULL,
    -- of a head: its events, and the bytes of their bodies
    count integer NOT NULL,
    size bigint NOT NULL
);
-- the hash: a key may be longer than an index takes
CREATE UNIQUE INDEX timing_open ON timing (sha256(open)) WHERE open IS NOT NULL;
CREATE INDEX timing_head ON timing (head) WHERE head <> '';
"""

#: What entries remember of answers, since version 2. The release before knows nothing of it, and may run beside this one.
MEMORY: Final = """
CREATE TABLE memory (
    name text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    -- a JSON object
    said bytea NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    remembered_at float8 NOT NULL,
    expires float8 NOT NULL,
    PRIMARY KEY (name, key)
);
CREATE INDEX memory_expires ON memory (expires);
CREATE INDEX memory_event ON memory (event_id);
CREATE INDEX memory_age ON memory (name, remembered_at);
-- what a delivery waits for; until is its due time: one that differs by now has been tried, or is no longer waiting
CREATE TABLE memory_wait (
    delivery_seq bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    since float8 NOT NULL,
    until float8 NOT NULL,
    PRIMARY KEY (delivery_seq, name, key)
);
CREATE INDEX memory_wait_for ON memory_wait (name, key);
ALTER TABLE attempt ADD COLUMN memory bytea;
"""

#: What sources remember of the records that their events are about, and what each event has changed.
TRACKED: Final = """
ALTER TABLE event ADD COLUMN track bytea;
CREATE TYPE tracked_event AS (
    seq bigint, id text, source text, type bytea, received_at float8, headers bytea, sha256 bytea, body bytea,
    redact boolean, label bytea, track bytea
);
CREATE TABLE record (
    source text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    -- the event that has written it
    event_id text COLLATE "C" NOT NULL,
    track bytea NOT NULL,
    expires float8 NOT NULL,
    PRIMARY KEY (key, source)
) WITH (fillfactor = 70);
CREATE INDEX record_expires ON record (source, expires);
"""

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

#: What a source is expected to send; due is null if it is never overdue.
AWAITED: Final = """
CREATE TABLE awaited (
    source text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    since float8 NOT NULL,
    due float8,
    PRIMARY KEY (source, name, key)
);
CREATE INDEX awaited_due ON awaited (due) WHERE due IS NOT NULL;
CREATE INDEX awaited_event ON awaited (event_id);
"""

#: What an attempt looked up before it was sent, and what it chose: see ``contents.looked_up``.
LOOKED_UP: Final = """
ALTER TABLE attempt ADD COLUMN looked_up bytea;
"""

#: All of it.
ADDED: Final = f"{TIMING}{MEMORY}{TRACKED}{LOGINS}{AWAITED}{LOOKED_UP}"
