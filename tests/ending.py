"""How a server of the tests ends: whatever it has accepted is closed."""

import asyncio


async def end(server: asyncio.Server) -> None:
    """Accept no more connections, and cancel every other task of this loop, for it is the server's."""
    loop = asyncio.get_running_loop()
    for each in server.sockets:
        loop.remove_reader(each.fileno())
    # Closed at once, the server would refuse what it has accepted in this turn, and asyncio would leave its socket open.
    await turns()
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await turns()


async def turns() -> None:
    """Let whatever has happened reach its handler, and each layer of an aborted transport close the one below it."""
    for _ in range(5):
        await asyncio.sleep(0)
