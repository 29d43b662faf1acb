"""Many clients of a gateway over a real broker: one read for all of them, and those that do not read hold up nobody."""

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from deploy.embedded.ports import LOOPBACK
from gateway.wire import Gone, Wire, text_frame, wire_of
from shared import subjects
from shared.settings import Settings
from tests.integration.test_gateway_api import RunningGateway, until
from tests.integration.test_gateway_events import end, event, history, numbers, publish, read, read_to_end, socket

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HIGH_WATER = 64 * 1024
"""Of a transport, in asyncio and uvloop: no more is written while so much waits."""


async def consumers(gateway: RunningGateway) -> set[str]:
    """Names alone: the server lists a consumer that is just being deleted as null, which nats-py cannot read."""
    answer = await gateway.nc.request(f"$JS.API.CONSUMER.NAMES.{subjects.EVENTS}", b"", timeout=5)
    return set(json.loads(answer.data)["consumers"] or [])


@asynccontextmanager
async def mute(port: int, path: str) -> AsyncIterator[sockets.socket]:
    """A client that is accepted and then reads nothing more; its own buffer is as small as the kernel allows."""
    loop = asyncio.get_running_loop()
    with sockets.socket() as connection:
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, (LOOPBACK, port))
        await loop.sock_sendall(connection, HANDSHAKE.format(path=path, port=port).encode())
        head = b""
        async with asyncio.timeout(20):
            while not head.endswith(b"\r\n\r\n"):
                head += await loop.sock_recv(connection, 1)
        assert b" 101 " in head
        yield connection


async def read_all(connection: sockets.socket) -> bytes:
    """What comes until the other side closes, in whichever way."""
    loop = asyncio.get_running_loop()
    found = b""
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            while data := await loop.sock_recv(connection, 65536):
                found += data
    return found


# One read


