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


def raw(first, payload=b"", masked=True, length=None):
    """A frame by its bytes, also one that a client must not send."""
    length = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    size = bytes([bit | length]) if length < 126 else bytes([bit | 127]) + length.to_bytes(8, "big")
    # A mask of zeros changes nothing.
    return bytes([first]) + size + (bytes(4) if masked else b"") + payload


# RFC 6455 §5 and §7: what a server must close a connection for, and with which code.
VIOLATIONS = {
    "no mask": (raw(0x81, b"x", masked=False), CloseCode.PROTOCOL_ERROR),
    "a reserved bit": (raw(0xA1, b"x"), CloseCode.PROTOCOL_ERROR),
    "an opcode that means nothing": (raw(0x83, b"x"), CloseCode.PROTOCOL_ERROR),
    "a control opcode that means nothing": (raw(0x8B), CloseCode.PROTOCOL_ERROR),
    "a ping of 126 bytes": (raw(0x89, b"x" * 126), CloseCode.PROTOCOL_ERROR),
    "a ping in fragments": (raw(0x09, b"x"), CloseCode.PROTOCOL_ERROR),
    "a continuation of nothing": (raw(0x80, b"x"), CloseCode.PROTOCOL_ERROR),
    "a message inside of another": (raw(0x01, b"x") + raw(0x81, b"y"), CloseCode.PROTOCOL_ERROR),
    "a character cut by its last fragment": (raw(0x01, b"\xe2\x98") + raw(0x80, b"x"), CloseCode.INVALID_DATA),
    "more than the server takes": (raw(0x82, length=2**24 + 1), CloseCode.MESSAGE_TOO_BIG),
    "a close of one byte": (raw(0x88, b"\x03"), CloseCode.PROTOCOL_ERROR),
    "a close with a code that is never sent": (raw(0x88, b"\x03\xee"), CloseCode.PROTOCOL_ERROR),
    "a close with a reason that is no text": (raw(0x88, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
}


async def violations(url, options):
    for name, (frames, code) in VIOLATIONS.items():
        async with connect(url, **options) as client:
            client.transport.write(frames)
            await client.wait_closed()
            assert client.protocol.close_rcvd and client.close_code == code, (name, client.close_code)


async def closings(url, options):
    reasons = {1000: "", 1001: "going", 1003: "x" * 123, 1007: "ü" * 61, 1011: "☃", 3000: "library", 4999: "own"}
    for code, reason in reasons.items():
        async with connect(url, **options) as client:
            await client.close(code, reason)
            received = client.protocol.close_rcvd
            assert (received.code, received.reason) == (code, reason), (code, received)
    async with connect(url, **options) as client:
        client.transport.write(raw(0x88))
        await client.wait_closed()
        assert client.close_code == CloseCode.NO_STATUS_RCVD, client.close_code


async def cut(url, options):
    """Frames however the network cuts them: byte by byte, and many at once."""
    async with connect(url, compression=None, **options) as client:
        for byte in raw(0x01, b"a") + raw(0x89, b"between") + raw(0x00, b"") + raw(0x80, b"b" * 125):
            client.transport.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.recv() == "a" + "b" * 125
        client.transport.write(b"".join(raw(0x82, bytes([number])) for number in range(250)))
        for number in range(250):
            assert await client.recv() == bytes([number])


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
    if case in ("refused", "violations", "closings", "cut"):
        return await globals()[case](url, options)
    if case == "subprotocol":
        options["subprotocols"] = ["superchat"]
    async with connect(url, **options) as client:
        await globals()[case](client)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 30))
