"""The index of words in payloads: what is in it, and how far it has come.

It holds no text. What is deleted from it stays until it is merged, which takes long for a large index; so an event
whose source redacts what is stored has no words in it before that is done, and passes every search until then.
"""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Sequence
from typing import Final

import apsw

from gateway.store.sqlite.rows import to_json
from gateway.store.sqlite.statements import FORGET_WORDS

#: A slice of the index ends after this many bytes of bodies.
SLICE_BYTES: Final = 256 * 1024
#: Pages that a slice of merging works on.
MERGED_PAGES: Final = 256

# --- searching: each gives the seqs of events at or before one, the newest first ---

EVENTS_WITH_WORDS: Final = "SELECT rowid FROM word WHERE word MATCH ? AND rowid <= ? ORDER BY rowid DESC LIMIT ?"
EVENTS_TO_REDACT: Final = """
SELECT seq FROM event INDEXED BY event_redact WHERE redact = 1 AND seq <= ? ORDER BY seq DESC LIMIT ?
"""
EVENTS_NOT_INDEXED: Final = "SELECT seq FROM event WHERE seq > ? AND seq <= ? ORDER BY seq DESC LIMIT ?"

# --- keeping it ---

INDEXED_TO: Final = "SELECT coalesce(max(rowid), 0) FROM word"
# Of a body that is compressed, or begins with a BOM, the content counts.
_TEXT: Final = "CAST(CASE WHEN substr(body, 1, 1) IN (x'1f', x'78', x'ef') THEN content_of(body) ELSE body END AS TEXT)"
_LEAVES: Final = f"""
label || ' ' || CASE WHEN json_valid({_TEXT}) THEN (
    SELECT group_concat(CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE atom END, ' ')
    FROM json_tree({_TEXT}) WHERE atom IS NOT NULL
) ELSE {_TEXT} END
"""
# What is to be redacted has no words before it was: an index keeps what is removed from it for long.
ADD_WORDS: Final = f"""
INSERT INTO word (rowid, text) SELECT seq, CASE WHEN redact OR body_is = 'forgotten' THEN '' ELSE {_LEAVES} END FROM (
    SELECT seq, label, body, redact, body_is, sum(length(body)) OVER (ORDER BY seq) - length(body) AS before
    FROM (SELECT seq, label, body, redact, body_is FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2)
) WHERE before < ?3
"""
# Of its documents SQLite keeps the number of words; none of an empty one.
HAVE_WORDS: Final = """
SELECT EXISTS (SELECT 1 FROM word_docsize WHERE id IN (SELECT value FROM json_each(?)) AND sz <> x'00')
"""
# Pages to work on; a negative number begins to merge the whole index.
MERGE_WORDS: Final = "INSERT INTO word (word, rank) VALUES ('merge', ?)"
WORDS_AGAIN: Final = f"INSERT INTO word (rowid, text) SELECT seq, {_LEAVES} FROM event WHERE seq = ?"


class WordIndex:
    """Remembers how far it has come; everything else is in the file."""

    def __init__(self) -> None:
        #: The last event in it; None: not known yet.
        self._to: int | None = None
        #: Words are left in it that were deleted. For any thread.
        self.is_dirty = False
        self._is_merging = False

    def is_behind(self, last_event: int) -> bool:
        """Whether there may be events that are not in it. Called from any thread."""
        return self._to is None or self._to < last_event

    def add(self, db: apsw.Connection, limit: int, last_event: int) -> bool:
        """Add at most ``limit`` events; whether there may be more."""
        db.execute(ADD_WORDS, (db.execute(INDEXED_TO).get, limit, SLICE_BYTES))
        if db.changes():
            self._to = int(db.execute(INDEXED_TO).get)
        else:
            # The last events have been pruned since.
            self._to = last_event
        return self.is_behind(last_event)

    def forget(self, db: apsw.Connection, seqs: Sequence[int]) -> None:
        """Delete events from it."""
        given = (to_json(seqs),)
        if db.execute(HAVE_WORDS, given).get:
            self.is_dirty, self._is_merging = True, False
        db.execute(FORGET_WORDS, given)

    def renew(self, db: apsw.Connection, seqs: Sequence[int]) -> None:
        """Give the events among these that are in it the words of their present bodies."""
        to = db.execute(INDEXED_TO).get
        indexed = [seq for seq in seqs if seq <= to]
        self.forget(db, indexed)
        for seq in indexed:
            db.execute(WORDS_AGAIN, (seq,))

    def merge(self, db: apsw.Connection) -> None:
        """Do a slice of merging it, if it is dirty."""
        if self.is_dirty:
            before = db.total_changes()
            db.execute(MERGE_WORDS, (MERGED_PAGES if self._is_merging else -MERGED_PAGES,))
            self._is_merging = True
            # Once everything is merged, SQLite changes no more than its own configuration.
            self.is_dirty = db.total_changes() - before >= 2
