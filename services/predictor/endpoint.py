"""One model's endpoint and the call to it: httpx on aiohttp's transport, with a pool of its own as wide as its concurrency.

No pool is shared between models, so that one that hangs holds up no other. Calls hand their request to the transport itself:
what an httpx client does around it (cookies, redirects, auth, hooks) is not wanted here and is half of a call's cost.
"""

import asyncio
import time

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from services.predictor.answers import (
    MAX_ANSWER_BYTES,
    Answer,
    CallFailed,
    StreamedAnswer,
    read_answer,
    read_error,
    request_body,
    too_large,
)
from shared.contracts import Job, ModelEndpoint, ModelStatus, ProbeAnswer

PROBE_TIMEOUT_S = 3.0
KEEPALIVE_S = 4.0
"""Below uvicorn's 5 s, on which most engines stand: a request on a connection that the server just closed is a wasted attempt."""


class Endpoint:
    """Calls one model. `api_key` is plain and stays in this object."""

    def __init__(self, model: ModelEndpoint, api_key: str | None) -> None:
        self.model = model
        path = "/chat/completions" if model.api == "chat" else "/completions"
        self._url = httpx.URL(model.base_url.rstrip("/") + path)
        self._models_url = httpx.URL(model.base_url.rstrip("/") + "/models")
        # Read once for each call and never changed, so one object serves all.
        self._headers = httpx.Headers(
            {
                "Host": self._url.netloc.decode("ascii"),
                "Accept": "application/json, text/event-stream",
                "Accept-Encoding": "gzip, deflate",
                "Content-Type": "application/json",
                "User-Agent": "assay",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            }
        )
        self._extensions = {"timeout": {"connect": model.connect_timeout_s}}
        self._transport = AiohttpTransport(client=self._session)

    def _session(self) -> aiohttp.ClientSession:
        # Twice the limit: after a broker's crash calls may for a moment reach that, and none should wait for a connection.
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=2 * self.model.max_concurrency, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def call(self, job: Job) -> Answer:
        """One call for one sample, within the model's deadlines; raises `CallFailed` with what went wrong."""
        body = orjson.dumps(
            request_body(self.model.api, self.model.model, job.messages, job.params, stream=self.model.stream)
        )
        try:
            async with asyncio.timeout(self.model.timeout_s):
                return await self._exchange(body)
        except TimeoutError as error:
            raise CallFailed(
                f"no answer within {self.model.timeout_s:g} s", retryable=True, kind="a timeout"
            ) from error
        except httpx.ConnectError as error:
            raise CallFailed(f"cannot connect: {_reason(error)}", retryable=True, kind="cannot connect") from error
        except httpx.HTTPError as error:
            if isinstance(error.__cause__, aiohttp.ConnectionTimeoutError):
                raise CallFailed(
                    f"no connection within {self.model.connect_timeout_s:g} s", retryable=True, kind="a connect timeout"
                ) from error
            raise CallFailed(
                f"the connection broke: {_reason(error)}", retryable=True, kind="a broken connection"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(
                f"the connection broke: {_reason(error)}", retryable=True, kind="a broken connection"
            ) from error

    async def _exchange(self, body: bytes) -> Answer:
        began = time.monotonic()
        response = await self._send("POST", self._url, body)
        try:
            if response.status_code != 200:
                raise read_error(
                    response.status_code, await _read(response), response.headers.get("retry-after"), time.time()
                )
            if not self.model.stream or "text/event-stream" not in response.headers.get("content-type", ""):
                return read_answer(await _read(response))
            answer = StreamedAnswer()
            async for line in response.aiter_lines():
                answer.feed(line, time.monotonic() - began)
                if answer.done:
                    break
            return answer.answer()
        finally:
            await response.aclose()

    async def _send(self, method: str, url: httpx.URL, body: bytes | None = None) -> httpx.Response:
        """The response with its body still to be read; the caller closes it."""
        request = httpx.Request(method, url, headers=self._headers, content=body, extensions=self._extensions)
        return await self._transport.handle_async_request(request)

    async def probe(self) -> ProbeAnswer:
        """Ask for the list of models: a cheap question that every OpenAI-compatible server answers."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                response = await self._send("GET", self._models_url)
                await response.aclose()
        except TimeoutError:
            return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=f"no answer within {PROBE_TIMEOUT_S:g} s")
        except (httpx.HTTPError, aiohttp.ClientError, OSError, ValueError) as error:
            return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=f"cannot connect: {_reason(error)}")
        latency_ms = (time.monotonic() - began) * 1000
        if response.status_code in (401, 403):
            detail = f"HTTP {response.status_code}: the endpoint refuses the API key, or wants one"
            return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=detail, latency_ms=latency_ms)
        if response.status_code >= 500 or 300 <= response.status_code < 400:
            detail = f"HTTP {response.status_code} to GET {self._models_url}"
            return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=detail, latency_ms=latency_ms)
        return ProbeAnswer(
            status=ModelStatus.RUNNING, detail=f"HTTP {response.status_code} to GET /models", latency_ms=latency_ms
        )


async def _read(response: httpx.Response) -> bytes:
    """The whole body, within the limit."""
    length = response.headers.get("content-length")
    if length is not None and length.isdigit():
        if int(length) > MAX_ANSWER_BYTES:
            raise too_large()
        return await response.aread()
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _reason(error: BaseException) -> str:
    """What the innermost error says, without the request: addresses may hold credentials."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(cause, aiohttp.ClientConnectorError):
        cause = cause.os_error
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return type(cause).__name__
