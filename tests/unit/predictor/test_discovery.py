"""Local servers, recognised by what they say of themselves."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.predictor.discovery import PORTS, discover
from shared.contracts import LocalServer
from shared.errors import Conflict
from shared.networks import Networks, read_networks
from tests.unit.predictor.servers import Handler, read_request, serving
from tests.unit.predictor.test_endpoint import hanging, whole

HERE = Networks(loopback=True)


def listing(*names: str, owner: str | None = None) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner} for name in names]}


def server(**paths: Any) -> Handler:
    """Answers these paths (`_` for `/`) with JSON, each other with 404; a number is a status."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            answer = paths.get(head.split()[1].decode().lstrip("/").replace("/", "_"), 404)
            if isinstance(answer, int):
                writer.write(whole({"detail": "no"}, f"{answer} Refused".encode()))
            else:
                writer.write(whole(answer))

    return handler


async def found(*handlers: Handler, networks: Networks = HERE) -> list[LocalServer]:
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serving(handler)) for handler in handlers]
        servers = await discover(networks, [urlsplit(url).port or 0 for url in urls])
        assert all(each.base_url in urls for each in servers)
        return servers


@pytest.mark.parametrize(
    ("handler", "name", "models"),
    [
        (server(v1_models=listing("facebook/opt-125m", owner="vllm")), "vLLM", ["facebook/opt-125m"]),
        (server(v1_models=listing("a", "b", owner="sglang")), "SGLang", ["a", "b"]),
        (server(v1_models=listing("m.gguf", owner="llamacpp")), "llama.cpp", ["m.gguf"]),
        (server(v1_models=listing("qwen2.5:7b", owner="library")), "Ollama", ["qwen2.5:7b"]),
        (server(v1_models=listing("qwen/qwen3-8b", owner="organization_owner")), "LM Studio", ["qwen/qwen3-8b"]),
        (server(v1_models=listing("mine/m:latest", owner="mine"), api_version={"version": "0.12"}), "Ollama", ["mine/m:latest"]),
        (server(v1_models=listing(), api_version={"version": "0.12"}), "Ollama", []),
        (server(v1_models=listing("x"), info={"model_id": "x", "max_total_tokens": 2048, "router": "text-generation-router"}), "TGI", ["x"]),
        (server(v1_models=listing("org/tiny", owner="org"), load_model=405), "transformers serve", ["org/tiny"]),
        (server(v1_models=listing("sample-95", owner="assay")), "OpenAI-compatible", ["sample-95"]),
    ],
)  # fmt: skip
async def test_a_server_is_recognised(handler: Handler, name: str, models: list[str]) -> None:
    (only,) = await found(handler)
    assert (only.server, only.models, only.needs_key) == (name, models, False)


async def test_one_that_wants_a_key_is_offered_where_it_tells_what_it_is() -> None:
    servers = await found(server(v1_models=401, version={"version": "0.11.0"}), server(v1_models=401), server())
    assert [(each.server, each.models, each.needs_key) for each in servers] == [("vLLM", [], True)]


async def test_assays_own_gateway_and_what_is_no_such_server_are_not_offered() -> None:
    own = {"items": [{"id": "m5f3a9c1e7b2d4f60", "name": "m0.26"}], "next": None}

    async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    assert await found(server(v1_models=own, healthz={}), babbling, server(v1_models={"data": "?"})) == []


async def test_one_that_hangs_holds_up_no_other() -> None:
    servers = await found(hanging, server(v1_models=listing("a", owner="vllm")))
    assert [each.server for each in servers] == ["vLLM"]


async def test_names_that_are_no_names_are_not_offered() -> None:
    (only,) = await found(server(v1_models=listing("fine", "\u001b[2J", "x" * 400, owner="vllm")))
    assert only.models == ["fine"]


@pytest.mark.parametrize("networks", [Networks(), Networks(deny=read_networks("127.0.0.0/8"), loopback=True)])
async def test_nothing_is_looked_for_where_this_machine_may_not_be_called(networks: Networks) -> None:
    async def touched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("it was connected to")

    with pytest.raises(Conflict, match=r"127\.0\.0\.1 is an? "):
        await found(touched, networks=networks)


def test_ports_are_each_named_once() -> None:
    assert len(set(PORTS)) == len(PORTS)
