"""Exchanges over connections of our own, against servers that behave and servers that do not."""

import asyncio
import contextlib
import gzip
import socket

import httpx
import pytest

from services.predictor.connections import (
    ConnectFailed,
    ConnectionBroke,
    Connections,
    ExchangeFailed,
    Response,
    ResponseTooLarge,
)
from shared.networks import Networks
from tests.unit.predictor.servers import OK, Handler, read_request, saying, serving

LIMIT = 1000


def connections(base_url: str) -> Connections:
    return Connections(httpx.URL(base_url), {"Authorization": "Bearer k"}, 5, Networks(loopback=True))


async def get(base_url: str) -> Response:
    return await connections(base_url).exchange(b"GET", b"/v1/models", limit=LIMIT)


async def test_a_request_arrives_as_it_was_meant() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with serving(handler) as url:
        response = await connections(url).exchange(b"POST", b"/v1/chat", b'{"a":1}', limit=LIMIT)
    head, body = seen[0]
    assert head.split(b"\r\n")[0] == b"POST /v1/chat HTTP/1.1"
    assert f"Host: {httpx.URL(url).netloc.decode()}".encode() in head.split(b"\r\n")
    assert b"Authorization: Bearer k" in head.split(b"\r\n")
    assert (body, response.status, response.body) == (b'{"a":1}', 200, b"hello")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello until the end", b"hello until the end"),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nold", b"old"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
            % (len(gzip.compress(b"zipped")), gzip.compress(b"zipped")),
            b"zipped",
        ),
    ],
    ids=["chunked", "until close", "HTTP/1.0", "100 first", "204", "gzip"],
)
async def test_every_framing_is_read(answer: bytes, body: bytes) -> None:
    async with serving(saying(answer)) as url:
        assert (await get(url)).body == body


async def test_headers_are_found_by_lower_case_name() -> None:
    async with serving(saying(b"HTTP/1.1 429 Too Many\r\nRETRY-after: 7\r\nContent-Length: 0\r\n\r\n")) as url:
        response = await get(url)
    assert (response.status, response.header("retry-after"), response.header("date")) == (429, "7", None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed by the endpoint"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "closed by the endpoint"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhalf", "closed by the endpoint"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what came is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "the head of the response does not end"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            "the compressed body is broken",
        ),
    ],
    ids=["nothing", "half a body", "half a chunk", "another protocol", "endless head", "broken gzip"],
)
async def test_what_is_not_a_whole_response_is_told_apart(answer: bytes, reason: str) -> None:
    async with serving(saying(answer)) as url:
        with pytest.raises(ConnectionBroke, match=reason):
            await get(url)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 10_000_000),
    ],
    ids=["announced", "unannounced", "a bomb"],
)
async def test_a_response_beyond_the_limit_is_cut(answer: bytes) -> None:
    async with serving(saying(answer)) as url:
        with pytest.raises(ResponseTooLarge):
            await get(url)


async def test_a_connection_is_used_again() -> None:
    peers: list[object] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            peers.append(writer.get_extra_info("peername"))
            writer.write(OK)

    async with serving(handler) as url:
        pool = connections(url)
        for _ in range(3):
            await pool.exchange(b"GET", b"/", limit=LIMIT)
        pool.close()
    assert len(peers) == 3
    assert len(set(peers)) == 1


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        OK,
        OK + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["close announced", "close while idle", "a word before closing"],
)
async def test_a_connection_that_ended_after_its_answer_is_replaced_in_silence(first: bytes) -> None:
    async with serving(saying(first)) as url:
        pool = connections(url)
        for _ in range(3):
            assert (await pool.exchange(b"GET", b"/", limit=LIMIT)).body == b"hello"


async def test_a_request_that_meets_a_closing_connection_is_sent_again_on_another_but_only_once() -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1
            if requests > 1:
                return
            writer.write(OK)

    async with serving(handler) as url:
        pool = connections(url)
        await pool.exchange(b"GET", b"/", limit=LIMIT)
        with pytest.raises(ConnectionBroke):
            await pool.exchange(b"GET", b"/", limit=LIMIT)
    assert requests == 3  # the first, the one that met the close, and its repeat on a fresh connection


