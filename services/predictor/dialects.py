"""How engines and providers differ from the OpenAI API in what they take and what they say: all of it in the tables of this module.

What an endpoint refuses is learned from its own refusal: the request is changed as a row of `QUIRKS` says, sent again at once, and later
requests are sent that way from the start. Sources: the error texts of the OpenAI API ("Unsupported parameter", "Unsupported value"), of
vLLM, SGLang, llama.cpp's server and Ollama, and of chat templates (transformers' `raise_exception`).
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]

OPTIONAL = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)
"""Parameters without which a request still asks the same question. What is left out is told in the evaluation's log."""

_NOT_TAKEN = (
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra inputs|only the default|"
    r"isn't supported|deprecated|no longer"
)


@dataclass(frozen=True)
class Quirk:
    """What an endpoint does not take. `said` finds it in the text of a refusal, `change` makes of a body one that it takes, or gives
    None where it has nothing of the kind; `told` is what a person reads."""

    name: str
    said: re.Pattern[str]
    change: Callable[[Body], Body | None]
    told: str


def _renamed(old: str, new: str) -> Callable[[Body], Body | None]:
    def change(body: Body) -> Body | None:
        return None if old not in body else {(new if name == old else name): value for name, value in body.items()}

    return change


def _without(parameter: str) -> Callable[[Body], Body | None]:
    def change(body: Body) -> Body | None:
        return None if parameter not in body else {name: value for name, value in body.items() if name != parameter}

    return change


def _without_system(body: Body) -> Body | None:
    """What the system messages say, before the first message of the user's."""
    messages: list[dict[str, str]] = body.get("messages", [])
    system = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not system:
        return None
    if others and others[0]["role"] == "user":
        first = {**others[0], "content": "\n\n".join([*system, others[0]["content"]])}
        return {**body, "messages": [first, *others[1:]]}
    return {**body, "messages": [{"role": "user", "content": "\n\n".join(system)}, *others]}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.DOTALL)


QUIRKS: tuple[Quirk, ...] = (
    Quirk(
        "max_completion_tokens",
        _pattern(
            rf"(?:{_NOT_TAKEN}).{{0,80}}\bmax_tokens\b.{{0,120}}max_completion_tokens|use .?max_completion_tokens"
        ),
        _renamed("max_tokens", "max_completion_tokens"),
        "the endpoint takes max_completion_tokens in the place of max_tokens",
    ),
    Quirk(
        "max_tokens",
        _pattern(rf"(?:{_NOT_TAKEN}).{{0,200}}max_completion_tokens|max_completion_tokens.{{0,200}}(?:{_NOT_TAKEN})"),
        _renamed("max_completion_tokens", "max_tokens"),
        "the endpoint takes max_tokens in the place of max_completion_tokens",
    ),
    Quirk(
        "no system role",
        _pattern(
            r"system (?:role|message|prompt|instruction)s?.{0,60}(?:not supported|not enabled|unsupported|not allowed)|"
            r"only (?:supports? )?user(?:,| and) (?:assistant|model)(?: and tool)? roles|roles must alternate user/"
        ),
        _without_system,
        "the endpoint takes no system message: it is put before the first message of the user's",
    ),
    Quirk(
        "no stream_options",
        _pattern(rf"(?:{_NOT_TAKEN}).{{0,200}}stream_options|stream_options.{{0,200}}(?:{_NOT_TAKEN})"),
        _without("stream_options"),
        "the endpoint takes no stream_options: it counts no tokens",
    ),
    *(
        Quirk(
            f"no {parameter}",
            _pattern(rf"(?:{_NOT_TAKEN}).{{0,200}}\b{parameter}\b|\b{parameter}\b.{{0,200}}(?:{_NOT_TAKEN})"),
            _without(parameter),
            f"the endpoint does not take {parameter}: it is left out",
        )
        for parameter in OPTIONAL
    ),
)
"""In the order in which they are tried."""

_NO_CHAT_TEMPLATE = _pattern(
    r"(?:provide|without|has no|have no|no) a? ?chat.?template|chat.?template (?:is|was) (?:not|no|missing)|template not found"
)
"""vLLM, SGLang, transformers and TGI of a base model, whose tokenizer has none."""


def wants_completions(status: int, text: str) -> bool:
    """Whether a refusal of a chat says that the model knows no chats: a base model, which the completions API fits."""
    return status in REFUSING and _NO_CHAT_TEMPLATE.search(text) is not None


REFUSING = frozenset({400, 404, 422, 500, 501})
"""Statuses with which a body is refused; 500 is what a chat template that raises gives in some engines."""


def quirk(status: int, text: str, body: Body) -> Quirk | None:
    """The first row that the text of a refusal speaks of and that would change the body."""
    if status not in REFUSING:
        return None
    return next((row for row in QUIRKS if row.said.search(text) and row.change(body) is not None), None)


def adapted(body: Body, known: Collection[Quirk]) -> tuple[Body, list[Quirk]]:
    """The body as an endpoint with these quirks takes it, and those that changed it."""
    done = []
    for row in known:
        if (changed := row.change(body)) is not None:
            body = changed
            done.append(row)
    return body, done


FINISH_REASONS = {
    "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop", "stop_str": "stop", "complete": "stop", "done": "stop",
    "max_tokens": "length", "max_output_tokens": "length", "model_length": "length", "limit": "length",
    "safety": "content_filter", "recitation": "content_filter", "blocklist": "content_filter", "prohibited_content": "content_filter",
    "content-filter": "content_filter", "function_call": "tool_calls",
}  # fmt: skip
"""Other words for the OpenAI API's `stop`, `length`, `content_filter` and `tool_calls`."""


def finish_reason(said: Any) -> str | None:
    """In the OpenAI API's words where it has one; anything else as it was said."""
    if said is None:
        return None
    lower = str(said).lower()
    return lower if lower in FINISH_REASONS.values() else FINISH_REASONS.get(lower, str(said))


def without_thoughts(content: str) -> tuple[str, str]:
    """The answer, and what was thought before it: models whose engine does not part the two write `<think>...</think>` before the answer.

    The opening tag may be the chat template's and so not in the text. A thought that does not end leaves no answer.
    """
    opened = content.lstrip().startswith("<think>")
    thought, closed, answer = content.partition("</think>")
    if closed and (opened or "<think>" not in thought):
        return answer.lstrip("\r\n "), thought.strip().removeprefix("<think>").strip()
    if opened:
        return "", content.strip().removeprefix("<think>").strip()
    return content, ""
