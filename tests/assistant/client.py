"""Asks ``gateway mcp`` over standard input and output, as an assistant's program does; prints what it was answered as JSON.

Runs with the Python that has the extra. Arguments: the options of ``gateway mcp``; standard input: a list of
``[tool, arguments]``.
"""

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(options: list[str], calls: list[list]) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "gateway", "mcp", *options], env=dict(os.environ)
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        answers = []
        for tool, arguments in calls:
            answer = await session.call_tool(tool, arguments)
            answers.append({"error": answer.is_error, "text": "".join(each.text for each in answer.content)})
        listed = {
            each.name: {"about": each.description, "reads": each.annotations.read_only_hint, "takes": each.input_schema}
            for each in tools
        }
        sys.stdout.write(json.dumps({"tools": listed, "answers": answers}))


asyncio.run(main(sys.argv[1:], json.load(sys.stdin)))
