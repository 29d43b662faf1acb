"""Answers and refusals in the forms in which engines and providers give them, and what is made of each."""

import json
from typing import Any

import pytest

from services.predictor.answers import CallFailed, StreamedAnswer, read_answer, read_error, request_body
from services.predictor.dialects import OPTIONAL, QUIRKS, adapted, finish_reason, quirk, without_thoughts
from shared.contracts import ChatMessage

CHAT = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="2 + 2?")]
PARAMS = {"temperature": 0.0, "max_tokens": 64, "stop": ["\n\n"], "seed": 1}
BODY = request_body("chat", "m", CHAT, PARAMS, stream=True)

REFUSALS: list[tuple[str, int, Any, str]] = [
    (
        "OpenAI, a reasoning model",
        400,
        {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                   "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}},
        "max_completion_tokens",
    ),
    (
        "OpenAI, a fixed temperature",
        400,
        {"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
                   "type": "invalid_request_error", "param": "temperature", "code": "unsupported_value"}},
        "no temperature",
    ),
    (
        "OpenAI, no stop",
        400,
        {"error": {"message": "Unsupported parameter: 'stop' is not supported with this model.", "param": "stop"}},
        "no stop",
    ),
    (
        "a strict server in front of pydantic",
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "seed: Extra inputs are not permitted"}]},
        "no seed",
    ),
    (
        "vLLM, a chat template without a system role",
        400,
        {"object": "error", "message": "System role not supported", "type": "BadRequestError", "param": None, "code": 400},
        "no system role",
    ),
    (
        "a template that wants turns",
        400,
        {"error": {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}},
        "no system role",
    ),
    (
        "llama.cpp, the template raises",
        500,
        {"error": {"code": 500, "message": "Value is not callable: ... Only user and assistant roles are supported!", "type": "server_error"}},
        "no system role",
    ),
    (
        "Google, a list",
        400,
        [{"error": {"code": 400, "message": "Unknown name \"stream_options\": Cannot find field.", "status": "INVALID_ARGUMENT"}}],
        "no stream_options",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "document", "name"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_a_refusal_tells_what_is_not_taken(status: int, document: Any, name: str) -> None:
    failure = read_error(status, json.dumps(document).encode(), None, 0)
    found = quirk(failure.status or 0, failure.message, BODY)
    assert found is not None
    assert found.name == name
    changed, done = adapted(BODY, [found])
    assert changed != BODY
    assert done == [found]
    assert quirk(failure.status or 0, failure.message, changed) is not found, (
        "the same refusal again would be answered for ever"
    )


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "This model's maximum context length is 4096 tokens, however you requested 5000 tokens."),
        (
            400,
            "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model supports at most 4096 completion tokens.",
        ),
        (400, "temperature must be in [0, 2], got 7.0"),
        (400, "The model `gpt-9` does not exist"),
        (401, "Unsupported parameter: 'temperature'"),
        (429, "Unsupported parameter: 'temperature'"),
    ],
)
def test_another_refusal_is_the_endpoints_last_word(status: int, text: str) -> None:
    assert quirk(status, text, BODY) is None


def test_what_a_body_does_not_have_is_not_changed() -> None:
    plain = request_body("completions", "m", CHAT, {}, stream=False)
    assert adapted(plain, QUIRKS) == (plain, [])
    assert quirk(400, "Unsupported parameter: 'temperature'", plain) is None


@pytest.mark.parametrize("parameter", OPTIONAL)
def test_an_optional_parameter_is_left_out_alone(parameter: str) -> None:
    body = {"model": "m", "messages": [], "max_tokens": 9, parameter: 1}
    found = quirk(400, f"Unsupported parameter: '{parameter}' is not supported with this model.", body)
    assert found is not None
    assert adapted(body, [found])[0] == {"model": "m", "messages": [], "max_tokens": 9}


