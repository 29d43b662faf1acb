"""Websocket clients in a process of their own, as cheap as they can be: `python -m bench.listeners PORT`.

The process reads one JSON object a line on its standard input and answers each with one line:

    {"connect": [path, ...]}    a client for each path, all at once; answers {"took_s"} once the last is accepted
    {"until": cursor}           waits until every client has that event or is closed; answers what each received
    {"burn": share}             from now on uses this share of a core, five times a second for a while; answers {}

They speak the protocol directly (RFC 6455, https://www.rfc-editor.org/rfc/rfc6455): a frame's JSON is not decoded, only the cursor at its
end is, and the clock is read once for all that arrived together.
"""

import argparse
import asyncio
import sys
import time
from array import array
from typing import Any, cast

import orjson
import uvloop

HOST = "127.0.0.1"
CONNECT_S = UNTIL_S = 30.0
BEATS_PER_S = 5

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A


class Malformed(Exception):
    """The server sent what these clients do not understand."""


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Whole frames at the beginning of `data` as (first byte, payload), and what is left of it.

    A server's frames are not masked, and these are not fragmented or compressed; raises `Malformed` for others.
    """
    frames = []
    at = 0
    while len(data) - at >= 2:
        first, size, begin = data[at], data[at + 1], at + 2
        if size == 126:
            size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if len(data) < begin + size:
            break
        if first & 0x70 or not first & 0x80:
            raise Malformed(f"a frame begins with {first:#x}")
        frames.append((first, data[begin : begin + size]))
        at = begin + size
    return frames, data[at:]


def cursor_of(payload: bytes) -> int:
    """From an event's JSON, at whose end the gateway puts it."""
    return int(payload[payload.rindex(b'"', 0, -2) + 1 : -2])


class Listener(asyncio.Protocol):
    """One client: what arrived, when, and how it ended."""

    def __init__(self, port: int, path: str, changed: asyncio.Event) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._changed = changed
        self._rest = b""
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cursors = array("q")
        self.received = array("d")
        self.code: int | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._rest + data
        if not self.accepted.done():
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            status = head.partition(b"\r\n")[0].decode(errors="replace")
            if " 101 " in status:
                self.accepted.set_result(None)
            else:
                self.accepted.set_exception(Malformed(f"the gateway answered {status}"))
        frames, self._rest = split_frames(data)
        for first, payload in frames:
            if first == TEXT:
                self.cursors.append(cursor_of(payload))
                self.received.append(now)
            elif first == PING:
                # The payload goes back; with a mask of zeros it stays as it is.
                self._transport.write(bytes([PONG, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
            elif first == CLOSE:
                self.code = int.from_bytes(payload[:2], "big")
                self._transport.close()
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if not self.accepted.done():
            self.accepted.set_exception(Malformed("the gateway closed before it accepted"))
        self._changed.set()

    def abort(self) -> None:
        self._transport.abort()

    def has(self, cursor: int) -> bool:
        """Whether the event with this cursor has come; nothing after it is waited for."""
        return self.closed or (len(self.cursors) > 0 and self.cursors[-1] >= cursor)


class Listeners:
    """What the process does for each line."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._changed = asyncio.Event()
        self._clients: list[Listener] = []
        self._burning: asyncio.Task[None] | None = None

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "connect" in asked:
            return await self._connect(asked["connect"])
        if "until" in asked:
            return await self._until(asked["until"])
        if self._burning:
            self._burning.cancel()
        self._burning = asyncio.create_task(burn(asked["burn"])) if asked["burn"] else None
        return {}

    async def _connect(self, paths: list[str]) -> dict[str, Any]:
        began = time.perf_counter()
        async with asyncio.timeout(CONNECT_S):
            made = await asyncio.gather(*(self._one(path) for path in paths))
            await asyncio.gather(*(one.accepted for one in made))
        self._clients += made
        return {"took_s": time.perf_counter() - began}

    async def _one(self, path: str) -> Listener:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: Listener(self._port, path, self._changed), HOST, self._port)
        return made

    async def _until(self, cursor: int) -> dict[str, Any]:
        deadline = time.monotonic() + UNTIL_S
        while not all(one.has(cursor) for one in self._clients) and time.monotonic() < deadline:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 1.0)
            except TimeoutError:
                continue
        clients = [
            {"cursors": one.cursors.tolist(), "received": one.received.tolist(), "code": one.code}
            for one in self._clients
        ]
        for one in self._clients:
            one.abort()
        self._clients = []
        return {"clients": clients}


async def burn(share: float) -> None:
    """Use this share of a core in short spells, as clients do whom an event wakes."""
    began, used = time.monotonic(), time.process_time()
    while True:
        await asyncio.sleep(1 / BEATS_PER_S)
        # Reckoned from the beginning: on busy cores a spell comes late, and the next one makes up for it.
        due = used + share * (time.monotonic() - began)
        while time.process_time() < due:
            pass


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    listeners = Listeners(port)
    while line := await lines.readline():
        answer = await listeners.answer(orjson.loads(line))
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(main(parser.parse_args().port))
