"""The tables of the PostgreSQL store, its clock, and the types of what its statements are given; no I/O.

**Numbers.** ``seq`` of an event is the day it was stored on, by the store's clock, in the upper bits, below them a number of
the sequence ``number``: the order of acceptance, as far as there is one over many replicas. The lowest PLACE_BITS are 0. They
count its deliveries, from 1: the seq of a delivery is that of its event with its place in them. So everything of one day is in
the partitions of that day, and what belongs to an event is found by the primary keys (``belongs``), without an index of its own.
A seq that another transaction is still writing may be lower than one that is visible already.

**Times** are seconds since the epoch by ``gateway_now()``, except those that are for people: event.received_at,
attempt.started_at, rejected.at, activity.at and those in hold.pause and hold.mute.

**Texts** that a sender, a destination or a person has written are bytea, UTF-8: PostgreSQL's text takes no U+0000.
Names from routes.yaml and ids that the gateway has made are text, compared byte by byte: whatever the database's locale,
it costs little.

**Deliveries.** A pending one is a row of ``queue``; when it ends, its row moves to ``done``, and back when it is replayed.
The view ``delivery`` has both.
"""

# ruff: noqa: S608  the only things put into these texts are our own constants

from typing import Final

from gateway.model import DeliveryState

#: Bits of a seq below the number of its event, and the most deliveries that an event may have in this store.
PLACE_BITS: Final = 12
PLACES: Final = (1 << PLACE_BITS) - 1
#: Bits of a seq below its day.
DAY_BITS: Final = 35 + PLACE_BITS
DAY_S: Final = 86400
#: Bits of a lease's token that count the leases of its delivery; the others are the delivery's seq.
GRANT_BITS: Final = 12


def belongs(seq: str, event: str) -> str:
    """The condition that one seq belongs to an event, given as that of the event."""
    return f"({seq} > {event} AND {seq} <= {event} + {PLACES})"


_STATES: Final = ", ".join(f"'{state}'" for state in DeliveryState if state is not DeliveryState.PENDING)

#: The one clock of the store. A function of a simple expression, which the planner puts in place of its call.
CLOCK: Final = """
CREATE OR REPLACE FUNCTION gateway_now() RETURNS float8 LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT extract(epoch FROM statement_timestamp())::float8 $$;
"""

#: Rows as the statements of the event's path are given them: an array of one of these costs the driver and the server
#: less than an array for each column.
TYPES: Final = """
CREATE TYPE new_key AS (source text, key bytea, event_id text, window_s float8);
CREATE TYPE new_event AS (
    seq bigint, id text, source text, type bytea, received_at float8, headers bytea, sha256 bytea, body bytea,
    redact boolean, label bytea
);
-- due: null, now; leased_until: null, it is not leased
CREATE TYPE new_delivery AS (
    seq bigint, id text, event_seq bigint, event_id text, route text, destination text, due float8, leased_until float8,
    lane bytea, turn bigint
);
-- after_s: null for what is released; from number on the attempt, all null without one; bucket as in store/numbers.py
CREATE TYPE outcome AS (
    seq bigint, grants integer, state text, after_s float8, attempts integer, spent_s float8, reason bytea,
    last_status integer, last_answer bytea, cause bytea,
    number integer, started_at float8, duration_s float8, outcome text, status integer, why bytea, answer bytea,
    config_revision text, sent_bytes bigint, sent_sha256 bytea, next_s float8, bucket integer
);
"""

