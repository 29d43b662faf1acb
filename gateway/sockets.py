"""Events over a websocket, each message one event's JSON."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.auth import chosen_subprotocol
from gateway.entry import Entry
from gateway.live import Closed, TooSlow
from gateway.wire import TRY_AGAIN, Gone, Wire, text_frame, wire_of
from shared.errors import Problem
from shared.storage.mongo import OUTAGES

SEND_TIMEOUT_S = 10.0
"""A client whose buffers stay full for this long is too slow, whatever the queue still holds."""

CLOSE_TIMEOUT_S = 60.0
"""The close waits behind what a slow client has not read; how long it gets for that."""

ENDED, GOING_AWAY = 1000, 1012
_MAX_REASON_BYTES = 123

Open = Callable[[], Awaitable[AsyncGenerator[Entry, None]]]


async def serve(websocket: WebSocket, open_entries: Open) -> None:
    """Accept, send what `open_entries` gives until it ends or the client goes, close with a code that says why.

    A `Problem` of `open_entries` closes with 4000 + its status (4404, 4410 ...): unlike a refused handshake, that is something
    a browser's script can see.
    """
    # Opened before it is accepted: "from now on" must not begin after what a client does once it sees itself connected.
    opening = asyncio.ensure_future(open_entries())
    await asyncio.wait({opening})
    await websocket.accept(chosen_subprotocol(websocket.scope["subprotocols"]))
    sending = asyncio.ensure_future(_send(wire_of(websocket), opening))
    listening = asyncio.ensure_future(_until_gone(websocket))
    try:
        await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            code, reason = sending.result()
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                await asyncio.wait_for(websocket.close(code, _short(reason)), CLOSE_TIMEOUT_S)
    finally:
        for task in (sending, listening):
            task.cancel()
        await asyncio.wait({sending, listening})


async def _send(wire: Wire, opening: Awaitable[AsyncGenerator[Entry, None]]) -> tuple[int, str]:
    """Until the end; the close code and its reason."""
    try:
        async with aclosing(await opening) as entries:
            async for entry in entries:
                await wire.send_frame(text_frame(entry.text), SEND_TIMEOUT_S)
    except (TooSlow, TimeoutError):
        return TRY_AGAIN, "this client does not keep up; resume from the last cursor"
    except Closed:
        return GOING_AWAY, "the gateway stops; resume from the last cursor"
    except Gone:
        return ENDED, ""
    except OUTAGES:
        return TRY_AGAIN, "mongodb does not answer; resume from the last cursor"
    except Problem as problem:
        return TRY_AGAIN if problem.status >= 500 else 4000 + problem.status, problem.detail
    return ENDED, "the log has ended"


async def _until_gone(websocket: WebSocket) -> None:
    """Clients have nothing to say here; what they send is dropped."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _short(reason: str) -> str:
    """Cut to what a close frame may carry, between characters."""
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
