"""Lets test-suites that speak MQTT over TCP reach a broker that speaks it over WebSocket.

One WebSocket for each TCP connection, and the end of one is the end of the other: a client that vanishes without
DISCONNECT vanishes from the WebSocket too, without a close, and its will is due.
"""

import asyncio
import socket
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

# How long what was sent last may take to be read before the connection goes.
LINGER_SECONDS = 5
CLOSE_SECONDS = 1
BACKLOG = 500


async def serve(port, broker_port, wording):
    """Accepts on `port` for ever. `wording` makes, for each connection, what rewords the broker's packets."""

    async def accepted(reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            websocket = await opened(broker_port)
        except (OSError, WebSocketException):
            writer.close()
            return
        words = wording()
        await asyncio.gather(upwards(reader, websocket, words), downwards(websocket, writer, words))

    server = await asyncio.start_server(accepted, "127.0.0.1", port, backlog=BACKLOG)
    async with server:
        await server.serve_forever()


def opened(port):
    bare = {"compression": None, "ping_interval": None, "max_size": None, "proxy": None}
    return connect(f"ws://127.0.0.1:{port}/mqtt", subprotocols=["mqtt"], close_timeout=CLOSE_SECONDS, **bare)


async def upwards(reader, websocket, words):
    with suppress(OSError, WebSocketException):
        while data := await reader.read(65536):
            words.sent(data)
            await websocket.send(data)
    # Read on after the broker's close: what is left unread resets the connection, and its last words are lost.
    with suppress(OSError):
        while await reader.read(65536):
            pass
    if websocket.close_code is None:
        websocket.transport.write_eof()
    await asyncio.sleep(0.03)
    websocket.transport.close()


async def downwards(websocket, writer, words):
    with suppress(OSError, WebSocketException):
        async for message in websocket:
            writer.write(words.received(message))
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()
        await asyncio.sleep(LINGER_SECONDS)
    writer.close()
