"""Checks a file of golden frames against the encoders and the decoder of the Python package."""

import asyncio
import sys

from aiomsg import envelope, msgproto


class Recorder:
    """As much of a stream writer as a framed write needs."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    async def drain(self):
        pass


def framed(body):
    recorder = Recorder()
    asyncio.run(msgproto.send_msg(recorder, body))
    return recorder.written


def payload(text):
    return b"" if text == "-" else bytes.fromhex(text)


def encoded(meaning):
    match meaning.split(" "):
        case ["HELLO", version, identity]:
            return envelope.hello(bytes.fromhex(identity), int(version))
        case ["HEARTBEAT"]:
            return envelope.heartbeat()
        case ["DATA", text]:
            return envelope.data(payload(text))
        case ["DATA_REQ", message_id, text]:
            return envelope.data_req(bytes.fromhex(message_id), payload(text))
        case ["ACK", message_id]:
            return envelope.ack(bytes.fromhex(message_id))
    return None


def main(path):
    written = read = 0
    for line in open(path, encoding="utf-8"):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        both_ways = " <=> " in line
        meaning, digits = line.split(" <=> " if both_ways else " <== ")
        frame = bytes.fromhex(digits.replace(" ", ""))
        body = encoded(meaning)
        if body is not None and both_ways:
            assert framed(body) == frame, line
            written += 1
        if body is not None:
            assert envelope.decode(frame[4:]) == envelope.decode(body), line
            read += 1
        if meaning.startswith("UNKNOWN"):
            assert envelope.decode(frame[4:]) is None, line
    assert written >= 10 and read >= 12, (written, read)


main(sys.argv[1])
