"""A call of a sample model: the request as OpenAI's API has it, and the answer in the same form, whole or as events."""

import re
import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import orjson

from assay.sample_behaviour import Behaviour
from assay.sample_responses import Refused, error_response
from assay.sample_served import ServedModel


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a model, understood. `prompt` is the last user message, `words` the length of all messages."""

    served: ServedModel
    chat: bool
    prompt: str
    words: int
    stream: bool
    include_usage: bool
    digest: bytes

    @classmethod
    def of(cls, body: Any, chat: bool, served: dict[str, ServedModel]) -> Self:
        """Raises `Refused` as OpenAI's API would refuse `body`."""
        if not isinstance(body, dict):
            raise Refused(error_response(400, "the body must be a JSON object"))
        name = body.get("model")
        if not isinstance(name, str) or name not in served:
            raise Refused(
                error_response(404, f"The model {name!r} does not exist", code="model_not_found", param="model")
            )
        if chat:
            prompt, words = _last_user_text(body.get("messages"))
        else:
            text = body.get("prompt")
            if not isinstance(text, str):
                raise Refused(error_response(400, "prompt must be a text", param="prompt"))
            prompt, words = text, len(text.split())
        options = body.get("stream_options")
        return cls(
            served=served[name],
            chat=chat,
            prompt=prompt,
            words=words,
            stream=body.get("stream") is True,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            digest=blake2b(prompt.encode(errors="surrogatepass"), digest_size=8).digest(),
        )

    def _head(self, part: str) -> dict[str, Any]:
        kind = f"chat.completion{part}" if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.digest.hex()}",
            "object": kind,
            "created": int(time.time()),
            "model": self.served.model.name,
        }

    def _usage(self, text: str, behaviour: Behaviour) -> dict[str, int]:
        """Words in place of tokens."""
        said = len(text.split()) + (len(_REASONING.split()) if behaviour.reasoning and self.chat else 0)
        return {"prompt_tokens": self.words, "completion_tokens": said, "total_tokens": self.words + said}

    def body(self, text: str, behaviour: Behaviour) -> bytes:
        """The whole answer as one JSON object."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": behaviour.finish_reason, "logprobs": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text}
            if behaviour.reasoning:
                choice["message"]["reasoning_content"] = _REASONING
        else:
            choice["text"] = text
        answer = {**self._head(""), "choices": [choice]}
        if not behaviour.no_usage:
            answer["usage"] = self._usage(text, behaviour)
        return orjson.dumps(answer)

    def events(self, text: str, behaviour: Behaviour) -> list[bytes]:
        """The answer as server-sent events, a word each."""
        head = self._head(".chunk")
        with_usage = self.include_usage and not behaviour.no_usage

        def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
            said: dict[str, Any] = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
            choice = {"index": 0, **said, "finish_reason": finish_reason, "logprobs": None}
            return _sse({**head, "choices": [choice], **({"usage": None} if with_usage else {})})

        events = [event({"role": "assistant", "content": ""})] if self.chat else []
        if behaviour.reasoning and self.chat:
            events += [event({"reasoning_content": word}) for word in _tokens(_REASONING)]
        events += [event({"content": word}) for word in _tokens(text)]
        events.append(event({}, behaviour.finish_reason))
        if with_usage:
            events.append(_sse({**head, "choices": [], "usage": self._usage(text, behaviour)}))
        return [*events, b"data: [DONE]\n\n"]


_REASONING = "Which numbers are given, and what is asked for?"


def _tokens(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _last_user_text(messages: Any) -> tuple[str, int]:
    """The text of the last user message, and the words of all messages."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused(error_response(400, "messages must be a list of objects", param="messages"))
    prompt, words = None, 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(
                part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        if isinstance(content, str):
            words += len(content.split())
            if message.get("role") == "user":
                prompt = content
    if prompt is None:
        raise Refused(error_response(400, "messages must have one of the user, with a text", param="messages"))
    return prompt, words
