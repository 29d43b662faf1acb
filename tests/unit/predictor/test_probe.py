"""How an endpoint is, found by its list of models and a tiny completion, in the ways in which they answer."""

import asyncio
import json
from typing import Any

import pytest

from services.predictor.probe import probe
from shared.contracts import ModelStatus, ProbeAnswer
from tests.unit.predictor.servers import Handler, read_request, serving
from tests.unit.predictor.test_endpoint import endpoint, hanging, whole

LISTED = whole({"object": "list", "data": [{"id": "x", "object": "model"}, {"id": "y"}]})
OTHERS = whole({"object": "list", "data": [{"id": "a"}, {"id": "b"}]})
NO_LIST = whole({"detail": "Not Found"}, b"404 Not Found")
ANSWERED = whole({"choices": [{"message": {"content": "Hello"}, "finish_reason": "length"}]})
RUNNING, UNREACHABLE = ModelStatus.RUNNING, ModelStatus.UNREACHABLE


def refused(status: bytes, message: str) -> bytes:
    return whole({"error": {"message": message}}, status)


def answering(models: bytes, completion: bytes | None = None, asked: list[Any] | None = None) -> Handler:
    """A server with this list and this completion; None: a completion never ends."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            if head.startswith(b"GET /v1/models "):
                writer.write(models)
                continue
            if asked is not None:
                asked.append(json.loads(body))
            if completion is None:
                await reader.read()
                return
            writer.write(completion)

    return handler


async def found(handler: Handler, *, complete: bool = True, within_s: float = 5.0, **settings: Any) -> ProbeAnswer:
    async with serving(handler) as url:
        return await probe(endpoint(url, **settings), within_s, complete=complete)


@pytest.mark.parametrize(
    ("models", "completion", "status", "detail"),
    [
        (LISTED, ANSWERED, RUNNING, "it answers"),
        (NO_LIST, ANSWERED, RUNNING, "it answers; HTTP 404 to GET /models, which is no list of models"),
        (OTHERS, ANSWERED, RUNNING, "it answers; GET /models does not list 'x', but a, b"),
        (whole({"data": []}), ANSWERED, RUNNING, "it answers; GET /models does not list 'x', but none"),
        (OTHERS, refused(b"404 Not Found", "The model `x` does not exist."), UNREACHABLE,
         "GET /models does not list 'x', but a, b; a tiny completion: HTTP 404: The model `x` does not exist."),
        (OTHERS, refused(b"400 Bad Request", "Invalid model: x"), UNREACHABLE,
         "GET /models does not list 'x', but a, b; a tiny completion: HTTP 400: Invalid model: x"),
        (LISTED, refused(b"400 Bad Request", "max_tokens must be at least 16"), RUNNING,
         "GET /models lists it; a tiny completion: HTTP 400: max_tokens must be at least 16"),
        (LISTED, refused(b"401 Unauthorized", "Incorrect API key provided: k"), UNREACHABLE,
         "GET /models lists it; a tiny completion: HTTP 401: Incorrect API key provided: k"),
        (LISTED, refused(b"429 Too Many Requests", "slow down"), RUNNING,
         "GET /models lists it; a tiny completion: HTTP 429: slow down"),
        (LISTED, refused(b"500 Internal Server Error", "CUDA out of memory"), UNREACHABLE,
         "GET /models lists it; a tiny completion: HTTP 500: CUDA out of memory"),
        (LISTED, refused(b"503 Service Unavailable", "Loading model"), UNREACHABLE,
         "GET /models lists it; a tiny completion: HTTP 503: Loading model"),
        (LISTED, whole({"choices": []}), RUNNING, "GET /models lists it; a tiny completion: the answer has no choices"),
        (whole("<html>"), whole("<html>"), UNREACHABLE,
         "HTTP 200 to GET /models, which is no list of models; a tiny completion: the answer has no choices"),
        (whole({}, b"401 Unauthorized"), ANSWERED, UNREACHABLE, "HTTP 401: the endpoint refuses the API key, or wants one"),
        (whole({}, b"503 Service Unavailable"), ANSWERED, UNREACHABLE, "HTTP 503 to GET"),
        (whole({}, b"302 Found"), ANSWERED, UNREACHABLE, "redirects are not followed"),
        (b"no HTTP\r\n\r\n", ANSWERED, UNREACHABLE, "cannot connect: what came is not HTTP"),
    ],
)  # fmt: skip
async def test_a_probe_says_what_it_found(models: bytes, completion: bytes, status: ModelStatus, detail: str) -> None:
    answer = await found(answering(models, completion), api_key="not-a-part-of-words")
    assert answer.status == status
    assert detail in answer.detail
    assert (answer.latency_ms is not None) == answer.detail.startswith("it answers")


NO_TEMPLATES = [
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if the "
    "tokenizer does not define one.",  # vLLM
    "Cannot use chat template functions because tokenizer.chat_template is not set and no template argument was passed!",
    "Template error: template not found",  # TGI
]


@pytest.mark.parametrize("said", NO_TEMPLATES)
async def test_a_base_model_that_is_asked_to_chat_is_told_apart(said: str) -> None:
    handler = answering(LISTED, refused(b"400 Bad Request", said))
    answer = await found(handler)
    assert answer.status == UNREACHABLE
    assert answer.detail.endswith("; a base model has no chat template: the API completions fits it")
    assert (await found(handler, api="completions")).status == RUNNING


async def test_a_base_url_that_lacks_its_end_is_told() -> None:
    async with serving(answering(NO_LIST, NO_LIST)) as url:
        short = await probe(endpoint(url.removesuffix("/v1") + "/v2"), 5.0, complete=True)
        whole_url = await probe(endpoint(url), 5.0, complete=True)
    assert short.detail.endswith("HTTP 404: Not Found; most base URLs end with /v1")
    assert whole_url.detail.endswith("HTTP 404: Not Found")


async def test_a_probe_is_one_tiny_completion_that_fits_the_dialect() -> None:
    asked: list[Any] = []
    await found(answering(LISTED, ANSWERED, asked))
    await found(answering(LISTED, whole({"choices": [{"text": "x"}]}), asked), api="completions")
    assert asked == [
        {"model": "x", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
        {"model": "x", "prompt": "Hi", "max_tokens": 1},
    ]


async def test_the_list_alone_costs_no_completion() -> None:
    asked: list[Any] = []
    listed = await found(answering(LISTED, ANSWERED, asked), complete=False)
    missing = await found(answering(OTHERS, ANSWERED, asked), complete=False)
    none = await found(answering(NO_LIST, ANSWERED, asked), complete=False)
    assert asked == []
    assert [(row.status, row.listed, row.latency_ms) for row in (listed, missing, none)] == [
        (RUNNING, True, None),
        (RUNNING, False, None),
        (RUNNING, None, None),
    ]


async def test_a_completion_that_takes_its_time_is_left_to_the_calls() -> None:
    answer = await found(answering(LISTED), within_s=0.5)
    assert answer.status == RUNNING
    assert answer.detail.startswith("GET /models lists it; a first completion takes longer than ")


async def test_an_endpoint_that_hangs_is_unreachable_in_time() -> None:
    answer = await found(hanging, within_s=0.2)
    assert (answer.status, answer.detail) == (UNREACHABLE, "no answer within 0.2 s")


async def test_a_key_that_is_repeated_is_not_in_the_words() -> None:
    spiteful = whole({"data": [{"id": "sk-very-secret"}]})
    answer = await found(
        answering(spiteful, refused(b"401 Unauthorized", "Bearer sk-very-secret")), api_key="sk-very-secret"
    )
    assert "very-secret" not in answer.detail
    assert answer.detail.endswith("but ***; a tiny completion: HTTP 401: Bearer ***")
