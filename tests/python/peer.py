"""One aiomsg socket of the PyPI package, driven by lines of JSON.

Commands come on standard input, one object per line:

    {"do": "send", "payload": "text", "identity": "32 hex digits, or absent"}
    {"do": "send_many", "prefix": "m", "from": 0, "to": 10000}
    {"do": "unacknowledged"}
    {"do": "close"}

Events leave on standard output, one object per line: "ready" (with the port, for a bind end),
"received" (with the peer and the payload), "unacknowledged" (with the number), "closed". The end of
standard input ends the process.
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiomsg import DeliveryGuarantee, SendMode, Søcket

SEND_MODES = {"publish": SendMode.PUBLISH, "roundrobin": SendMode.ROUNDROBIN}
GUARANTEES = {
    "at-most-once": DeliveryGuarantee.AT_MOST_ONCE,
    "at-least-once": DeliveryGuarantee.AT_LEAST_ONCE,
}


def tell(event: str, **fields) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def tls_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls_cert, options.tls_key)
        return context
    if options.tls_ca:
        return ssl.create_default_context(cafile=options.tls_ca)
    return None


async def standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def report_received(socket: Søcket, echo: bool) -> None:
    async for peer, payload in socket.identity_messages():
        if echo:
            await socket.send(payload, identity=peer)
        tell("received", peer=peer.hex(), payload=payload.decode("latin-1"))


async def obey(socket: Søcket, command: dict) -> None:
    match command["do"]:
        case "send":
            identity = command.get("identity")
            await socket.send(
                command["payload"].encode("latin-1"),
                identity=bytes.fromhex(identity) if identity else None,
            )
        case "send_many":
            for number in range(command["from"], command["to"]):
                await socket.send(f"{command['prefix']}{number}".encode())
        case "unacknowledged":
            tell("unacknowledged", n=len(socket.waiting_for_acks))
        case "close":
            await socket.close()
            tell("closed")
        case unknown:
            raise ValueError(f"unknown command: {unknown}")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=["bind", "connect"], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--send-mode", choices=SEND_MODES, default="roundrobin")
    parser.add_argument("--delivery", choices=GUARANTEES, default="at-most-once")
    parser.add_argument("--identity", type=bytes.fromhex)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--tls-ca")
    options = parser.parse_args()

    socket = Søcket(
        send_mode=SEND_MODES[options.send_mode],
        delivery_guarantee=GUARANTEES[options.delivery],
        identity=options.identity,
    )
    tls = tls_context(options)
    if options.role == "bind":
        await socket.bind("127.0.0.1", options.port, ssl_context=tls)
        tell("ready", port=socket.server.sockets[0].getsockname()[1])
    else:
        await socket.connect("127.0.0.1", options.port, ssl_context=tls)
        tell("ready")

    receiving = asyncio.create_task(report_received(socket, options.echo))
    commands = await standard_input()
    while line := await commands.readline():
        await obey(socket, json.loads(line))
    receiving.cancel()


asyncio.run(main())
