"""What digests ask of a file goes by an index, however many deliveries it has."""

import re

import apsw
import pytest

from gateway.store.sqlite import gathering, tables

STATEMENTS = sorted(name for name, text in vars(gathering).items() if name.isupper() and isinstance(text, str))


@pytest.fixture(scope="module")
def db():
    db = apsw.Connection(":memory:")
    db.create_scalar_function("cause_of", lambda reason: reason, 1, deterministic=True)
    db.execute(tables.SCHEMA)
    for version in range(1, tables.VERSION):
        db.execute(tables.MIGRATIONS[version])
    return db


@pytest.mark.parametrize("name", [name for name in STATEMENTS if not name.startswith("_") and name != "BEHIND"])
def test_no_table_is_read_whole(db, name):
    text = getattr(gathering, name)
    given = max(map(int, re.findall(r"\?([0-9])", text)), default=text.count("?"))
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", (None,) * given)]
    assert [step for step in plan if re.match(r"SCAN (?!json_each|h$)", step)] == []
