"""Asks and answers from Python: `pip install aiomsg==2026.7.1`, then `python ask_peer.py PORT`
beside `cargo run --example services -- inventory PORT --ask`."""

import asyncio, json, os, struct, sys

if sys.argv[1:] in (["-h"], ["--help"]):
    print(__doc__)
    sys.exit()
port = sys.argv[1] if len(sys.argv) == 2 else ""
if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
    sys.exit(__doc__)

from aiomsg import Søcket

ENVELOPE = struct.Struct(">4sBB16sI")  # docs/ASK.md
ASK, REPLY = 1, 2


async def main():
    socket, waiting = Søcket(), {}
    await socket.connect("127.0.0.1", int(port))

    async def ask(topic, request):
        id, answer = os.urandom(16), asyncio.get_running_loop().create_future()
        waiting[id] = answer
        envelope = ENVELOPE.pack(b"\xa1ASK", ASK, 0, id, 5000)
        await socket.send(envelope + topic + json.dumps(request).encode())
        return await asyncio.wait_for(answer, 5)

    async def answer_all():
        async for peer, message in socket.identity_messages():
            magic, kind, _, id, _ = ENVELOPE.unpack_from(message)
            if kind == ASK:  # whatever is asked: how long the question is
                reply = json.dumps({"count": len(message) - ENVELOPE.size}).encode()
                await socket.send(ENVELOPE.pack(magic, REPLY, 0, id, 0) + reply, identity=peer)
            elif id in waiting:
                waiting.pop(id).set_result((kind, message[ENVELOPE.size :].decode()))

    answering = asyncio.create_task(answer_all())
    print(*await ask(b"in-stock ", {"item": "tea"}), flush=True)
    await answering


try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
except TimeoutError:
    sys.exit("nobody answered within 5 s: does `cargo run --example services -- inventory PORT --ask` run at this port?")
