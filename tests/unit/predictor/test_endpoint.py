"""Calls and their deadlines, against servers that answer, refuse, hang and break off."""

import asyncio
import json
from typing import Any

import pytest

from services.predictor.answers import CallFailed
from services.predictor.endpoint import Endpoint
from shared.contracts import ChatMessage, Job, ModelEndpoint
from shared.networks import Networks
from shared.scoring import ExactMatchScoring
from tests.unit.predictor.servers import Handler, read_request, saying, serving

JOB = Job(
    evaluation="e1",
    model="m1",
    index=0,
    item_id="1",
    target="x",
    scoring=ExactMatchScoring(scorer="exact_match"),
    messages=[ChatMessage(role="user", content="Say x.")],
    params={"temperature": 0.0},
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


HERE = Networks(loopback=True)


def endpoint(base_url: str, *, api_key: str = "k", networks: Networks = HERE, **settings: Any) -> Endpoint:
    fields = {"timeout_s": 5.0, "connect_timeout_s": 5.0, "max_concurrency": 4, "max_attempts": 1, **settings}
    return Endpoint(
        ModelEndpoint.model_validate({"id": "m1", "name": "m", "base_url": base_url, "model": "x", **fields}),
        api_key,
        networks,
    )


def event(text: str | None, **fields: object) -> bytes:
    """One streamed token as a chunk."""
    choice: dict[str, object] = {"index": 0, "delta": {} if text is None else {"content": text}, **fields}
    data = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\r\n\r\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def streaming(*events: bytes, then_hang: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD)
        for each in events:
            writer.write(each)
            await writer.drain()
        if then_hang:
            await reader.read()
        writer.write(b"0\r\n\r\n")

    return handler


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def whole(document: object, status: bytes = b"200 OK") -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def test_a_call_sends_the_job_and_reads_the_answer() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(whole({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}))

    async with serving(handler) as url:
        answer = await endpoint(url).call(JOB)
    head, body = seen[0]
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"Authorization: Bearer k" in head
    assert json.loads(body) == {
        "model": "x",
        "messages": [{"role": "user", "content": "Say x."}],
        "temperature": 0.0,
    }
    assert (answer.output, answer.finish_reason, answer.ttft_s) == ("x", "stop", None)


async def test_a_streamed_answer_is_put_together_over_chunk_borders() -> None:
    data = b'data: {"choices": [{"delta": {"content": "\xc3\xa4 y"}}]}\n\n'
    torn = b"".join(b"1\r\n%c\r\n" % byte for byte in data)  # in the middle of a line, a token and a character
    async with serving(streaming(event("x"), torn, event(None, finish_reason="stop"))) as url:
        answer = await endpoint(url, stream=True).call(JOB)
    assert (answer.output, answer.finish_reason) == ("xä y", "stop")
    assert answer.ttft_s is not None


async def test_a_whole_answer_where_a_stream_was_asked_for_is_read_too() -> None:
    async with serving(saying(whole({"choices": [{"message": {"content": "x"}}]}))) as url:
        assert (await endpoint(url, stream=True).call(JOB)).output == "x"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_carries_its_status_and_retry_after(stream: bool) -> None:
    refusal = (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 22\r\n\r\n" + b'{"error":"slow down!"}'
    )
    async with serving(saying(refusal)) as url:
        with pytest.raises(CallFailed, match="HTTP 429: slow down!") as caught:
            await endpoint(url, stream=stream).call(JOB)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3.0)