TABLES: Final = f"""
CREATE TABLE meta (
    version integer NOT NULL,
    -- releases of this schema and of later ones may run on it
    runs_from integer NOT NULL
);

CREATE SEQUENCE number AS bigint MAXVALUE {2 ** (DAY_BITS - PLACE_BITS) - 1};

CREATE TABLE event (
    seq bigint NOT NULL PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    type bytea NOT NULL,
    received_at float8 NOT NULL,
    stored_at float8 NOT NULL,
    -- a JSON object of texts
    headers bytea NOT NULL,
    sha256 bytea NOT NULL,
    body bytea NOT NULL,
    -- kept, removed, redacted, forgotten
    body_is text NOT NULL DEFAULT 'kept',
    -- its source redacts what is stored, and that was not done yet
    redact boolean NOT NULL DEFAULT false,
    label bytea NOT NULL DEFAULT ''
) PARTITION BY RANGE (seq);
-- -seq, for the same reason: the primary key gives no such order
CREATE INDEX event_by ON event (source, type, (-seq));
CREATE INDEX event_redact ON event (seq) WHERE redact;

-- the first event of a key; one that has expired is taken over by the next event that has the key
CREATE TABLE dedupe (
    source text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    expires float8 NOT NULL,
    -- the key first: comparing it decides nearly always
    PRIMARY KEY (key, source)
);
CREATE INDEX dedupe_expires ON dedupe USING brin (expires);

-- pending deliveries: rows come and go, so space in its pages is kept for new versions, and it is vacuumed soon
CREATE TABLE queue (
    seq bigint NOT NULL PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    event_seq bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- infinity: it waits for another one in its lane
    due float8 NOT NULL,
    -- until when it is leased, and to which replica.number; null: it is not. One that has run out is as good as null, but
    -- its outcome is still taken as long as nobody else has leased the delivery.
    leased_until float8,
    owner integer,
    -- how often it was leased, replays included; in the token of the last lease
    grants integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    attempts_before_replay integer NOT NULL DEFAULT 0,
    spent_s float8 NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    reason bytea NOT NULL DEFAULT '',
    last_status integer,
    last_answer bytea NOT NULL DEFAULT '',
    changed_at float8 NOT NULL,
    lane bytea,
    -- its place in its lane, a seq without its day; null without a lane
    turn bigint,
    -- activity.seq of the task that has replayed it
    task bigint
) WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.1, autovacuum_analyze_threshold = 5000
);
-- without seq: a delivery is looked for by the primary key, whatever the statistics of an almost empty table say
CREATE INDEX queue_due ON queue (destination, due);
-- for people's questions, which say seq > 0, as every seq is: else it might be taken in place of queue_due
CREATE INDEX queue_by ON queue (destination, event_seq) WHERE seq > 0;
CREATE INDEX queue_lane ON queue (destination, lane, turn) WHERE lane IS NOT NULL;
CREATE INDEX queue_task ON queue (task) WHERE task IS NOT NULL;

-- deliveries that have ended; a dead or delivered one moves back to the queue when it is replayed
CREATE TABLE done (
    seq bigint NOT NULL PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    event_seq bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ({_STATES})),
    grants integer NOT NULL,
    attempts integer NOT NULL,
    attempts_before_replay integer NOT NULL,
    spent_s float8 NOT NULL,
    crashes integer NOT NULL,
    reason bytea NOT NULL,
    last_status integer,
    last_answer bytea NOT NULL,
    changed_at float8 NOT NULL,
    lane bytea,
    -- of a dead one: its group
    cause bytea NOT NULL DEFAULT '',
    task bigint
) PARTITION BY RANGE (seq);
CREATE INDEX done_by ON done (destination, state, cause, event_seq);
CREATE INDEX done_task ON done (task, state) WHERE task IS NOT NULL;

CREATE VIEW delivery AS
SELECT seq, id, event_seq, event_id, route, destination, 'pending'::text AS state, due, grants, attempts,
    attempts_before_replay, spent_s, crashes, reason, last_status, last_answer, changed_at, lane, ''::bytea AS cause, task
FROM queue
UNION ALL
SELECT seq, id, event_seq, event_id, route, destination, state, NULL::float8, grants, attempts,
    attempts_before_replay, spent_s, crashes, reason, last_status, last_answer, changed_at, lane, cause, task
FROM done;

CREATE TABLE attempt (
    delivery_seq bigint NOT NULL,
    number integer NOT NULL,
    recorded_at float8 NOT NULL,
    started_at float8 NOT NULL,
    duration_s float8 NOT NULL,
    outcome text NOT NULL,
    status integer,
    reason bytea NOT NULL,
    answer bytea NOT NULL,
    config_revision text NOT NULL,
    sent_bytes bigint NOT NULL,
    sent_sha256 bytea NOT NULL,
    next_s float8,
    PRIMARY KEY (delivery_seq, number)
) PARTITION BY RANGE (delivery_seq);

-- entries that fire once per key
CREATE TABLE once (
    name text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    fired_at float8 NOT NULL,
    expires float8 NOT NULL,
    PRIMARY KEY (name, key)
);
CREATE INDEX once_expires ON once (expires);
CREATE INDEX once_event ON once (event_id);
CREATE TABLE held_back (
    event_seq bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    fired_at float8 NOT NULL,
    PRIMARY KEY (event_seq, name)
);
CREATE INDEX held_back_event ON held_back (event_id);

-- a delivery that notifies of dead ones
CREATE TABLE notice (
    delivery_seq bigint NOT NULL PRIMARY KEY,
    -- JSON: [route, destination, the dead one's destination]
    teller bytea NOT NULL,
    due float8 NOT NULL,
    -- JSON of model.Notice
    dead bytea NOT NULL,
    -- how many it stands for
    count integer NOT NULL DEFAULT 1
);
CREATE INDEX notice_teller ON notice (teller, due);

-- as in the SQLite store: one that has ended keeps its row, for the revision
CREATE TABLE hold (
    destination text COLLATE "C" NOT NULL PRIMARY KEY,
    rev integer NOT NULL,
    -- JSON of holds.Pause
    pause bytea,
    mute bytea,
    failures integer,
    -- JSON: event ids
    denied bytea,
    next_probe float8,
    probe_interval_s float8,
    waits_until float8
);

-- a process that has the store open; what it holds or has leased belongs to this row
CREATE TABLE replica (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- when it was last heard of; after cluster.LAPSED_S it counts as gone
    seen float8 NOT NULL,
    -- JSON of cluster.Replica; null: before its first beat, or not a replica
    said bytea,
    -- JSON of replicas.Grant by destination: what it wants, and what it may do until it has lapsed
    grants bytea NOT NULL DEFAULT '{{}}'
);
-- who decides for a destination; epoch changes with the holder
CREATE TABLE holder (
    destination text COLLATE "C" NOT NULL PRIMARY KEY,
    replica integer NOT NULL,
    epoch bigint NOT NULL,
    until float8 NOT NULL,
    -- when a replica last asked whose file has the destination
    known_at float8 NOT NULL
) WITH (fillfactor = 50);
-- one row: how often all replicas were asked to reload
CREATE TABLE reload (asked bigint NOT NULL);
INSERT INTO reload VALUES (0);
-- logins to the console; key is the hash of a cookie
CREATE TABLE session (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    role text NOT NULL,
    until float8 NOT NULL
);

-- what senders chose in a handshake
CREATE TABLE secret (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    secret bytea NOT NULL
);
-- the hash: a secret may be longer than an index takes
CREATE UNIQUE INDEX secret_of ON secret (source, sha256(secret));

-- Numbers: rows are only added, so that no transaction waits for another. A reader adds them up, and upkeep replaces many
-- rows by one now and then.
CREATE TABLE tally (
    destination text COLLATE "C" NOT NULL,
    state text NOT NULL,
    cause bytea NOT NULL DEFAULT '',
    -- may be negative
    deliveries bigint NOT NULL
);
-- events stored in a minute (seconds since the epoch / 60) by source
CREATE TABLE came (
    minute bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    events bigint NOT NULL
);
CREATE INDEX came_minute ON came (minute);
-- attempts recorded in a minute; bucket as in store/numbers.py
CREATE TABLE went (
    minute bigint NOT NULL,
    destination text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    bucket integer NOT NULL,
    attempts bigint NOT NULL
);
CREATE INDEX went_minute ON went (minute);

CREATE TABLE rejected (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at float8 NOT NULL,
    source bytea NOT NULL,
    path bytea NOT NULL,
    status integer NOT NULL,
    reason bytea NOT NULL,
    client bytea NOT NULL,
    count bigint NOT NULL
);
CREATE INDEX rejected_by ON rejected (source, seq);

-- what people did; finished is null for what is no task
CREATE TABLE activity (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    at float8 NOT NULL,
    by bytea NOT NULL,
    verb text NOT NULL,
    subject bytea NOT NULL,
    reason bytea NOT NULL,
    key bytea UNIQUE,
    asked bytea NOT NULL DEFAULT '',
    -- JSON: nouns.DeliveryQuery of a task; what an erasure looks for
    which bytea,
    total bigint,
    moved bigint,
    began float8,
    -- event.seq of the last event that was reached, and of the last one that is to be
    position bigint,
    ends bigint,
    interval_s float8,
    next_due float8,
    as_new boolean,
    finished boolean,
    stopped_by bytea NOT NULL DEFAULT '',
    -- who continues it: as it names itself, and its replica.number
    owner text NOT NULL DEFAULT '',
    owner_replica integer,
    leased_until float8 NOT NULL DEFAULT 0
);
CREATE INDEX activity_unfinished ON activity (seq) WHERE NOT finished;

-- the index of words in payloads
CREATE TABLE word (
    -- the event's
    seq bigint NOT NULL,
    -- null: it passes every search
    words tsvector
) PARTITION BY RANGE (seq);
CREATE INDEX word_event ON word USING hash (seq);
CREATE INDEX word_words ON word USING gin (words) WITH (gin_pending_list_limit = 512);
CREATE INDEX word_all ON word (seq) WHERE words IS NULL;
-- one row: every event up to this one has its words in the index
CREATE TABLE indexed (upto bigint NOT NULL);
INSERT INTO indexed VALUES (0);
"""

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