def test_parameters_are_renamed_in_their_place() -> None:
    rows = {row.name: row for row in QUIRKS}
    body = {"model": "m", "max_tokens": 9, "temperature": 0}
    renamed, _ = adapted(body, [rows["max_completion_tokens"]])
    assert renamed == {"model": "m", "max_completion_tokens": 9, "temperature": 0}
    assert adapted(renamed, [rows["max_tokens"]])[0] == body


@pytest.mark.parametrize(
    ("messages", "changed"),
    [
        ([("system", "S"), ("user", "U")], [("user", "S\n\nU")]),
        ([("system", "S"), ("system", "T"), ("user", "U"), ("assistant", "A"), ("user", "V")],
         [("user", "S\n\nT\n\nU"), ("assistant", "A"), ("user", "V")]),
        ([("system", "S")], [("user", "S")]),
        ([("system", "S"), ("assistant", "A"), ("user", "U")], [("user", "S"), ("assistant", "A"), ("user", "U")]),
    ],
)  # fmt: skip
def test_a_system_message_is_said_by_the_user(messages: list[tuple[str, str]], changed: list[tuple[str, str]]) -> None:
    row = next(row for row in QUIRKS if row.name == "no system role")
    body = {"messages": [{"role": role, "content": content} for role, content in messages]}
    assert adapted(body, [row])[0]["messages"] == [{"role": role, "content": content} for role, content in changed]


ANSWERS: list[tuple[str, Any, tuple[str, str, str | None, int | None]]] = [
    (
        "OpenAI, a refusal",
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "refusal": "I'm sorry, I can't."},
                      "logprobs": None, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 8, "completion_tokens": 7, "total_tokens": 15, "completion_tokens_details": {"reasoning_tokens": 0}},
         "system_fingerprint": "fp_1"},
        ("I'm sorry, I can't.", "", "stop", 7),
    ),
    (
        "vLLM with a reasoning parser",
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "reasoning_content": "2 and 2", "content": "4", "tool_calls": []},
                      "logprobs": None, "finish_reason": "stop", "stop_reason": None}],
         "usage": {"prompt_tokens": 8, "total_tokens": 12, "completion_tokens": 4, "prompt_tokens_details": None},
         "prompt_logprobs": None},
        ("4", "2 and 2", "stop", 4),
    ),
    (
        "vLLM, the completions API of a base model",
        {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "text": " 4\nQ:", "logprobs": None, "finish_reason": "length", "stop_reason": None}],
         "usage": {"prompt_tokens": 8, "total_tokens": 12, "completion_tokens": 4}},
        (" 4\nQ:", "", "length", 4),
    ),
    (
        "SGLang",
        {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "4", "reasoning_content": None, "tool_calls": None},
                      "logprobs": None, "finish_reason": "stop", "matched_stop": 151645}],
         "usage": {"prompt_tokens": 8, "total_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": None}},
        ("4", "", "stop", 2),
    ),
    (
        "llama.cpp's server, thoughts left in the text",
        {"choices": [{"finish_reason": "stop", "index": 0,
                      "message": {"role": "assistant", "content": "<think>\n2 and 2\n</think>\n\n4"}}],
         "created": 1, "model": "m.gguf", "object": "chat.completion", "id": "chatcmpl-1",
         "usage": {"completion_tokens": 9, "prompt_tokens": 8, "total_tokens": 17},
         "timings": {"prompt_n": 8, "predicted_n": 9}},
        ("4", "2 and 2", "stop", 9),
    ),
    (
        "Ollama",
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "qwen3:4b", "system_fingerprint": "fp_ollama",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "4", "reasoning": "2 and 2"}, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13}},
        ("4", "2 and 2", "stop", 5),
    ),
    (
        "TGI, another word for the end and no usage",
        {"object": "chat.completion", "id": "", "created": 1, "model": "m", "system_fingerprint": "3.0.1-sha",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "logprobs": None, "finish_reason": "eos_token"}]},
        ("4", "", "stop", None),
    ),
    (
        "Google's OpenAI API, which has thought up its tokens",
        {"choices": [{"finish_reason": "length", "index": 0, "message": {"role": "assistant"}}], "created": 1, "id": "1",
         "model": "gemini-2.5-flash", "object": "chat.completion", "usage": {"prompt_tokens": 8, "total_tokens": 72}},
        ("", "", "length", None),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("document", "found"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_answer_is_read_as_it_is_given(document: Any, found: tuple[str, str, str | None, int | None]) -> None:
    read = read_answer(json.dumps(document).encode())
    tokens = read.usage.completion_tokens if read.usage else None
    assert (read.output, read.reasoning, read.finish_reason, tokens) == found


def answer(**choice: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, **choice}], "usage": None}).encode()


