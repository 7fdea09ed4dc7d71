"""Logs in as USER to the server on PORT with any key of the agent, and runs a command."""

import asyncio
import sys

import asyncssh


async def main(user, port):
    async with asyncssh.connect("127.0.0.1", int(port), username=user) as connection:
        result = await connection.run("echo logged in", check=True)
        print(result.stdout)


asyncio.run(main(*sys.argv[1:]))
