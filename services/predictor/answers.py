"""What an endpoint said, read: OpenAI chat completions and completions, whole or streamed, as real engines send them.

Source of the shapes: OpenAI API reference, "Create chat completion" and "Create completion". Engines leave out `usage`, send
`finish_reason: null`, or answer errors in HTML; all of that is read here, by the words in `dialects.py`, and nowhere else.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import orjson

from services.predictor import dialects
from shared.contracts import ChatMessage, Usage

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""An answer's limit: beyond it an endpoint is broken, and the message would not pass the broker."""

MAX_REASONING = 65_536
"""Characters of a model's thoughts that are kept."""

ERROR_TEXT_LIMIT = 500

RETRYABLE_STATUSES = frozenset({408, 409, 425, 429})
"""4xx that may pass later, beside every 5xx; any other 4xx is the endpoint's last word on this request."""


class Trouble(StrEnum):
    """What a failed call says of the endpoint rather than of the request: `refused` 429, `overloaded` 503, `timeout` no end in
    time, `unreachable` no connection, `failing` any other 5xx."""

    REFUSED = "refused"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FAILING = "failing"


class CallFailed(Exception):
    """One call failed. `retryable` says whether the same request may pass later; `retry_after` is seconds, `status` that of HTTP, where
    given."""

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        kind: str,
        retry_after: float | None = None,
        trouble: Trouble | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.kind = kind
        self.retry_after = retry_after
        self.trouble = trouble
        self.status = status


@dataclass
class Answer:
    """One successful call. `ttft_s` is the time to the first token in seconds, where the answer was streamed; `reasoning` what the model
    thought before its answer, where it says so; `adapted` how the request had to differ from what was asked for, in words."""

    output: str
    finish_reason: str | None = None
    usage: Usage | None = None
    ttft_s: float | None = None
    reasoning: str = ""
    adapted: Sequence[str] = ()


def request_body(
    api: str, model: str, messages: list[ChatMessage], params: dict[str, Any], *, stream: bool
) -> dict[str, Any]:
    """The body of a call. A completions model gets the messages' texts, one after the other, as its prompt."""
    body: dict[str, Any] = {"model": model}
    if api == "chat":
        body["messages"] = [{"role": message.role, "content": message.content} for message in messages]
    else:
        body["prompt"] = "\n\n".join(message.content for message in messages)
    body.update(params)
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def read_answer(body: bytes) -> Answer:
    """A whole answer (HTTP 200)."""
    try:
        document = _parse(body)
    except ValueError as error:
        raise CallFailed(
            f"the answer is not JSON: {_clip(body)}", retryable=True, kind="an answer that is not JSON"
        ) from error
    choice = _first_choice(document)
    message = choice.get("message")
    usage = read_usage(document.get("usage"))
    if not isinstance(message, dict):
        return _checked(Answer(_text(choice.get("text")), choice.get("finish_reason"), usage))
    # A refusal in a field of its own stands where the answer would.
    content = _text(message.get("content")) or _text(message.get("refusal"))
    return _checked(Answer(content, choice.get("finish_reason"), usage, reasoning=_thoughts(message)))


@dataclass
class StreamedAnswer:
    """A streamed answer put together from its server-sent events; `feed` takes one line at a time."""

    parts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    ttft_s: float | None = None
    done: bool = False
    size: int = 0

    def feed(self, line: str, elapsed_s: float) -> None:
        if not line.startswith("data:"):
            return
        data = line[5:].strip()
        if data == "[DONE]":
            self.done = True
            return
        try:
            document = _parse(data.encode())
        except ValueError as error:
            raise CallFailed(
                f"a streamed event is not JSON: {_clip(data.encode())}", retryable=True, kind="a broken stream"
            ) from error
        if not isinstance(document, dict):
            raise CallFailed("a streamed event is not an object", retryable=True, kind="a broken stream")
        if document.get("error"):
            raise CallFailed(
                f"the stream ended with an error: {_error_text(document)}",
                retryable=True,
                kind="an error in the stream",
            )
        if document.get("usage"):
            self.usage = read_usage(document["usage"])
        choices = document.get("choices")
        if not choices:
            return
        if not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise CallFailed("a streamed event has no choice", retryable=True, kind="a broken stream")
        choice = choices[0]
        delta = choice.get("delta")
        thinking = ""
        if isinstance(delta, dict):
            content = _text(delta.get("content")) or _text(delta.get("refusal"))
            thinking = _thoughts(delta)
        else:
            content = _text(choice.get("text"))
        if self.ttft_s is None and (content or thinking):
            self.ttft_s = elapsed_s
        if thinking:
            self.thoughts.append(thinking)
        if content:
            self.parts.append(content)
        self.size += len(content) + len(thinking)
        if self.size > MAX_ANSWER_BYTES:
            raise too_large()
        if choice.get("finish_reason"):
            self.finish_reason = choice["finish_reason"]

    def answer(self) -> Answer:
        """The whole, once the stream has ended; one that broke off is a failed call, not a short answer."""
        if not self.done and self.finish_reason is None:
            raise CallFailed("the stream broke off", retryable=True, kind="a cut stream")
        whole = Answer("".join(self.parts), self.finish_reason, self.usage, self.ttft_s, "".join(self.thoughts))
        return _checked(whole)