def particular(bodies: list[dict[str, object]]) -> Handler:
    """An endpoint that takes neither `max_tokens` nor `temperature`, and says so one at a time."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = json.loads((await read_request(reader))[1])
            bodies.append(body)
            if "max_tokens" in body:
                said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
                writer.write(whole({"error": {"message": said}}, b"400 Bad Request"))
            elif "temperature" in body:
                writer.write(whole({"error": {"message": "Unsupported value: 'temperature'"}}, b"400 Bad Request"))
            else:
                writer.write(whole({"choices": [{"message": {"content": "x"}}]}))

    return handler


async def test_what_an_endpoint_does_not_take_is_learned_from_its_refusals() -> None:
    bodies: list[dict[str, object]] = []
    job = JOB.model_copy(update={"params": {"temperature": 0.0, "max_tokens": 9}})
    async with serving(particular(bodies)) as url:
        model = endpoint(url)
        first, second = await model.call(job), await model.call(job)
        plain = await model.call(JOB.model_copy(update={"params": {}}))
    assert [sorted(body.keys() - {"model", "messages"}) for body in bodies] == [
        ["max_tokens", "temperature"],
        ["max_completion_tokens", "temperature"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
        [],
    ]
    assert (first.output, list(first.adapted)) == ("x", list(second.adapted))
    assert [text.split(" take")[0] for text in first.adapted] == ["the endpoint", "the endpoint does not"]
    assert list(plain.adapted) == []


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "Unknown parameter 'max_completion_tokens'. Use max_completion_tokens or max_tokens, both are unsupported.",
    ],
)
async def test_an_endpoint_that_refuses_whatever_is_changed_is_not_asked_for_ever(said: str) -> None:
    bodies: list[dict[str, object]] = []

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            bodies.append(json.loads((await read_request(reader))[1]))
            writer.write(whole({"error": {"message": said}}, b"400 Bad Request"))

    job = JOB.model_copy(update={"params": {"max_tokens": 9}})
    async with serving(refusing) as url:
        model = endpoint(url)
        for _ in range(2):
            with pytest.raises(CallFailed, match="HTTP 400") as caught:
                await model.call(job)
            assert not caught.value.retryable
    assert len(bodies) <= 5


@pytest.mark.parametrize(
    ("handler", "settings", "message"),
    [
        (hanging, {"timeout_s": 0.1}, r"no answer within 0\.1 s"),
        (hanging, {"timeout_s": 0.1, "stream": True}, r"no answer within 0\.1 s"),
        (hanging, {"first_token_timeout_s": 0.1, "stream": True}, r"no token within 0\.1 s"),
        (streaming(then_hang=True), {"first_token_timeout_s": 0.1, "stream": True}, r"no token within 0\.1 s"),
        (
            streaming(event("x"), then_hang=True),
            {"token_timeout_s": 0.1, "stream": True},
            r"no further token within 0\.1 s",
        ),
        (
            streaming(event("x"), then_hang=True),
            {"token_timeout_s": 60, "timeout_s": 0.2, "stream": True},
            r"no answer within 0\.2 s",
        ),
    ],
    ids=[
        "total",
        "total of a stream",
        "first token",
        "first token after the head",
        "next token",
        "total after a token",
    ],
)
async def test_each_deadline_ends_a_call_that_hangs_and_is_named(
    handler: Handler, settings: dict[str, Any], message: str
) -> None:
    async with serving(handler) as url:
        with pytest.raises(CallFailed, match=message) as caught:
            await endpoint(url, **settings).call(JOB)
    assert (caught.value.retryable, caught.value.kind) == (True, "a timeout")


async def test_what_is_cancelled_from_outside_is_no_timeout() -> None:
    async with serving(hanging) as url:
        call = asyncio.create_task(endpoint(url).call(JOB))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_stream_without_line_breaks_does_not_grow_for_ever() -> None:
    chunk = b"%x\r\n%b\r\n" % (1024 * 1024, b"x" * 1024 * 1024)
    async with serving(streaming(*[chunk] * 6)) as url:
        with pytest.raises(CallFailed, match="larger than 4 MiB"):
            await endpoint(url, stream=True).call(JOB)


async def test_a_key_that_an_endpoint_repeats_is_not_told() -> None:
    said = whole({"error": {"message": "Incorrect API key provided: k-very-secret."}}, b"401 Unauthorized")
    async with serving(saying(said)) as url:
        with pytest.raises(CallFailed) as caught:
            await endpoint(url, api_key="k-very-secret").call(JOB)
    assert caught.value.message == str(caught.value) == "HTTP 401: Incorrect API key provided: ***."


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_kept_without_the_key_that_it_repeats(stream: bool) -> None:
    message = {"content": "It is k-very-secret!", "reasoning_content": "k-very-secret?"}
    tokens = [event("It is k-ve"), event("ry-secret!", finish_reason="k-very-secret")]
    handler = streaming(*tokens) if stream else saying(whole({"choices": [{"message": message}]}))
    async with serving(handler) as url:
        answer = await endpoint(url, api_key="k-very-secret", stream=stream).call(JOB)
    assert answer.output == "It is ***!"
    assert (answer.reasoning, answer.finish_reason) == (("", "***") if stream else ("***?", None))
