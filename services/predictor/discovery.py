"""Inference servers on this machine, where they usually listen, and which they are by what they say of themselves.

Sources: the servers' own documentation and source of their default ports, of `owned_by` in their lists of models, and of the paths that
each alone has.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson

from services.predictor.connections import Connections, ExchangeFailed, Response
from services.predictor.listing import MAX_LIST_BYTES, names_of, read_cards
from shared.contracts import LocalServer
from shared.errors import Conflict
from shared.networks import Networks, as_address

PORTS = (
    8000,  # vLLM, transformers serve
    30000,  # SGLang
    8080,  # llama.cpp's server
    11434,  # Ollama
    1234,  # LM Studio
    3000,  # TGI
)

OWNERS: Mapping[str, str] = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "library": "Ollama",
    "organization_owner": "LM Studio",
}
"""What servers write into `owned_by` of each model."""

OTHER = "OpenAI-compatible"
HOST = "127.0.0.1"
WITHIN_S = 2.0
MAX_SAID_BYTES = 64 * 1024


async def discover(networks: Networks, ports: Sequence[int] = PORTS) -> list[LocalServer]:
    """Those that answer, in the order of `ports`, all asked at once. Raises `Conflict` where this machine may not be called."""
    if refusal := networks.refusal(as_address(HOST)):
        raise Conflict(f"no local servers are looked for: {HOST} is {refusal}")
    found = await asyncio.gather(*(_look(networks, port) for port in ports))
    return [server for server in found if server]


async def _look(networks: Networks, port: int) -> LocalServer | None:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "assay"}
    connections = Connections(httpx.URL(f"http://{HOST}:{port}"), headers, WITHIN_S, networks)
    try:
        async with asyncio.timeout(WITHIN_S):
            return await _recognised(connections, f"http://{HOST}:{port}/v1")
    except (TimeoutError, ExchangeFailed):
        return None
    finally:
        connections.close()


async def _recognised(connections: Connections, base_url: str) -> LocalServer | None:
    listed = await connections.exchange(b"GET", b"/v1/models", limit=MAX_LIST_BYTES)
    if listed.status in (401, 403):
        # Anything may listen on these ports: only one that tells what it is is offered without its models.
        server = await _by_paths(connections)
        return LocalServer(server=server, base_url=base_url, needs_key=True) if server else None
    cards = read_cards(listed.body) if listed.status == 200 else None
    if cards is None:
        return None  # such as Assay's own gateway, whose list is one of its models and no OpenAI API's
    server = _by_owner(cards) or await _by_paths(connections) or OTHER
    return LocalServer(server=server, base_url=base_url, models=names_of(cards))


def _by_owner(cards: Sequence[Mapping[str, Any]]) -> str | None:
    return next((OWNERS[owner] for card in cards if (owner := str(card.get("owned_by"))) in OWNERS), None)


async def _by_paths(connections: Connections) -> str | None:
    """By paths that only one kind of server has."""
    for path, fields, server in (
        (b"/api/version", {"version"}, "Ollama"),
        (b"/info", {"model_id", "max_total_tokens"}, "TGI"),
        (b"/get_server_info", {"model_path"}, "SGLang"),
        (b"/props", {"default_generation_settings"}, "llama.cpp"),
        (b"/version", {"version"}, "vLLM"),
    ):
        if fields <= _fields(await connections.exchange(b"GET", path, limit=MAX_SAID_BYTES)):
            return server
    # Its every other path is one of the OpenAI API; this one takes POST alone, and so says that it is there.
    loading = await connections.exchange(b"GET", b"/load_model", limit=MAX_SAID_BYTES)
    return "transformers serve" if loading.status == 405 else None


def _fields(response: Response) -> set[str]:
    try:
        document = orjson.loads(response.body) if response.status == 200 else None
    except orjson.JSONDecodeError:
        return set()
    return set(document) if isinstance(document, dict) else set()
