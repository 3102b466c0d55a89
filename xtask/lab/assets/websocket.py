"""A WebSocket echo server and a client of it: `websocket.py serve PORT` and `websocket.py talk URL`, which prints "ok"."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def server(port):
    async with serve(echo, None, port, max_size=1 << 22) as running:
        await running.serve_forever()


async def talk(url):
    async with connect(url, open_timeout=20, max_size=1 << 22) as connection:
        for message in ["hello", "é" * 1000, b"\x00\xff" * 500_000, ""]:
            await connection.send(message)
            got = await asyncio.wait_for(connection.recv(), 20)
            assert got == message, (len(got), len(message))
        await asyncio.wait_for(await connection.ping(), 20)
        await connection.close(code=4000, reason="done")
        assert connection.close_code == 4000, connection.close_code
    print("ok")


def main():
    if sys.argv[1] == "serve":
        asyncio.run(server(int(sys.argv[2])))
    else:
        asyncio.run(talk(sys.argv[2]))


if __name__ == "__main__":
    main()
