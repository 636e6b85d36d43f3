"""An aiomsg peer that is nothing but the Python package `websockets` and the wire document.

    websocket_peer.py connect URL [--ca FILE] [--cookie TEXT] --count N
    websocket_peer.py serve --count N

Connecting, it says HELLO, sends N messages `w0`, `w1`, … and waits for as many; serving, it is a
bind end: it names its port, waits for N messages of one peer and sends each back. What it received
is printed line by line, the port before it. Messages are cut so that neither frames of aiomsg nor
messages of WebSocket say where the others begin.
"""

import argparse
import asyncio
import ssl

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

HELLO, HEARTBEAT, DATA = 1, 2, 3
ME = bytes(range(100, 116))


def frame(kind: int, body: bytes) -> bytes:
    return (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body


class Stream:
    """The byte stream in the payloads of binary messages."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.buffer = b""

    async def read(self) -> tuple[int, bytes]:
        while True:
            if len(self.buffer) >= 4:
                end = 4 + int.from_bytes(self.buffer[:4], "big")
                if len(self.buffer) >= end:
                    envelope, self.buffer = self.buffer[4:end], self.buffer[end:]
                    return envelope[0], envelope[1:]
            message = await self.websocket.recv()
            assert isinstance(message, bytes), message
            self.buffer += message

    async def payloads(self, count: int) -> list[bytes]:
        payloads = []
        while len(payloads) < count:
            kind, body = await self.read()
            if kind == DATA:
                payloads.append(body)
            else:
                assert kind == HEARTBEAT, kind
        return payloads

    async def write_in_pieces(self, data: bytes, size: int) -> None:
        """One fragmented message, and at its end another one: no boundary means anything."""
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        await self.websocket.send(pieces[:-1] or [b""])
        await self.websocket.send(pieces[-1])


async def introduce(stream: Stream) -> None:
    await stream.write_in_pieces(frame(HELLO, b"\x01" + ME), 7)
    kind, body = await stream.read()
    assert (kind, body[0], len(body)) == (HELLO, 1, 17), (kind, body)


def report(payloads: list[bytes]) -> None:
    for payload in payloads:
        print(payload.decode(), flush=True)


async def run_client(options: argparse.Namespace) -> None:
    tls = ssl.create_default_context(cafile=options.ca) if options.ca else None
    headers = {"Cookie": options.cookie} if options.cookie else None
    async with connect(options.url, ssl=tls, additional_headers=headers) as websocket:
        stream = Stream(websocket)
        await introduce(stream)
        sent = b"".join(frame(DATA, b"w%d" % number) for number in range(options.count))
        await stream.write_in_pieces(sent, 11)
        report(await stream.payloads(options.count))
        await (await websocket.ping())


async def run_server(options: argparse.Namespace) -> None:
    done = asyncio.Event()

    async def speak(websocket) -> None:
        stream = Stream(websocket)
        kind, _ = await stream.read()
        assert kind == HELLO, kind
        await websocket.send(frame(HELLO, b"\x01" + ME))
        payloads = await stream.payloads(options.count)
        report(payloads)
        back = b"".join(frame(DATA, payload) for payload in payloads)
        await stream.write_in_pieces(back, 5)
        await websocket.wait_closed()
        done.set()

    async with serve(speak, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await done.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["connect", "serve"])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--ca")
    parser.add_argument("--cookie")
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(run_client(options) if options.role == "connect" else run_server(options))


main()
