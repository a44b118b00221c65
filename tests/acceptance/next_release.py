"""The gateway of a next release, whose schema of the PostgreSQL store has one step more: for rolling upgrades.

Takes the command line of ``gateway``.
"""

from gateway.cli import main
from gateway.store.postgres import schema

#: What the step does is what most steps do: columns for tables that are busy.
STEP = """
ALTER TABLE event ADD COLUMN of_next text;
ALTER TABLE queue ADD COLUMN of_next text;
ALTER TABLE done ADD COLUMN of_next text;
"""


def become_the_next_release() -> None:
    step = f"{STEP} INSERT INTO meta VALUES ({schema.VERSION + 1}, {schema.VERSION});"
    schema.MIGRATIONS = (*schema.MIGRATIONS, step)
    schema.VERSION, schema.RUNS_FROM = schema.VERSION + 1, schema.VERSION


if __name__ == "__main__":
    become_the_next_release()
    main()
