"""Object storage (MinIO or any S3) behind one small class.

The `minio` client signs addresses and answers metadata questions in threads; bytes are streamed by httpx through presigned
addresses as single PUTs and GETs, since a multipart upload buffers hundreds of megabytes in the server.
"""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from shared.errors import AssayError
from shared.settings import Settings

CHUNK = 256 * 1024


class ObjectStoreError(AssayError):
    """The object store did not do what was asked; the message says what, never with an address or a key in it."""


class ObjectMissing(ObjectStoreError):
    """There is no object under this key."""


@dataclass(frozen=True)
class Stored:
    """What was stored and read back: size in bytes and sha256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Listed:
    """An object as the store lists it; `etag` changes with its content."""

    key: str
    size: int
    etag: str


class Objects:
    """One bucket."""

    def __init__(self, settings: Settings) -> None:
        endpoint = urlsplit(settings.s3_endpoint)
        self.bucket = settings.s3_bucket
        self._minio = Minio(
            endpoint.netloc,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
            region=settings.s3_region,  # unset, it is asked for, which not every S3 answers
            secure=endpoint.scheme == "https",
            http_client=PoolManager(timeout=Timeout(connect=3, read=10), maxsize=16, retries=False),
        )
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(60, connect=3), trust_env=False)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def provision(self) -> None:
        """Create the bucket where it is missing."""
        if not await self.reachable():
            await asyncio.to_thread(self._guard, self._minio.make_bucket, self.bucket)

    async def reachable(self) -> bool:
        """Whether the store answers and has the bucket; raises `ObjectStoreError` where it does not answer."""
        return bool(await asyncio.to_thread(self._guard, self._minio.bucket_exists, self.bucket))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], size: int, content_type: str) -> None:
        """Store `size` bytes under `key` in one PUT; what was there is replaced as a whole."""
        url = self._minio.presigned_put_object(self.bucket, key, expires=timedelta(hours=1))
        try:
            answer = await self._http.put(
                url, content=chunks, headers={"Content-Length": str(size), "Content-Type": content_type}
            )
        except httpx.HTTPError as error:
            raise ObjectStoreError(
                f"the object store broke off while {key} was written: {type(error).__name__}"
            ) from error
        if answer.status_code != 200:
            raise ObjectStoreError(f"the object store refused {key} with HTTP {answer.status_code}")

    async def put_file(self, key: str, path: Path, content_type: str) -> Stored:
        """Store a file, read it back and compare: an object counts as stored only once its own bytes have proved it."""
        digest = hashlib.sha256()

        async def chunks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    digest.update(chunk)
                    yield chunk

        size = (await asyncio.to_thread(path.stat)).st_size
        await self.put_stream(key, chunks(), size, content_type)
        wanted, found = Stored(size, digest.hexdigest()), await self.digest(key)
        if wanted != found:
            raise ObjectStoreError(f"{key} read back differs from what was written ({found.size} of {size} bytes)")
        return wanted

    async def put_bytes(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        await self.put_stream(key, chunks(), len(data), content_type)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The object's bytes in chunks; `ObjectMissing` before the first where there is none."""
        url = self._minio.presigned_get_object(self.bucket, key, expires=timedelta(hours=1))
        try:
            async with self._http.stream("GET", url) as answer:
                if answer.status_code == 404:
                    raise ObjectMissing(f"there is no object {key}")
                if answer.status_code != 200:
                    raise ObjectStoreError(f"the object store refused {key} with HTTP {answer.status_code}")
                async for chunk in answer.aiter_bytes(CHUNK):
                    yield chunk
        except httpx.HTTPError as error:
            raise ObjectStoreError(
                f"the object store broke off while {key} was read: {type(error).__name__}"
            ) from error

    async def get_bytes(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self.stream(key)])

    async def get_file(self, key: str, path: Path) -> None:
        with path.open("wb") as file:
            async for chunk in self.stream(key):
                await asyncio.to_thread(file.write, chunk)

    async def digest(self, key: str) -> Stored:
        """Size and sha256 of what the store really holds."""
        digest, size = hashlib.sha256(), 0
        async for chunk in self.stream(key):
            digest.update(chunk)
            size += len(chunk)
        return Stored(size, digest.hexdigest())

    async def listed(self, prefix: str, most: int) -> list[Listed]:
        """The first `most` objects whose key begins with `prefix`, in order."""

        def list_all() -> list[Listed]:
            found = self._minio.list_objects(self.bucket, prefix, recursive=True)
            return [
                Listed(one.object_name or "", one.size or 0, one.etag or "") for one in itertools.islice(found, most)
            ]

        listed: list[Listed] = await asyncio.to_thread(self._guard, list_all)
        return listed

    async def remove(self, key: str) -> None:
        """Delete; no error where there is nothing."""
        await asyncio.to_thread(self._guard, self._minio.remove_object, self.bucket, key)

    async def remove_under(self, prefix: str) -> None:
        """Delete every object whose key begins with `prefix`."""

        def remove_all() -> None:
            for found in self._minio.list_objects(self.bucket, prefix, recursive=True):
                if found.object_name:
                    self._minio.remove_object(self.bucket, found.object_name)

        await asyncio.to_thread(self._guard, remove_all)

    def _guard(self, call: Callable[..., Any], *args: Any) -> Any:
        """Translate the client's many errors in one place."""
        try:
            return call(*args)
        except S3Error as error:
            if error.code == "BucketAlreadyOwnedByYou":
                return None
            raise ObjectStoreError(f"the object store answered {error.code}") from error
        except InvalidResponseError as error:
            raise ObjectStoreError("the object store gave an answer that is not S3") from error
        except (MinioException, HTTPError, OSError) as error:
            raise ObjectStoreError(f"the object store does not answer: {type(error).__name__}") from error
