"""What a WebSocket peer can do frame by frame, each case on a connection of its own.

    websocket_cases.py PORT [--path PATH] [--ca FILE]

The handshake and the reading of frames are those of the package `websockets`; what is sent is put
together here, so that it can be wrong. The other end must answer the payload PING with the same.
Several are played at once. One line for each case: its name, and how the connection ended, by close code or by `end`.
"""

import argparse
import os
import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
ANSWERED = b"ping of the good peer"


def ws(opcode, payload=b"", fin=True, rsv=0, masked=True, form=None) -> bytes:
    """A frame; `form` forces 7, 16 or 64 bits of length, or is the length field itself."""
    size = len(payload)
    form = form or (7 if size < 126 else 16 if size < 65536 else 64)
    if isinstance(form, bytes):
        length = form
    else:
        length = {
            7: lambda: bytes([size]),
            16: lambda: bytes([126]) + struct.pack(">H", size),
            64: lambda: bytes([127]) + struct.pack(">Q", size),
        }[form]()
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if not masked:
        return bytes([first]) + length + payload
    mask = os.urandom(4)
    coded = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first, length[0] | 0x80]) + length[1:] + mask + coded


def aiomsg(kind, body) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


class Connection:
    def __init__(self, options):
        scheme = "wss" if options.ca else "ws"
        uri = f"{scheme}://127.0.0.1:{options.port}{options.path}"
        self.protocol = ClientProtocol(parse_uri(uri))
        self.socket = socket.create_connection(("127.0.0.1", options.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.ca:
            context = ssl.create_default_context(cafile=options.ca)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.protocol.send_request(self.protocol.connect())
        for data in self.protocol.data_to_send():
            self.socket.sendall(data)
        self.events = []
        self.ended = False
        self.received = b""
        self.pongs = []
        while not self.events:
            self.pump()
        assert self.events.pop(0).status_code == 101
        assert self.protocol.handshake_exc is None, self.protocol.handshake_exc

    def say(self, *frames):
        self.socket.sendall(b"".join(frames))

    def pump(self):
        """Reads once. What the package would like to answer is not sent."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if data:
            self.protocol.receive_data(data)
        else:
            self.ended = True
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self.received += bytes(event.data)
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs.append(bytes(event.data))
            else:
                self.events.append(event)

    def until(self, holds):
        while not holds():
            assert not self.ended, "the other end closed"
            self.pump()

    def introduce(self):
        self.say(ws(BINARY, aiomsg(1, b"\x01" + os.urandom(16))))
        self.until(lambda: len(self.received) >= 22)
        self.received = self.received[22:]

    def is_answered(self, times=1):
        expected = aiomsg(3, ANSWERED) * times
        self.until(lambda: len(self.received.replace(aiomsg(2, b""), b"")) >= len(expected))
        assert self.received.replace(aiomsg(2, b""), b"") == expected, self.received
        self.received = b""

    def ending(self):
        while not self.ended:
            self.pump()
        closed = self.protocol.close_rcvd
        self.socket.close()
        return "end" if closed is None else str(closed.code)


def answered(connection, *frames):
    connection.say(*frames)
    connection.is_answered()
    connection.say(ws(CLOSE, struct.pack(">H", 1000)))


DATA = aiomsg(3, ANSWERED)


def ping_flood(connection):
    """Nothing of what comes back is read until all is said."""
    for number in range(200):
        connection.say(*(ws(PING, b"%d" % (number * 100 + at)) for at in range(100)))
    answered(connection, ws(BINARY, DATA), ws(PING, b"last"))
    connection.until(lambda: b"last" in connection.pongs)


def half_close(connection, *frames):
    connection.say(*frames)
    # TLS has no half close of its own: closing below it is all that its peers ever see.
    socket.socket.shutdown(connection.socket, socket.SHUT_WR)


def fragments_around_a_ping(connection):
    connection.say(ws(BINARY, DATA[:9], fin=False), ws(PING, b"inside"))
    connection.until(lambda: connection.pongs == [b"inside"])
    answered(connection, ws(0, DATA[9:], fin=False), ws(0))


def byte_by_byte(connection):
    frames = ws(BINARY, DATA, form=64)
    for at in range(len(frames)):
        connection.say(frames[at : at + 1])
    connection.is_answered()
    connection.say(ws(CLOSE, struct.pack(">H", 1000)))


def long_message(connection):
    """Many frames of ours in one of theirs, with the length in 64 bits."""
    connection.say(ws(BINARY, DATA * 3000))
    connection.is_answered(3000)
    connection.say(ws(CLOSE))


def say(*frames):
    return lambda connection: connection.say(*frames)


def close(body):
    return say(ws(CLOSE, body))


def code(number, reason=b""):
    return close(struct.pack(">H", number) + reason)


CASES = {
    "text": (say(ws(TEXT, b"hello")), "1003"),
    "fragmented text": (say(ws(TEXT, b"hel", fin=False)), "1003"),
    "empty text": (say(ws(TEXT)), "1003"),
    "unmasked": (say(ws(BINARY, DATA, masked=False)), "1002"),
    "unmasked ping": (say(ws(PING, b"", masked=False)), "1002"),
    **{f"reserved bit {bit}": (say(ws(BINARY, DATA, rsv=bit)), "1002") for bit in (1, 2, 4)},
    **{
        f"opcode {opcode}": (say(ws(opcode, b"")), "1002")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "ping of 126 bytes": (say(ws(PING, bytes(126))), "1002"),
    "fragmented ping": (say(ws(PING, b"", fin=False)), "1002"),
    "fragmented close": (say(ws(CLOSE, b"", fin=False)), "1002"),
    "continuation without a start": (say(ws(0, DATA)), "1002"),
    "continuation after a whole message": (say(ws(BINARY, b""), ws(0, b"")), "1002"),
    "message inside a message": (say(ws(BINARY, b"", fin=False), ws(BINARY, DATA)), "1002"),
    "text inside a message": (say(ws(BINARY, b"", fin=False), ws(TEXT, b"x")), "1003"),
    "length with its top bit": (say(ws(BINARY, form=b"\x7f\x80" + bytes(7))), "1002"),
    "close of one byte": (close(b"\x03"), "1002"),
    **{
        f"close code {number}": (code(number), "1002")
        for number in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
    },
    "close reason that is no text": (code(1000, b"\xff\xfe"), "1007"),
    "close without a code": (close(b""), "1005"),
    **{
        f"close code {number}, echoed": (code(number, "grüße".encode()), str(number))
        for number in (1000, 1001, 1011, 3000, 4999)
    },
    "an aiomsg frame above the limit": (say(ws(BINARY, aiomsg(3, b"")[:0] + b"\x7f\xff\xff\xff\x03")), "1009"),
    "a second HELLO and an unknown frame": (
        lambda connection: answered(
            connection,
            ws(BINARY, aiomsg(1, b"\x01" + bytes(16)) + aiomsg(0x63, b"?") + DATA),
        ),
        "1000",
    ),
    "16 bits for a short length": (
        lambda connection: answered(connection, ws(BINARY, DATA, form=16)),
        "1000",
    ),
    "64 bits for a short length": (
        lambda connection: answered(connection, ws(BINARY, DATA, form=64)),
        "1000",
    ),
    "a long message": (long_message, "1005"),
    "a byte at a time": (byte_by_byte, "1000"),
    "fragments around a ping": (fragments_around_a_ping, "1000"),
    "a pong that nobody asked for": (
        lambda connection: answered(connection, ws(PONG, b"?"), ws(BINARY, DATA)),
        "1000",
    ),
    "a flood of pings": (ping_flood, "1000"),
    "half close between frames": (lambda connection: half_close(connection), "end"),
    "half close inside a frame": (
        lambda connection: half_close(connection, ws(BINARY, DATA)[:9]),
        "end",
    ),
    "half close inside a header": (lambda connection: half_close(connection, b"\x82"), "end"),
    "end without a close frame": (lambda connection: half_close(connection, ws(BINARY, DATA)), "end"),
}

# Before HELLO the same rules hold.
STRANGERS = {
    "a stranger's text": (say(ws(TEXT, b"hello")), "1003"),
    "a stranger's data": (say(ws(BINARY, DATA)), "1002"),
    "a stranger's large frame": (say(ws(BINARY, b"\x00\x01\x00\x00\x01")), "1009"),
    "a stranger's other version": (say(ws(BINARY, aiomsg(1, b"\x02" + bytes(16)))), "1002"),
    "a stranger's close": (code(1001), "1001"),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/")
    parser.add_argument("--ca")
    options = parser.parse_args()
    cases = [(name, case, True) for name, case in CASES.items()]
    cases += [(name, case, False) for name, case in STRANGERS.items()]

    def play(case):
        name, (act, expected), introduced = case
        connection = Connection(options)
        if introduced:
            connection.introduce()
        act(connection)
        ending = connection.ending()
        verdict = "as expected" if ending == expected else f"and not {expected}"
        return f"{name}: {ending} {verdict}"

    # A web server leaves each connection open for a while after its close frame.
    with ThreadPoolExecutor(16) as pool:
        for line in pool.map(play, cases):
            print(line, flush=True)


main()