async def test_a_cancelled_exchange_closes_its_connection() -> None:
    gone = asyncio.Event()
    asked = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        gone.set()

    async with serving(handler) as url:
        call = asyncio.create_task(get(url))
        await asked.wait()
        call.cancel()
        await asyncio.wait_for(gone.wait(), 5)
        assert call.cancelling()
        await asyncio.gather(call, return_exceptions=True)


async def test_nobody_listening_is_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectFailed, match="connection refused") as caught:
        await get(f"http://127.0.0.1:{port}/v1")
    assert not caught.value.timed_out


async def test_a_host_that_accepts_nothing_is_given_up_in_time() -> None:
    # A full backlog: the kernel drops further handshakes, as a firewall does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        pool = Connections(httpx.URL(f"http://127.0.0.1:{address[1]}/v1"), {}, 0.2, Networks(loopback=True))
        with pytest.raises(ConnectFailed, match=r"no connection within 0\.2 s") as caught:
            await pool.exchange(b"GET", b"/", limit=LIMIT)
        for filler in fillers:
            filler.close()
    assert caught.value.timed_out


async def test_tls_that_is_none_is_a_failed_connection() -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async with serving(handler) as url:
        with pytest.raises(ExchangeFailed):
            await get(url.replace("http://", "https://"))


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "käse", "tab\tbed"])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(ValueError, match="Authorization holds a character") as caught:
        Connections(httpx.URL("http://127.0.0.1:1/v1"), {"Authorization": value}, 1, Networks(loopback=True))
    assert value not in str(caught.value)


def in_pieces(*pieces: bytes, end: asyncio.Event) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        await end.wait()
        writer.write(b"0\r\n\r\n")

    return handler


async def test_a_stream_is_read_as_it_comes() -> None:
    end = asyncio.Event()
    async with (
        serving(in_pieces(b"one", b"two", end=end)) as url,
        connections(url).stream(b"POST", b"/", b"", limit=LIMIT) as response,
    ):
        read = b""
        async for chunk in response.chunks():
            read += chunk
            if read == b"onetwo":
                end.set()  # it would never end were the chunks held back until then
    assert read == b"onetwo"


async def test_a_stream_that_breaks_off_says_so_after_what_came() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    async with serving(saying(answer)) as url, connections(url).stream(b"POST", b"/", b"", limit=LIMIT) as response:
        chunks = aiter(response.chunks())
        assert await anext(chunks) == b"one"
        with pytest.raises(ConnectionBroke):
            await anext(chunks)


async def test_a_stream_left_early_is_not_used_again() -> None:
    peers: list[object] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        peers.append(writer.get_extra_info("peername"))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await reader.read()

    async with serving(handler) as url:
        pool = connections(url)
        for _ in range(2):
            async with pool.stream(b"POST", b"/", b"", limit=LIMIT) as response:
                assert await anext(aiter(response.chunks())) == b"one"
    assert len(set(peers)) == 2


async def test_a_name_that_leads_elsewhere_by_now_is_not_followed() -> None:
    """DNS rebinding: what was asked about is what is connected to, each time anew."""
    asked: list[str] = []
    leads_to = [["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return leads_to[len(asked) - 1]

    async with serving(saying(OK)) as url:
        port = httpx.URL(url).port
        pool = Connections(httpx.URL(f"http://model.test:{port}/v1"), {}, 5, Networks(loopback=True), rebinding)
        assert (await pool.exchange(b"GET", b"/", limit=LIMIT)).status == 200
        with pytest.raises(ConnectFailed, match="leads to a link-local or metadata address"):
            await pool.exchange(b"GET", b"/", limit=LIMIT)
        with pytest.raises(ConnectFailed, match="leads to a private address"):
            await pool.exchange(b"GET", b"/", limit=LIMIT)
    assert asked == ["model.test"] * 3


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with serving(saying(OK)) as url:
        pool = Connections(httpx.URL(url), {}, 5, Networks(loopback=True), two)
        assert (await pool.exchange(b"GET", b"/", limit=LIMIT)).status == 200