async def test_each_gateway_is_one_read_whoever_listens(stores: Settings) -> None:
    async with RunningGateway(stores) as first:
        evaluation = await first.add_evaluation(1, status="running")
        said = [await publish(first, evaluation, "queued", 0)]
        await until(lambda: first.app.state.parts.feed.last >= int(said[-1]))
        before = await consumers(first)
        async with RunningGateway(stores) as second, AsyncExitStack() as exits:
            await second.add_evaluation(2, status="running", _id=evaluation)
            said += [await publish(first, evaluation, "progress", number) for number in range(1, 4)]
            await until(lambda: all(one.app.state.parts.feed.last >= int(said[-1]) for one in (first, second)))
            assert len(await consumers(first) - before) == 1

            async def connect(number: int) -> ClientConnection:
                paths = (f"/evaluations/{evaluation}/events/ws", f"/events/ws?after={int(said[0]) - 1}")
                return await exits.enter_async_context(socket((first, second)[number % 2], paths[number // 2 % 2]))

            clients = await asyncio.gather(*(connect(number) for number in range(50)))
            # Whole histories come from memory: no consumer is made for them, not even for a moment.
            assert [numbers(await read(client, 4)) for client in clients] == [[0, 1, 2, 3]] * 50
            assert len(await consumers(first) - before) == 1
            assert [one.app.state.parts.feed.listeners for one in (first, second)] == [25, 25]
            await publish(first, evaluation, "progress", 4)
            assert [numbers(await read(client, 1)) for client in clients] == [[4]] * 50


async def test_a_starting_gateway_knows_what_was_said_before(stores: Settings) -> None:
    async with RunningGateway(stores) as first:
        evaluation = await first.add_evaluation(1, status="running")
        said = [await publish(first, evaluation, "progress", number) for number in range(5)]
        async with RunningGateway(stores) as second:
            await second.add_evaluation(1, status="running", _id=evaluation)
            feed = second.app.state.parts.feed
            await until(lambda: feed.last >= int(said[-1]))
            before = await consumers(first)
            # As clients come back that the former gateway had served so far.
            async with socket(second, f"/evaluations/{evaluation}/events/ws?after={said[1]}") as client:
                assert numbers(await read(client, 3)) == [2, 3, 4]
                assert await consumers(first) <= before
                said.append(await end(second, evaluation, 5))
                rest, code, _ = await read_to_end(client)
            assert (numbers(rest), code) == ([5], 1000)
            assert [one["cursor"] for one in await history(second, evaluation)] == said


async def test_a_log_from_before_what_is_in_memory_is_read_from_the_stream(stores: Settings) -> None:
    async with RunningGateway(stores) as gateway:
        evaluation = await gateway.add_evaluation(1, status="running")
        said = [await publish(gateway, evaluation, "queued", 0)]
        said += [await publish(gateway, evaluation, "progress", number) for number in range(1, 5)]
        feed = gateway.app.state.parts.feed
        await until(lambda: feed.last >= int(said[-1]))
        feed.recent.begin(int(said[2]))
        async with socket(gateway, f"/evaluations/{evaluation}/events/ws") as client:
            assert numbers(await read(client, 5)) == [0, 1, 2, 3, 4]
            await publish(gateway, evaluation, "progress", 5)
            assert numbers(await read(client, 1)) == [5]
        async with socket(gateway, f"/events/ws?after={said[0]}") as client:
            assert numbers(await read(client, 5)) == [1, 2, 3, 4, 5]


# Clients that do not read


async def test_those_that_do_not_read_are_cut_and_hold_up_nobody(stores: Settings) -> None:
    stuck, count, padding = 200, 2600, "x" * 2_000
    async with RunningGateway(stores) as gateway, AsyncExitStack() as exits:
        evaluation = await gateway.add_evaluation(1, status="running")
        path = f"/evaluations/{evaluation}/events/ws"
        mutes = [await exits.enter_async_context(mute(gateway.port, f"/v1{path}")) for _ in range(stuck)]
        feed = gateway.app.state.parts.feed
        async with socket(gateway, path) as healthy:
            await until(lambda: feed.listeners == stuck + 1)
            js = gateway.nc.jetstream()
            found: list[dict[str, Any]] = []
            for number in range(count):
                one = event(evaluation, "progress", number, padding=padding)
                await js.publish_async(subjects.event(evaluation, one.type), one.model_dump_json().encode())
                if number % 100 == 99:
                    # The healthy one has each hundred before the next is said, whatever the others do.
                    found += await read(healthy, 100)
            assert numbers(found) == list(range(count))
            await until(lambda: feed.listeners == 1)
            wires = [one for one in gateway.server.server_state.connections if isinstance(one, Wire)]
            frame = len(text_frame(json.dumps(found[-1], separators=(",", ":"))))
            assert len(wires) == stuck + 1
            for wire in wires:
                assert wire.transport.get_write_buffer_size() <= HIGH_WATER + 2 * frame
        # What such a client finds once it reads: everything up to where it was cut, and why.
        data = await read_all(mutes[0])
        code, reason = last_frame(data)
        assert code == 1013
        assert "resume" in reason


def last_frame(data: bytes) -> tuple[int, str]:
    """Code and reason of a close frame at the end of what came."""
    at = data.rindex(bytes([0x88]))
    return int.from_bytes(data[at + 2 : at + 4], "big"), data[at + 4 :].decode()


class Impatient(Wire):
    """Lets go at once of those that do not read their close."""

    let_go_s = 0.0


@asynccontextmanager
async def bare_server(app: Callable[[WebSocket], Any], ws: type[Wire], **config: Any) -> AsyncIterator[uvicorn.Server]:
    """A websocket server without a gateway behind it."""

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        await app(websocket)

    server = uvicorn.Server(
        uvicorn.Config(
            asgi, host=LOOPBACK, port=0, lifespan="off", log_config=None, ws=ws, ws_per_message_deflate=False, **config
        )
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield server
    server.should_exit = True
    await serving


def port_of(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


async def test_a_closed_connection_that_is_not_read_does_not_stay() -> None:
    sent: list[bytes] = []

    async def app(websocket: WebSocket) -> None:
        with suppress(TimeoutError):
            while True:
                await wire_of(websocket).send_frame(text_frame("x" * 10_000), 0.0)
                sent.append(b"")

    async with bare_server(app, Impatient) as server, mute(port_of(server), "/"):
        await until(lambda: sent and not server.server_state.connections)


async def test_who_does_not_answer_pings_is_told_to_come_back() -> None:
    async def app(websocket: WebSocket) -> None:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass

    async with (
        bare_server(app, Impatient, ws_ping_interval=0.05, ws_ping_timeout=0.05) as server,
        mute(port_of(server), "/") as client,
    ):
        code, reason = last_frame(await read_all(client))
        assert code == 1013
        assert "resume" in reason
        await until(lambda: not server.server_state.connections)


async def test_sending_to_who_is_gone_says_so() -> None:
    told = asyncio.Event()

    async def app(websocket: WebSocket) -> None:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
        with pytest.raises(Gone):
            await wire_of(websocket).send_frame(text_frame("late"), 1.0)
        told.set()

    async with bare_server(app, Wire) as server, mute(port_of(server), "/") as client:
        close = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)
        await asyncio.get_running_loop().sock_sendall(client, close)
        async with asyncio.timeout(20):
            await told.wait()
