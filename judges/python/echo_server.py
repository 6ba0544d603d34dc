"""PyPI `websockets` as a plain WebSocket server that sends each message back as it came.

    python echo_server.py

Prints its address. It pings each connection often, and ends those that do not answer.
"""

import asyncio

from websockets.asyncio.server import serve

# Seconds.
PING_INTERVAL = 0.1
PING_TIMEOUT = 1.4


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def main():
    async with serve(
        echo, "127.0.0.1", 0, ping_interval=PING_INTERVAL, ping_timeout=PING_TIMEOUT
    ) as server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


asyncio.run(main())
