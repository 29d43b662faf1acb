"""HTTP/1.1 connections to one endpoint, kept alive and used again: a call is what an item costs most, so it is done with the least.

A transport of asyncio, the parser that uvicorn stands on (httptools), and nothing between; docs/decisions/0008 has the figures.
There is no limit on connections: calls under way are bounded by the model's consumer, and none of them may wait for another.

    ExchangeFailed
    +-- ConnectFailed       no connection: refused, no such name, none in time
    +-- ConnectionBroke     it ended, or what came is not HTTP, before the response was whole
    +-- ResponseTooLarge    more than the limit
"""

import asyncio
import socket
import ssl
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import cast

import httptools
import httpx

from shared.networks import NEVER, Networks, Resolve, as_address, refused_name, resolve

KEEPALIVE_S = 4.0
"""Below uvicorn's 5 s, on which most engines stand: a connection that the server is about to close is not worth a try."""

MAX_HEAD_BYTES = 64 * 1024


class ExchangeFailed(Exception):
    """A request got no whole response; `reason` holds neither address nor header."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConnectFailed(ExchangeFailed):
    """There is no connection; `timed_out` where none came in time."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class ConnectionBroke(ExchangeFailed):
    """The connection ended before the response was whole."""


class ResponseTooLarge(ExchangeFailed):
    """The response has more bytes than are wanted."""


