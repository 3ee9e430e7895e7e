"""A WebSocket client: `websocket_client.py <url> <case>` ends well when the case does."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode


async def text(client):
    for message in ["hello", "", "ünïcödé ☃", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536]:
        await client.send(message)
        assert await client.recv() == message


async def binary(client):
    for length in [0, 1, 125, 126, 65535, 65536, 5_000_000]:
        message = bytes(index % 251 for index in range(length))
        await client.send(message)
        assert await client.recv() == message


async def fragments(client):
    await client.send(iter(["one ", "two ", "three"]))
    assert await client.recv() == "one two three"
    await client.send(iter([b"", b"\x00", b""]))
    assert await client.recv() == b"\x00"
    await client.send("fragments")
    assert [piece async for piece in client.recv_streaming()] == ["a", "b", "c", ""]


async def control_between_fragments(client):
    async def pieces():
        yield "first "
        await (await client.ping())
        yield "second"

    await client.send(pieces())
    assert await client.recv() == "first second"


async def ping(client):
    for payload in [b"", b"x" * 125]:
        await asyncio.wait_for(await client.ping(payload), 5)
    await client.pong(b"unasked")
    await client.send("ping")
    assert await client.recv() == "pong came"


async def pipelined(client):
    for number in range(500):
        await client.send(str(number))
    for number in range(500):
        assert await client.recv() == str(number)


async def close(client):
    await client.close(code=4001, reason="enough")
    assert (client.close_code, client.close_reason) == (4001, "enough")


async def closed_by_server(client):
    try:
        await client.recv()
    except ConnectionClosed:
        assert (client.close_code, client.close_reason) == (4002, "as asked"), client.close_reason
    else:
        raise AssertionError("the server closes")


async def broken_frame(client):
    # Text that is not UTF-8: the server must close with 1007.
    client.transport.write(Frame(Opcode.TEXT, b"\xff").serialize(mask=True))
    try:
        await client.recv()
    except ConnectionClosed:
        assert client.close_code == CloseCode.INVALID_DATA, client.close_code
    else:
        raise AssertionError("the server closes")


async def subprotocol(client):
    assert client.subprotocol == "superchat"
    assert client.response.headers["X-Kong-Request-Id"]
    assert client.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    await client.send("x" * 100_000)
    assert await client.recv() == "x" * 100_000


async def wait(client):
    print("open", flush=True)
    await client.wait_closed()


async def refused(url, options):
    try:
        async with connect(url, **options):
            raise AssertionError("it is refused")
    except InvalidStatus as error:
        assert (error.response.status_code, error.response.body) == (403, b"not you\n"), error.response


async def main(url, case):
    options = {"max_size": 2**24, "proxy": None}
    if url.startswith("wss:"):
        options["ssl"] = context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if case == "refused":
        return await refused(url, options)
    if case == "subprotocol":
        options["subprotocols"] = ["superchat"]
    async with connect(url, **options) as client:
        await globals()[case](client)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 30))
