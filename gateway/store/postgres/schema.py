"""The schema of the PostgreSQL store as a whole: its version, the steps from each to the next, and the partitions of a day.

What is in it is in ``tables``. No I/O.
"""

# ruff: noqa: S608  the only things put into these texts are our own constants

from typing import Final

from gateway.store.postgres.logins import LOGINS
from gateway.store.postgres.tables import CLOCK, DAY_BITS, TABLES, TYPES

#: The schema that this release makes and runs on.
VERSION: Final = 2
#: The oldest schema on whose releases it may still run beside this one: the one before, always.
RUNS_FROM: Final = 1

#: Tables with a partition for each day.
BY_DAY: Final = ("event", "done", "attempt", "word")
#: Held by a migration; of the name of the product.
MIGRATING: Final = 0x57484757

#: The partitions that have what no day has.
REST: Final = "".join(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT;\n" for table in BY_DAY)
#: Ids are unique within a day, so that a statement that is tried again cannot add a row twice.
_UNIQUE: Final = ("event", "done")


def unique_ids(partition: str) -> str:
    """The index of ids in a partition of events or of deliveries."""
    table, _, suffix = partition.rpartition("_")
    return f"CREATE UNIQUE INDEX {table}_id_{suffix} ON {partition} (id);\n" if table in _UNIQUE else ""


def day(number: int) -> str:
    """The partitions of a day, given as days since the epoch."""
    low, high = number << DAY_BITS, (number + 1) << DAY_BITS
    names = {table: f"{table}_d{number}" for table in BY_DAY}
    return "".join(
        f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high});\n{unique_ids(name)}"
        for table, name in names.items()
    )


#: From each version to the next one; 0 is an empty database.
MIGRATIONS: Final = (
    CLOCK
    + TYPES
    + TABLES
    + REST
    + "".join(unique_ids(f"{table}_rest") for table in BY_DAY)
    + "INSERT INTO meta VALUES (1, 1);\n",
    LOGINS + f"INSERT INTO meta VALUES (2, {RUNS_FROM});\n",
)
