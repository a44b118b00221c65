"""Of several hosts the one that is wanted is found, whatever the others do."""

import asyncio

import pytest

from gateway.store.postgres.hosts import alternatives, first_of

WANTED = "target_session_attrs=primary"


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p@a,b:5433/db", ["postgresql://u:p@a,b:5433/db"]),
        (
            f"postgresql://u:p@a,b:5433/db?{WANTED}",
            [f"postgresql://u:p@a/db?{WANTED}", f"postgresql://u:p@b:5433/db?{WANTED}"],
        ),
        (
            f"postgresql://u@[::1]:5432,b/db?sslmode=require&{WANTED}",
            [f"postgresql://u@[::1]:5432/db?sslmode=require&{WANTED}", f"postgresql://u@b/db?sslmode=require&{WANTED}"],
        ),
        (
            f"postgresql://u@/db?host=/a,/b&port=1,2&{WANTED}",
            [f"postgresql://u@/db?host=/a&port=1&{WANTED}", f"postgresql://u@/db?host=/b&port=2&{WANTED}"],
        ),
        (
            f"postgresql://u@/db?host=/a,/b&port=1&{WANTED}",
            [f"postgresql://u@/db?host=/a&port=1&{WANTED}", f"postgresql://u@/db?host=/b&port=1&{WANTED}"],
        ),
        (f"postgresql://u@a/db?{WANTED}", [f"postgresql://u@a/db?{WANTED}"]),
    ],
    ids=["none is wanted", "two hosts", "an IPv6 address", "two sockets", "one port for both", "one host"],
)
def test_a_url_with_several_hosts_is_one_for_each(dsn, expected):
    assert list(alternatives(dsn)) == expected


class Made:
    def __init__(self):
        self.is_terminated = False

    def terminate(self):
        self.is_terminated = True


def test_a_host_that_is_silent_keeps_nobody_from_the_others():
    made = Made()

    async def connect(dsn):
        if dsn == "silent":
            await asyncio.Event().wait()
        if dsn == "refused":
            raise ConnectionRefusedError
        return made

    assert asyncio.run(first_of(["silent", "refused", "there"], connect)) is made
    assert not made.is_terminated


def test_if_no_host_is_there_the_first_one_says_why():
    async def connect(dsn):
        raise OSError(dsn)

    with pytest.raises(OSError, match="one"):
        asyncio.run(first_of(["one", "two"], connect))


def test_of_two_connections_one_is_used_and_the_other_ended():
    made = {"one": Made(), "two": Made()}

    async def connect(dsn):
        return made[dsn]

    assert asyncio.run(first_of(["one", "two"], connect)) is made["one"]
    assert made["two"].is_terminated