class Response:
    """What came of one request. `headers` by lower-case name; `body` is whole, or empty where the response is streamed."""

    __slots__ = ("_chunks", "_failure", "_finished", "_more", "body", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self._chunks: deque[bytes] = deque()
        self._more: asyncio.Future[None] | None = None
        self._finished = False
        self._failure: ExchangeFailed | None = None

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.encode())
        return value.decode("latin-1") if value is not None else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """A streamed body as it comes; raises `ExchangeFailed` where it breaks off."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._failure:
                raise self._failure
            if self._finished:
                return
            self._more = asyncio.get_running_loop().create_future()
            await self._more

    def put(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._wake()

    def finish(self, failure: ExchangeFailed | None = None) -> None:
        self._finished, self._failure = True, failure
        self._wake()

    def _wake(self) -> None:
        if self._more and not self._more.done():
            self._more.set_result(None)


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self.reusable = True
        self.idle_since = 0.0
        self.heard = False
        """Whether a byte of the present response has come."""
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None  # of the exchange under way
        self._begin(stream=False, limit=0)

    @property
    def busy(self) -> bool:
        """Whether an exchange is not over yet."""
        return self._response is not None

    def send(self, request: bytes, *, stream: bool, limit: int) -> "asyncio.Future[Response]":
        """Resolves with the whole response, of `limit` bytes at most, or, of a streamed one, once its head is there."""
        assert self._transport
        self._begin(stream=stream, limit=limit)
        self._parser = httptools.HttpResponseParser(self)
        self._response = Response()
        self._waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    def close(self) -> None:
        self.reusable = False
        if self._transport:
            self._transport.abort()

    def _begin(self, *, stream: bool, limit: int) -> None:
        self.heard = False
        self._stream = stream
        self._limit = limit
        self._left = limit
        self._parts: list[bytes] = []
        self._head_bytes = 0
        self._head_over = False
        self._unzip: zlib._Decompress | None = None

    def _fail(self, failure: ExchangeFailed) -> None:
        response, self._response = self._response, None
        self.close()
        if response is None:
            return
        if not self._waiter.done():
            self._waiter.set_exception(failure)
        response.finish(failure)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            self.close()  # nothing was asked
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(ConnectionBroke("what came is not HTTP"))
            return
        if not self._head_over:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(ConnectionBroke("the head of the response does not end"))

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._response is None:
            return
        framed = self._response.headers.keys() & {b"content-length", b"transfer-encoding"}
        if self._head_over and not framed and error is None:
            self.on_message_complete()  # a body that lasts as long as the connection (RFC 9112, 6.3)
        else:
            self._fail(ConnectionBroke(type(error).__name__ if error else "closed by the endpoint"))

    # The parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response:
            self._response.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        response = self._response
        if response is None:
            return
        response.status = self._parser.get_status_code()
        if response.status < 200:
            return
        self._head_over = True
        if response.headers.get(b"content-encoding", b"").lower() in (b"gzip", b"x-gzip", b"deflate"):
            self._unzip = zlib.decompressobj(wbits=47)  # not asked for, but some proxies send it all the same
        if self._stream and not self._waiter.done():
            self._waiter.set_result(response)

    def on_body(self, body: bytes) -> None:
        response = self._response
        if response is None:
            return
        if self._unzip:
            try:
                body = self._unzip.decompress(body, self._left + 1)
            except zlib.error:
                self._fail(ConnectionBroke("the compressed body is broken"))
                return
        if self._stream:
            response.put(body)
            return
        self._left -= len(body)
        if self._left < 0:
            self._fail(ResponseTooLarge(f"larger than {self._limit} bytes"))
            return
        self._parts.append(body)

    def on_message_complete(self) -> None:
        response = self._response
        if response is None:
            return
        if response.status < 200:
            self._response = Response()  # informational: the response is still to come (RFC 9110, 15.2)
            return
        self.reusable = self.reusable and self._parser.should_keep_alive()
        self._response = None
        response.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        response.finish()
        if not self._waiter.done():
            self._waiter.set_result(response)


class Connections:
    """Exchanges with the host of `url`, where `networks` lets it be. Raises `ValueError` for `headers` that cannot be sent."""

    def __init__(
        self,
        url: httpx.URL,
        headers: dict[str, str],
        connect_timeout_s: float,
        networks: Networks,
        resolve: Resolve = resolve,
    ) -> None:
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name} holds a character that cannot be sent")
        self._host = url.raw_host.decode("ascii")
        self._tls = url.scheme == "https"
        self._port = url.port or (443 if self._tls else 80)
        self._connect_timeout_s = connect_timeout_s
        self._networks = networks
        self._resolve = resolve
        lines = {"Host": url.netloc.decode("ascii"), **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("ascii")
        self._idle: list[Connection] = []
        self._closed = False

    async def exchange(self, method: bytes, path: bytes, body: bytes = b"", *, limit: int) -> Response:
        """The whole response, of `limit` bytes at most. Raises `ExchangeFailed`; cancelled, it gives the connection up."""
        connection, response = await self._send(method, path, body, stream=False, limit=limit)
        self._give_back(connection)
        return response

    @asynccontextmanager
    async def stream(self, method: bytes, path: bytes, body: bytes, *, limit: int) -> AsyncIterator[Response]:
        """The response once its head is there, its body still to be read; what is left of that when it ends is given up."""
        connection, response = await self._send(method, path, body, stream=True, limit=limit)
        try:
            yield response
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close what is idle. Calls under way go on, and their connections end with them."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _send(
        self, method: bytes, path: bytes, body: bytes, *, stream: bool, limit: int
    ) -> tuple[Connection, Response]:
        request = b"%b %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (method, path, self._headers, len(body), body)
        if used := self._take():
            try:
                return used, await used.send(request, stream=stream, limit=limit)
            except ConnectionBroke:
                if used.heard:
                    raise
                # It ended while it was idle, or in that moment: nobody looked at the request, so a new one may carry it.
            except BaseException:
                used.close()
                raise
        fresh = await self._connect()
        try:
            return fresh, await fresh.send(request, stream=stream, limit=limit)
        except BaseException:
            fresh.close()
            raise

    def _take(self) -> Connection | None:
        oldest = time.monotonic() - KEEPALIVE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.busy or not connection.reusable or self._closed:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if refused_name(self._host):
                    raise ConnectFailed(f"the host leads to {NEVER}")
                addresses = await self._resolve(self._host, self._port)
                for address in addresses:
                    if refusal := self._networks.refusal(as_address(address)):
                        raise ConnectFailed(f"the host leads to {refusal}")
                return await self._connect_to(addresses)
        except TimeoutError as error:
            raise ConnectFailed(f"no connection within {self._connect_timeout_s:g} s", timed_out=True) from error
        except ConnectionRefusedError as error:
            raise ConnectFailed("connection refused") from error
        except socket.gaierror as error:
            raise ConnectFailed("the host name does not resolve") from error
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"the certificate is not trusted: {error.verify_message}") from error
        except OSError as error:
            raise ConnectFailed(error.strerror or type(error).__name__) from error

    async def _connect_to(self, addresses: list[str]) -> Connection:
        """To the first that takes it. To these and not to the name, which may lead elsewhere when it is looked up again."""
        context = _tls_context() if self._tls else None
        name = self._host if self._tls else None

        async def connect(address: str) -> Connection:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, address, self._port, ssl=context, server_hostname=name
            )
            return connection

        for address in addresses[:-1]:
            with suppress(OSError):
                return await connect(address)
        return await connect(addresses[-1])


@cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
