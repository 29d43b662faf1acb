"""The asyncio client where it has code of its own: paging, retrying, uploading, downloading."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay import AsyncClient, ChecksumMismatch, ConnectionFailed
from tests.unit.assay.fakes import Gateway, environment, model, page, problem


def client(gateway: Gateway) -> AsyncClient:
    return AsyncClient("http://127.0.0.1:1", transport=gateway.transport, backoff=(0, 0))


async def test_lists_follow_the_cursor() -> None:
    gateway = Gateway().on("GET /models", page(model(id="a"), following="c1"), page(model(id="b")))
    async with client(gateway) as connected:
        assert [found.id async for found in connected.models.list()] == ["a", "b"]
    assert gateway.requests[1].url.params["cursor"] == "c1"


async def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    gateway = Gateway().on("POST /models", httpx.ReadError("lost"), problem(503, "restarting"), model())
    async with client(gateway) as connected:
        await connected.models.add("alpha", base_url="http://127.0.0.1:9/v1", model="a")
    keys = [request.headers["Idempotency-Key"] for request in gateway.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_no_gateway_is_said_after_the_last_attempt() -> None:
    gateway = Gateway().on("GET /models/m1", httpx.ConnectError("refused"))
    async with client(gateway) as connected:
        with pytest.raises(ConnectionFailed, match="no Assay gateway answers"):
            await connected.models.get("m1")
    assert len(gateway.requests) == 3


async def test_a_bundle_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "environment.yaml").write_text("slug: sums\n")

    async def answer(request: httpx.Request) -> httpx.Response:
        assert b"environment.yaml" in await request.aread()
        return httpx.Response(201, json=environment())

    async with AsyncClient("http://127.0.0.1:1", transport=httpx.MockTransport(answer)) as connected:
        assert (await connected.environments.push(tmp_path)).slug == "sums"


@pytest.mark.parametrize("content", [b"right", b"wrong"])
async def test_a_download_is_verified(tmp_path: Path, content: bytes) -> None:
    file: dict[str, Any] = {"name": "a", "kind": "text", "size": 5, "content_type": "text/plain"}
    file["sha256"] = hashlib.sha256(b"right").hexdigest()
    gateway = Gateway().on("GET /evaluations/e1/files", page(file))
    gateway.on("GET /evaluations/e1/files/a", lambda _: httpx.Response(200, content=content))
    async with client(gateway) as connected:
        if content == b"wrong":
            with pytest.raises(ChecksumMismatch):
                await connected.evaluations.download("e1", "a", to=tmp_path)
            assert [*tmp_path.iterdir()] == []
        else:
            assert (await connected.evaluations.download("e1", "a", to=tmp_path)).read_bytes() == content
