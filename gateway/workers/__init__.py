"""A gateway of several processes: a supervisor, one that owns the store and serves operators, and workers."""