@pytest.mark.parametrize(
    ("message", "output", "reasoning"),
    [
        ({"content": "4", "reasoning_content": "2 and 2"}, "4", "2 and 2"),  # vLLM, SGLang, DeepSeek, llama.cpp
        ({"content": "4", "reasoning": "2 and 2"}, "4", "2 and 2"),  # OpenRouter, Ollama
        ({"content": "<think>2 and 2</think>\n\n4"}, "4", "2 and 2"),
        ({"content": "\n<think>\n2 and 2\n</think>4"}, "4", "2 and 2"),
        ({"content": "2 and 2\n</think>\n\n4"}, "4", "2 and 2"),  # the template opened it
        ({"content": "<think>2 and"}, "", "2 and"),  # cut
        ({"content": "<think></think>4"}, "4", ""),
        ({"content": "Write <think> and </think> around it."}, "Write <think> and </think> around it.", ""),
        ({"content": None, "reasoning_content": "2 and", "role": "assistant"}, "", "2 and"),
        ({"content": None, "refusal": "I can't help with that."}, "I can't help with that.", ""),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}]}, "4", ""),  # typed parts
    ],
)
def test_thoughts_and_answers_are_parted(message: dict[str, Any], output: str, reasoning: str) -> None:
    found = read_answer(answer(message=message, finish_reason="stop"))
    assert (found.output, found.reasoning) == (output, reasoning)


def test_thoughts_in_a_stream_are_parted_too() -> None:
    stream = StreamedAnswer()
    for at, delta in enumerate([{"role": "assistant"}, {"reasoning": "2 and"}, {"reasoning": " 2"}, {"content": "4"}]):
        stream.feed("data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}), at)
    # Azure begins with an event without choices, and some end with the usage alone.
    stream.feed('data: {"choices": [], "prompt_filter_results": []}', 5)
    stream.feed('data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "eos"}]}', 6)
    stream.feed("data: [DONE]", 7)
    found = stream.answer()
    assert (found.output, found.reasoning, found.finish_reason, found.ttft_s) == ("4", "2 and 2", "stop", 1)


def test_thoughts_without_end_are_cut() -> None:
    found = read_answer(answer(message={"content": "4", "reasoning_content": "x" * 100_000}))
    assert len(found.reasoning) < 70_000
    assert found.reasoning.endswith("\u2026")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls"),
        ("eos", "stop"), ("eos_token", "stop"), ("end_turn", "stop"), ("STOP", "stop"), ("stop_sequence", "stop"),
        ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"),
        ("SAFETY", "content_filter"), ("abort", "abort"), ("load", "load"), (None, None), (7, "7"),
    ],
)  # fmt: skip
def test_finish_reasons_are_the_apis(said: Any, meant: str | None) -> None:
    assert finish_reason(said) == meant


def test_a_filter_in_other_words_is_a_filter() -> None:
    with pytest.raises(CallFailed) as caught:
        read_answer(answer(message={"content": ""}, finish_reason="SAFETY"))
    assert (caught.value.retryable, caught.value.kind) == (False, "content filter")


def test_plain_text_has_no_thoughts() -> None:
    assert without_thoughts("The answer is 4.") == ("The answer is 4.", "")
