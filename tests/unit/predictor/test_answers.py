"""Answers as real engines send them."""

import json
from typing import Any

import pytest

from services.predictor.answers import (
    CallFailed,
    StreamedAnswer,
    read_answer,
    read_error,
    read_retry_after,
    read_usage,
    request_body,
)
from shared.contracts import ChatMessage


def body(**choice: Any) -> bytes:
    return json.dumps({"choices": [choice]}).encode()


def test_an_ordinary_chat_answer() -> None:
    answer = read_answer(
        json.dumps(
            {
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "18"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "details": {"x": 1}},
            }
        ).encode()
    )
    assert (answer.output, answer.finish_reason) == ("18", "stop")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 1


@pytest.mark.parametrize(
    ("choice", "output"),
    [
        ({"message": {"content": "a"}, "finish_reason": None}, "a"),
        ({"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "length"}, ""),
        (
            {"message": {"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}},
            "ab",
        ),
        ({"message": {"content": "b", "reasoning_content": "hm"}}, "b"),
        ({"text": "plain"}, "plain"),
        ({"message": {"content": ""}}, ""),
        ({"message": {"content": "\ud800"}}, "?"),
    ],
)
def test_forms_of_content(choice: dict[str, Any], output: str) -> None:
    assert read_answer(body(**choice)).output == output


def test_missing_usage_is_no_usage() -> None:
    assert read_answer(body(message={"content": "a"})).usage is None
    assert read_usage({"prompt_tokens": None, "completion_tokens": "7"}) is None
    assert read_usage("many") is None


@pytest.mark.parametrize("broken", [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": ["a"]}', b"null"])
def test_an_answer_that_is_none_may_pass_later(broken: bytes) -> None:
    with pytest.raises(CallFailed) as caught:
        read_answer(broken)
    assert caught.value.retryable


def test_an_error_with_status_200_is_a_failed_call() -> None:
    with pytest.raises(CallFailed, match="overloaded"):
        read_answer(b'{"error": {"message": "overloaded"}}')


def test_a_filtered_answer_is_the_last_word() -> None:
    with pytest.raises(CallFailed) as caught:
        read_answer(body(message={"content": ""}, finish_reason="content_filter"))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (413, False),
        (422, False),
        (302, False),
        (408, True),
        (409, True),
        (425, True),
        (429, True),
        (500, True),
        (502, True),
        (503, True),
        (529, True),
    ],
)
def test_which_statuses_may_pass_later(status: int, retryable: bool) -> None:
    assert read_error(status, b"", None, 0).retryable is retryable


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"error": {"message": "too long", "type": "x"}}', "HTTP 400: too long"),
        (b'{"error": "bad"}', "HTTP 400: bad"),
        (b'{"detail": "no"}', "HTTP 400: no"),
        (b'{"detail": [{"loc": ["body"]}]}', 'HTTP 400: {"detail":[{"loc":["body"]}]}'),
        (b"<html>\n <h1>Bad Gateway</h1></html>", "HTTP 400: <html> <h1>Bad Gateway</h1></html>"),
        (b"", "HTTP 400"),
        (b"\xff\xfe", "HTTP 400: \ufffd\ufffd"),
    ],
)
def test_error_bodies_in_every_form(text: bytes, message: str) -> None:
    assert read_error(400, text, None, 0).message == message


def test_a_long_error_body_is_clipped() -> None:
    assert len(read_error(500, b"x" * 100_000, None, 0).message) < 600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_as_seconds_or_date(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, now=10.0) == seconds


def stream(*events: str) -> StreamedAnswer:
    answer = StreamedAnswer()
    for at, event in enumerate(events):
        answer.feed(event, at / 10)
    return answer


def delta(**fields: Any) -> str:
    return "data: " + json.dumps({"choices": [{"delta": fields}]})


def test_a_streamed_answer_and_its_first_token() -> None:
    answer = stream(
        ": comment",
        "",
        delta(role="assistant", content=""),
        delta(content="1"),
        delta(content="8"),
        'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}',
        'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
        "data: [DONE]",
    ).answer()
    assert (answer.output, answer.finish_reason, answer.ttft_s) == ("18", "stop", 0.3)
    assert answer.usage is not None


def test_the_first_thought_counts_as_the_first_token() -> None:
    assert stream(delta(reasoning_content="hm"), delta(content="1"), "data: [DONE]").answer().ttft_s == 0.0


def test_a_stream_that_breaks_off_is_a_failed_call_and_not_a_short_answer() -> None:
    with pytest.raises(CallFailed, match="broke off") as caught:
        stream(delta(content="1")).answer()
    assert caught.value.retryable


def test_a_streamed_completion() -> None:
    assert stream('data: {"choices": [{"text": "a", "finish_reason": "length"}]}').answer().output == "a"


@pytest.mark.parametrize(
    "event",
    [
        "data: {",
        'data: {"error": {"message": "out of memory"}}',
        "data: 7",
        'data: {"choices": ["a"]}',
        'data: {"choices": {"0": {}}}',
        'data: {"choices": "a"}',
    ],
)
def test_a_broken_event_is_a_failed_call(event: str) -> None:
    with pytest.raises(CallFailed):
        stream(event)


def test_bodies_of_both_apis() -> None:
    messages = [ChatMessage(role="system", content="s"), ChatMessage(role="user", content="u")]
    chat = request_body("chat", "m", messages, {"temperature": 0}, stream=True)
    assert chat == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request_body("completions", "m", messages, {}, stream=False) == {"model": "m", "prompt": "s\n\nu"}
