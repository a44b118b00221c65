"""The embedded store: one SQLite file, one owner, one thread that does all writes."""
