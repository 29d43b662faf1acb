"""The sample endpoint over HTTP, well-behaved: the API, its counts, its gate, its command line."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay.sample_endpoint import SampleEndpoint, main
from tests.unit.sample.calls import NUMBER, QUESTION, ask, chat, chunks, content


async def test_answers_a_chat(client: httpx.AsyncClient) -> None:
    answer = (await ask(client)).json()
    choice = answer["choices"][0]
    assert (answer["object"], answer["model"]) == ("chat.completion", "good")
    assert choice["message"]["role"] == "assistant"
    assert NUMBER in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    words = len(choice["message"]["content"].split())
    prompt_words = len(QUESTION.split()) + 2
    assert answer["usage"] == {
        "prompt_tokens": prompt_words,
        "completion_tokens": words,
        "total_tokens": prompt_words + words,
    }


async def test_answers_the_last_user_message_also_as_parts(client: httpx.AsyncClient) -> None:
    messages = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "Paris"},
        {
            "role": "user",
            "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": "data:,"}}],
        },
    ]
    response = await client.post("/v1/chat/completions", json={"model": "good", "messages": messages})
    assert NUMBER in content(response)


async def test_streams_the_same_answer(client: httpx.AsyncClient) -> None:
    whole = (await ask(client)).json()
    first, *events, last = chunks(await ask(client, stream=True))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (
        "".join(event["choices"][0]["delta"]["content"] for event in events)
        == whole["choices"][0]["message"]["content"]
    )
    assert {event["choices"][0]["finish_reason"] for event in events} == {None}
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert "usage" not in last


async def test_streams_usage_where_asked(client: httpx.AsyncClient) -> None:
    whole = (await ask(client)).json()
    *events, last = chunks(await ask(client, stream=True, stream_options={"include_usage": True}))
    assert {event["usage"] for event in events} == {None}
    assert (last["choices"], last["usage"]) == ([], whole["usage"])


async def test_completes_a_prompt(client: httpx.AsyncClient) -> None:
    body = {"model": "good", "prompt": f"Question: {QUESTION}\nAnswer:"}
    whole = (await client.post("/v1/completions", json=body)).json()
    assert whole["object"] == "text_completion"
    assert NUMBER in whole["choices"][0]["text"]
    events = chunks(await client.post("/v1/completions", json={**body, "stream": True}))
    assert "".join(event["choices"][0]["text"] for event in events) == whole["choices"][0]["text"]


async def test_lists_its_models(client: httpx.AsyncClient) -> None:
    models = (await client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["good", "bad"]
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (chat(model="other"), 404, "model"),
        ({"messages": []}, 404, "model"),
        ({"model": ["good"], "messages": []}, 404, "model"),
        ({"model": "good"}, 400, "messages"),
        ({"model": "good", "messages": ["hi"]}, 400, "messages"),
        ({"model": "good", "messages": [{"role": "system", "content": "hi"}]}, 400, "messages"),
        ([], 400, None),
    ],
)
async def test_refuses_a_wrong_request(client: httpx.AsyncClient, body: Any, status: int, param: str | None) -> None:
    response = await client.post("/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert error["message"]


async def test_refuses_what_is_not_json_and_unknown_paths(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/chat/completions", content=b"{")).status_code == 400
    assert (await client.post("/v1/completions", json={"model": "good", "prompt": [1]})).json()["error"][
        "param"
    ] == "prompt"
    assert (await client.get("/v1/chat/completions")).status_code == 404
    assert (await client.get("/other")).status_code == 404


async def test_asks_for_its_key() -> None:
    async with (
        SampleEndpoint(["good"], api_key="s3cret") as endpoint,
        httpx.AsyncClient(base_url=endpoint.url) as client,
    ):
        refused = await ask(client)
        assert refused.status_code == 401
        assert "s3cret" not in refused.text
        client.headers["Authorization"] = "Bearer s3cre"
        assert (await ask(client)).status_code == 401
        client.headers["Authorization"] = "Bearer s3cret"
        assert (await ask(client)).status_code == 200
        assert endpoint.stats()["total"]["requests"] == 1


async def test_counts_what_it_was_asked_and_answered(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    for prompt in (QUESTION, QUESTION, "What is the capital of France?"):
        await ask(client, prompt)
    await ask(client, model="bad")
    stats = (await client.get("/stats")).json()
    assert stats == endpoint.stats()
    good = {name: count for name, count in stats["models"]["good"].items() if count}
    assert good == {
        "requests": 3,
        "answered": 3,
        "right": 2,
        "unknown": 1,
        "max_in_flight": 1,
        "distinct": 2,
        "right_distinct": 1,
        "max_calls_per_prompt": 2,
    }
    assert stats["models"]["bad"]["wrong"] == 1
    assert (stats["total"]["answered"], stats["total"]["max_calls_per_prompt"], stats["total"]["max_in_flight"]) == (
        4,
        2,
        1,
    )
    assert (await client.post("/reset")).status_code == 200
    assert set(endpoint.stats()["total"].values()) == {0}


async def test_the_gate_holds_calls_which_are_counted_exactly(
    endpoint: SampleEndpoint, client: httpx.AsyncClient
) -> None:
    assert (await client.post("/gate", json={"closed": True})).json() == {"closed": True}
    calls = [asyncio.create_task(ask(client, model="good")) for _ in range(7)]
    calls += [asyncio.create_task(ask(client, model="bad")) for _ in range(4)]
    assert (await client.get("/wait", params={"in_flight": 11, "requests": 11})).json()["total"]["in_flight"] == 11
    endpoint.reset()
    await client.post("/gate", json={"closed": False, "model": "bad"})
    await endpoint.wait(model="bad", in_flight=0, answered=4)
    assert [call.done() for call in calls[:7]] == [False] * 7
    await client.post("/gate", json={"closed": False})
    responses = await asyncio.gather(*calls)
    assert {response.status_code for response in responses} == {200}
    stats = endpoint.stats()
    assert (stats["models"]["good"]["max_in_flight"], stats["models"]["bad"]["max_in_flight"]) == (7, 4)
    assert (stats["total"]["max_in_flight"], stats["total"]["in_flight"], stats["total"]["answered"]) == (11, 0, 11)


async def test_a_call_whose_client_leaves_is_no_longer_in_flight(
    endpoint: SampleEndpoint, client: httpx.AsyncClient
) -> None:
    endpoint.close_gate()
    call = asyncio.create_task(ask(client))
    await endpoint.wait(in_flight=1)
    call.cancel()
    await endpoint.wait(in_flight=0)
    total = endpoint.stats()["total"]
    assert (total["requests"], total["answered"], total["abandoned"]) == (1, 0, 1)


async def test_waiting_in_vain_ends(endpoint: SampleEndpoint, client: httpx.AsyncClient) -> None:
    assert (await client.get("/wait", params={"requests": 1, "timeout_s": 0.01})).status_code == 408
    with pytest.raises(TimeoutError):
        await endpoint.wait(in_flight=1, timeout_s=0.01)


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/gate", {"closed": "perhaps"}, 422, "closed"),
        ("/gate", {}, 422, "closed"),
        ("/gate", {"closed": True, "model": "other"}, 404, "model"),
        ("/behaviour", {"latency_ms": -1}, 422, "latency_ms"),
        ("/behaviour", {"latancy_ms": 1}, 422, "latancy_ms"),
        ("/behaviour", {"hang_rate": 1.5}, 422, "hang_rate"),
        ("/behaviour", {"model": "other"}, 404, "model"),
        ("/behaviour", [], 422, None),
    ],
)
async def test_wrong_control_requests_name_the_field(
    client: httpx.AsyncClient, path: str, body: Any, status: int, param: str | None
) -> None:
    response = await client.post(path, json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param)
    assert param is None or param in error["message"] or status == 404


async def test_wrong_waits_name_the_parameter(client: httpx.AsyncClient) -> None:
    response = await client.get("/wait", params={"requests": "many"})
    assert (response.status_code, response.json()["error"]["param"]) == (422, "requests")


@pytest.mark.parametrize("host", ["0.0.0.0", "example.org", "192.168.0.1"])
def test_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="must be a loopback address"):
        SampleEndpoint(host=host)


async def test_stopping_ends_what_is_in_flight() -> None:
    endpoint = SampleEndpoint(["good"])
    with pytest.raises(RuntimeError, match="not listening"):
        _ = endpoint.base_url
    await endpoint.start()
    async with httpx.AsyncClient(base_url=endpoint.url) as client:
        endpoint.close_gate()
        call = asyncio.create_task(ask(client))
        await endpoint.wait(in_flight=1)
        await endpoint.stop()
        with pytest.raises(httpx.HTTPError):
            await call


async def test_gold_files_are_answered(tmp_path: Path) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"question": "How many legs has a cat?", "answer": "Count them.\\n#### 4"}\n')
    async with SampleEndpoint(["good"], answers=[gold]) as endpoint, httpx.AsyncClient(base_url=endpoint.url) as client:
        assert "4" in content(await ask(client, "How many legs has a cat?"))
        assert endpoint.stats()["total"]["right"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_prints_its_address_and_stops_cleanly(number: signal.Signals) -> None:
    arguments = ["--port", "0", "--models", "good", "bad=0", "--behaviour", '{"finish_reason": "length"}']
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "assay.sample_endpoint", *arguments, stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    async with httpx.AsyncClient(base_url=line.split()[-1].removesuffix("/v1")) as client:
        assert (await ask(client, model="bad")).json()["choices"][0]["finish_reason"] == "length"
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "a=good"], "model 'a=good': must be NAME or NAME=SKILL"),
        (["--host", "0.0.0.0"], "host '0.0.0.0': must be a loopback address"),
        (["--port", "70000"], "port 70000: must be from 0 to 65535"),
        (["--answers", "missing.jsonl"], "missing.jsonl"),
        (["--behaviour", '{"latency": 1}'], "--behaviour: latency: Extra inputs are not permitted"),
    ],
)
def test_the_command_refuses_wrong_arguments(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
