"""A WebSocket server that sends every message back. Prints its port, then one line for each connection."""

import asyncio
import http
import sys

from websockets.asyncio.server import serve


def say(*words):
    print(*words, flush=True)


async def echo(connection):
    request = connection.request
    say("open", request.path, request.headers.get("X-Kong-Request-Id", "-"), request.headers.get("Via", "-"))
    if request.path.startswith("/close"):
        await connection.close(code=int(request.path.rsplit("/", 1)[1]), reason="as asked")
        return
    async for message in connection:
        if message == "fragments":
            await connection.send(iter(["a", "b", "c"]))
        elif message == "ping":
            await (await connection.ping(b"from the server"))
            await connection.send("pong came")
        else:
            await connection.send(message)
    say("closed", connection.close_code, connection.close_reason or "-")


def refuse(connection, request):
    if request.path == "/refused":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "not you\n")
    return None


def choose(connection, offered):
    return "superchat" if "superchat" in offered else None


async def main():
    options = {"process_request": refuse, "select_subprotocol": choose, "max_size": 2**24}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        say(server.sockets[0].getsockname()[1])
        await server.serve_forever()


sys.exit(asyncio.run(main()))
