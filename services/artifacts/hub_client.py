"""HTTP to the Hugging Face Hub: bounded, tried again, and led nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
from pydantic import SecretStr

from shared.errors import TooLarge, Unavailable

_MAX_ANSWER_BYTES = 64 * 1024**2
_MAX_REDIRECTS = 5
_MAX_PAUSE_S = 10.0
_CHUNK = 1024 * 1024
_TIMEOUT = httpx.Timeout(60, connect=10)
_TRANSIENT = frozenset({429, 500, 502, 503, 504})

T = TypeVar("T")


class Refused(Exception):
    """An answer other than 200 that trying again does not change."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HubClient:
    """`base_url` is the datasets server's. `token` goes to it, and to the Hub's own host: the domain that the server is in."""

    def __init__(self, base_url: str, token: SecretStr | None, tries: int = 4) -> None:
        self._base = httpx.URL(base_url.rstrip("/"))
        self._token = token
        self._tries = tries
        self._http = httpx.AsyncClient(timeout=_TIMEOUT)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def json(self, call: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """What the datasets server answers to a call, such as `rows`.

        Raises:
            Refused, Unavailable, TooLarge.
        """
        address = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{call}", params=parameters)
        return await self._get(address, _body)

    async def download(self, address: httpx.URL, path: Path, room: int) -> int:
        """Store what is at an address of the Hub; gives its size, of at most `room` bytes. Raises as `json` does."""

        async def store(answer: httpx.Response) -> int:
            size = 0
            with path.open("wb") as file:
                async for chunk in answer.aiter_bytes(_CHUNK):
                    size += len(chunk)
                    if size > room:
                        raise TooLarge(f"{path.name} is larger than what may be uploaded")
                    await asyncio.to_thread(file.write, chunk)
            return size

        return await self._get(address, store)

    async def _get(self, address: httpx.URL, use: Callable[[httpx.Response], Awaitable[T]]) -> T:
        """What `use` makes of the answer. What is in passing, a connection that breaks off too, is tried again."""
        for attempt in range(self._tries):
            try:
                answer = await self._open(address)
                try:
                    if answer.status_code == 200:
                        return await use(answer)
                    if answer.status_code not in _TRANSIENT:
                        raise Refused(answer.status_code)
                    why, asked = f"HTTP {answer.status_code}", answer.headers.get("Retry-After", "")
                finally:
                    await answer.aclose()
            except httpx.TransportError as error:
                why, asked = type(error).__name__, ""
            if attempt < self._tries - 1:
                await asyncio.sleep(min(_MAX_PAUSE_S, float(asked) if asked.isdecimal() else 2.0**attempt))
        raise Unavailable(f"the datasets server does not answer ({why}); try again later")

    async def _open(self, address: httpx.URL) -> httpx.Response:
        """The answer, to be read and closed, after redirects, of which each is looked at."""
        for _ in range(_MAX_REDIRECTS):
            self._check(address)
            request = self._http.build_request("GET", address)
            if self._token and self._is_hub(address):
                request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
            answer = await self._http.send(request, stream=True)
            if answer.next_request is None:
                return answer
            address = answer.next_request.url
            await answer.aclose()
        raise Unavailable("the datasets server redirects without end")

    def _check(self, address: httpx.URL) -> None:
        """Only TLS, or the very server that the deployment names: an answer must not lead anywhere else."""
        base = self._base
        same = (address.scheme, address.host, address.port) == (base.scheme, base.host, base.port)
        if not same and address.scheme != "https":
            raise Unavailable(f"the datasets server leads to an address without TLS, at {address.host[:100]!r}")

    def _is_hub(self, address: httpx.URL) -> bool:
        base = self._base
        return address.scheme == base.scheme and (address.host == base.host or base.host.endswith(f".{address.host}"))


async def _body(answer: httpx.Response) -> dict[str, Any]:
    data = bytearray()
    async for chunk in answer.aiter_bytes(_CHUNK):
        data += chunk
        if len(data) > _MAX_ANSWER_BYTES:
            raise TooLarge(f"the datasets server answered with more than {_MAX_ANSWER_BYTES:,} bytes at once")
    try:
        found = await asyncio.to_thread(orjson.loads, bytes(data))
    except orjson.JSONDecodeError as error:
        raise Unavailable("the datasets server answered with something that is not JSON") from error
    if not isinstance(found, dict):
        raise Unavailable("the datasets server answered with something other than its API has")
    return found
