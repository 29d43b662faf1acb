"""The same calls without Assay: what a loop over an HTTP client does, the measure beside which Assay's figures stand.

Each loop encodes every request and reads the answer's text out of every response; it scores and keeps nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aiohttp
import httpx
import orjson

Body = dict[str, Any]
T = TypeVar("T")
HEADERS = {"Content-Type": "application/json"}


def answer_text(body: bytes) -> str:
    """The text of an OpenAI chat completion; raises where it is none."""
    text: str = orjson.loads(body)["choices"][0]["message"]["content"]
    return text


async def aiohttp_loop(base_url: str, bodies: Sequence[Body], concurrency: int) -> float:
    """Seconds for all calls with bare aiohttp and as many connections as `concurrency`."""
    url = f"{base_url}/chat/completions"
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS, raise_for_status=True) as session:

        async def call(body: Body) -> None:
            async with session.post(url, data=orjson.dumps(body)) as response:
                answer_text(await response.read())

        return await timed(bodies, concurrency, call)


async def httpx_loop(base_url: str, bodies: Sequence[Body], concurrency: int) -> float:
    """Seconds for all calls with a plain `httpx.AsyncClient`."""
    url = f"{base_url}/chat/completions"
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, headers=HEADERS, timeout=None, trust_env=False) as client:

        async def call(body: Body) -> None:
            response = await client.post(url, content=orjson.dumps(body))
            answer_text(response.raise_for_status().content)

        return await timed(bodies, concurrency, call)


async def timed(work: Sequence[T], concurrency: int, call: Callable[[T], Awaitable[None]]) -> float:
    """Seconds until `concurrency` workers have made a call for each piece of work."""

    async def worker() -> None:
        for piece in left:
            await call(piece)

    left = iter(work)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    return time.perf_counter() - began
