"""The sample endpoint misbehaving, each way over HTTP; and which calls misbehave."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from assay.sample_behaviour import Behaviour, Fate
from assay.sample_endpoint import SampleEndpoint
from tests.unit.sample.calls import NUMBER, QUESTION, ask, behave, chat, chunks, content


def total(endpoint: SampleEndpoint) -> dict[str, int]:
    counts: dict[str, int] = {name: count for name, count in endpoint.stats()["total"].items() if count}
    return counts


async def test_behaviour_of_one_model_or_of_all(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, model="bad", error_500_rate=1)
    assert [(await ask(client, model=model)).status_code for model in ("good", "bad")] == [200, 500]
    assert (await client.get("/behaviour")).json()["bad"]["error_500_rate"] == 1
    await behave(client, error_500_rate=1)
    assert [(await ask(client, model=model)).status_code for model in ("good", "bad")] == [500, 500]
    await behave(client)
    assert [(await ask(client, model=model)).status_code for model in ("good", "bad")] == [200, 200]
    counts = total(endpoint)
    assert (counts["errors_500"], counts["answered"]) == (3, 3)


async def test_errors_as_json_or_html(client: httpx.AsyncClient) -> None:
    await behave(client, error_500_rate=1)
    assert (await ask(client)).json()["error"]["type"] == "server_error"
    await behave(client, error_500_rate=1, html_errors=True)
    page = await ask(client)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (500, "text/html")


async def test_content_filter(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, error_400="mugs")
    refused = await ask(client)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_filter")
    assert (await ask(client, "What is the capital of France?")).status_code == 200
    assert (total(endpoint)["errors_400"], total(endpoint)["answered"]) == (1, 1)


async def test_rate_limit(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, model="good", rate_limit_per_s=0.01, retry_after_s=2.5)
    assert (await ask(client)).status_code == 200
    refused = await ask(client)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2.5")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    await behave(client, model="good", rate_limit_per_s=0.01, retry_after_s=None)
    assert [(await ask(client)).status_code for _ in range(2)] == [200, 429]
    assert "retry-after" not in (await ask(client)).headers
    assert (await ask(client, model="bad")).status_code == 200
    counts = endpoint.stats()["models"]["good"]
    assert (counts["requests"], counts["refused_429"], counts["answered"], counts["max_calls_per_prompt"]) == (
        5,
        3,
        2,
        2,
    )


async def test_the_rate_comes_back_with_time(client: httpx.AsyncClient) -> None:
    await behave(client, rate_limit_per_s=100)
    begun = time.monotonic()
    passed = 0
    while passed < 150:
        passed += (await ask(client)).status_code == 200
    assert time.monotonic() - begun >= 0.5 - 0.02


async def test_more_at_once_than_allowed(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, max_concurrent=2)
    endpoint.close_gate()
    held = [asyncio.create_task(ask(client)) for _ in range(2)]
    await endpoint.wait(in_flight=2)
    assert (await ask(client)).status_code == 429
    endpoint.open_gate()
    assert [response.status_code for response in await asyncio.gather(*held)] == [200, 200]
    assert (await ask(client)).status_code == 200
    assert endpoint.stats()["total"]["max_in_flight"] == 3


async def test_latency_and_slow_tokens(client: httpx.AsyncClient) -> None:
    await behave(client, latency_ms=30, jitter_ms=20)
    begun = time.monotonic()
    content(await ask(client))
    assert time.monotonic() - begun >= 0.03
    await behave(client, token_ms=5)
    begun = time.monotonic()
    events = chunks(await ask(client, stream=True))
    assert time.monotonic() - begun >= 0.005 * len(events)
    assert NUMBER in "".join(event["choices"][0]["delta"].get("content", "") for event in events)


@pytest.mark.parametrize("stream", [False, True])
async def test_hangs_until_the_client_leaves(endpoint: SampleEndpoint, client: httpx.AsyncClient, stream: bool) -> None:
    await behave(client, hang_rate=1)
    call = asyncio.create_task(ask(client, stream=stream))
    await endpoint.wait(in_flight=1)
    call.cancel()
    await endpoint.wait(in_flight=0)
    counts = total(endpoint)
    assert (counts["hung"], counts.get("abandoned", 0), counts.get("answered", 0)) == (1, 0, 0)


async def test_hangs_between_tokens(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, hang_rate=1, hang_after_tokens=3)
    words: list[str] = []
    async with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as response:
        async for line in response.aiter_lines():
            if line:
                words.append(json.loads(line.removeprefix("data: "))["choices"][0]["delta"]["content"])
            if len(words) == 4:
                break
    assert words[0] == ""
    assert all(words[1:])
    await endpoint.wait(in_flight=0)
    assert total(endpoint)["hung"] == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_cuts_the_connection(endpoint: SampleEndpoint, client: httpx.AsyncClient, stream: bool) -> None:
    await behave(client, cut_rate=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(client, stream=stream)
    await behave(client)
    assert NUMBER in content(await ask(client))
    assert (total(endpoint)["cut"], total(endpoint)["answered"]) == (1, 1)


async def test_malformed_answers(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, malformed_rate=1)
    for stream in (False, True):
        response = await ask(client, stream=stream)
        assert response.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(response.text.removeprefix("data: ").partition("\n\n")[0])
    assert total(endpoint)["malformed"] == 2


async def test_empty_answers(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    await behave(client, empty_rate=1)
    assert content(await ask(client)) == ""
    events = chunks(await ask(client, stream=True))
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == ""
    assert (total(endpoint)["empty"], total(endpoint)["answered"]) == (2, 2)


async def test_shapes_of_answers(client: httpx.AsyncClient) -> None:
    await behave(client, no_usage=True, reasoning=True, finish_reason=None)
    answer = (await ask(client)).json()
    assert "usage" not in answer
    assert answer["choices"][0]["message"]["reasoning_content"]
    assert answer["choices"][0]["finish_reason"] is None
    events = chunks(await ask(client, stream=True, stream_options={"include_usage": True}))
    reasoning = "".join(event["choices"][0]["delta"].get("reasoning_content", "") for event in events)
    assert reasoning == answer["choices"][0]["message"]["reasoning_content"]
    await behave(client, finish_reason="length")
    assert (await ask(client)).json()["choices"][0]["finish_reason"] == "length"


MIXED: dict[str, Any] = {"error_500_rate": 0.2, "malformed_rate": 0.1, "cut_rate": 0.1, "empty_rate": 0.1}


def test_fates_come_at_their_rates_and_depend_on_prompt_and_turn() -> None:
    behaviour = Behaviour(**MIXED, hang_rate=0.1, seed=3)
    prompts = [f"prompt {index}" for index in range(4000)]
    fates = [behaviour.fate(prompt, 1) for prompt in prompts]
    rates: dict[Fate, float] = {
        "error_500": 0.2,
        "malformed": 0.1,
        "cut": 0.1,
        "empty": 0.1,
        "hang": 0.1,
        "answer": 0.4,
    }
    for fate, rate in rates.items():
        assert fates.count(fate) / 4000 == pytest.approx(rate, abs=0.03)
    assert [behaviour.fate(prompt, 1) for prompt in prompts] == fates
    again = [behaviour.fate(prompt, 2) for prompt, fate in zip(prompts, fates, strict=True) if fate == "error_500"]
    assert again.count("error_500") / len(again) == pytest.approx(0.2, abs=0.06)
    assert [Behaviour(**MIXED, hang_rate=0.1, seed=4).fate(prompt, 1) for prompt in prompts] != fates


def test_rates_above_one_together_are_refused() -> None:
    assert Behaviour(hang_rate=0.9, cut_rate=0.1).fate("x", 1) in ("hang", "cut")
    with pytest.raises(ValidationError, match="must add up to at most 1"):
        Behaviour(hang_rate=0.9, cut_rate=0.2)


async def test_the_same_calls_misbehave_whatever_the_order_and_every_call_ends_once(
    endpoint: SampleEndpoint, client: httpx.AsyncClient
) -> None:
    prompts = [f"{QUESTION} ({index})" for index in range(60)]

    async def outcome(prompt: str) -> int:
        try:
            return (await ask(client, prompt)).status_code
        except httpx.RemoteProtocolError:
            return 0

    outcomes = []
    for order in (prompts, prompts[::-1]):
        endpoint.reset()
        endpoint.behave(Behaviour(**MIXED))
        outcomes.append(dict(zip(order, await asyncio.gather(*map(outcome, order)), strict=True)))
        counts = endpoint.stats()["total"]
        ends = ("answered", "refused_429", "errors_400", "errors_500", "hung", "cut", "malformed", "abandoned")
        assert sum(counts[end] for end in ends) == counts["requests"] == counts["distinct"] == 60
        assert counts["answered"] == sum(counts[verdict] for verdict in ("right", "wrong", "unknown", "empty"))
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0].values()) == {0, 200, 500}


@pytest.mark.parametrize(("in_flight", "seconds"), [(1, 0.1), (48, 0.1), (96, 0.2), (480, 1.0)])
def test_latency_bends_where_too_many_calls_are_under_way(in_flight: int, seconds: float) -> None:
    behaviour = Behaviour(latency_ms=100, bend_at=48)

    assert behaviour.delay_s("a prompt", 1, in_flight) == pytest.approx(seconds)
