"""What the tests of the SQLite store share."""

import asyncio

import apsw


async def nothing(_store):
    pass


def edit(path, statement, *values):
    """Change the file behind the store's back."""
    connection = apsw.Connection(str(path))
    found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def healthy_again(store):
    while not store.healthy:
        await asyncio.sleep(0.01)