def read_error(status: int, body: bytes, retry_after: str | None, now: float) -> CallFailed:
    """An HTTP status other than 200 as a failed call; the body may be JSON, HTML or nothing. `now` is Unix time."""
    if 300 <= status < 400:
        return CallFailed(
            f"HTTP {status}: redirects are not followed; register the address it leads to",
            retryable=False,
            kind=f"HTTP {status}",
        )
    retryable = status in RETRYABLE_STATUSES or status >= 500
    try:
        text = _error_text(_parse(body))
    except ValueError:
        text = _clip(body)
    return CallFailed(
        f"HTTP {status}: {text}" if text else f"HTTP {status}",
        retryable=retryable,
        kind=f"HTTP {status}",
        retry_after=read_retry_after(retry_after, now) if retryable else None,
        trouble=_trouble(status),
        status=status,
    )


def _trouble(status: int) -> Trouble | None:
    if status == 429:
        return Trouble.REFUSED
    if status in (503, 529):  # 529: what some call an overload
        return Trouble.OVERLOADED
    return Trouble.FAILING if status >= 500 else None


def read_retry_after(value: str | None, now: float) -> float | None:
    """`Retry-After` in seconds from now: a number or an HTTP date (RFC 9110, 10.2.3); None where it is neither."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None


def read_usage(value: Any) -> Usage | None:
    """Token counts where the endpoint gave any; what is not a whole number counts as not given."""
    if not isinstance(value, dict):
        return None
    counts = {
        name: value[name]
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        if isinstance(value.get(name), int) and 0 <= value[name] < 2**53
    }
    return Usage(**counts) if counts else None


def too_large() -> CallFailed:
    return CallFailed(
        f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB",
        retryable=False,
        kind="an answer that is too large",
    )


def _parse(body: bytes) -> Any:
    """JSON; raises `ValueError`. The quick parser refuses half a surrogate pair, which models do write when they are cut."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode("utf-8", "replace"))


def _first_choice(document: Any) -> dict[str, Any]:
    choices = document.get("choices") if isinstance(document, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    if isinstance(document, dict) and document.get("error"):
        raise CallFailed(
            f"an error with HTTP 200: {_error_text(document)}", retryable=True, kind="an error with HTTP 200"
        )
    raise CallFailed("the answer has no choices", retryable=True, kind="an answer without choices")


def _checked(answer: Answer) -> Answer:
    answer.finish_reason = dialects.finish_reason(answer.finish_reason)
    if answer.finish_reason == "content_filter" and not answer.output.strip():
        raise CallFailed("the endpoint's content filter refused this request", retryable=False, kind="content filter")
    if "</think>" in answer.output or "<think>" in answer.output:
        answer.output, thought = dialects.without_thoughts(answer.output)
        answer.reasoning = answer.reasoning or thought
    answer.output, answer.reasoning = _encodable(answer.output), _encodable(answer.reasoning)
    if len(answer.reasoning) > MAX_REASONING:
        answer.reasoning = answer.reasoning[:MAX_REASONING] + "…"
    return answer


def _encodable(text: str) -> str:
    """JSON may carry a lone surrogate, which no further step could encode as UTF-8."""
    if not text:
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > MAX_ANSWER_BYTES:
        raise too_large()
    return encoded.decode()


def _thoughts(message: dict[str, Any]) -> str:
    """`reasoning_content` (vLLM, SGLang, DeepSeek, llama.cpp) or `reasoning` (OpenRouter, newer vLLM, Ollama)."""
    return _text(message.get("reasoning_content")) or _text(message.get("reasoning"))


def _text(content: Any) -> str:
    """Content as text: a string, null, or a list of typed parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return ""


def _error_text(document: Any) -> str:
    """The message in the places where engines put it: `error.message`, `error`, `detail`, `message`, a list of any of these."""
    if isinstance(document, list) and document:
        return _error_text(document[0])
    if isinstance(document, dict):
        error = document.get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return str(error["message"])[:ERROR_TEXT_LIMIT]
        for name in ("error", "detail", "message", "msg"):
            if isinstance(document.get(name), str):
                return str(document[name])[:ERROR_TEXT_LIMIT]
    return orjson.dumps(document).decode()[:ERROR_TEXT_LIMIT]


def _clip(body: bytes) -> str:
    return " ".join(body[: ERROR_TEXT_LIMIT * 2].decode("utf-8", "replace").split())[:ERROR_TEXT_LIMIT]
