"""How an endpoint is: its list of models, a cheap question that nearly every one answers, then one tiny completion.

Either alone tells too little. A server may list its models while completions fail, and some have no list; but a completion costs money,
and makes some engines load the model. So a model that answers is only asked for the list, time and again.
"""

import asyncio
import time

from services.predictor.answers import CallFailed, Trouble
from services.predictor.connections import ExchangeFailed
from services.predictor.dialects import wants_completions
from services.predictor.endpoint import Endpoint
from services.predictor.keys import KeyMissing
from services.predictor.listing import MAX_LIST_BYTES, in_short, lists, names_of, read_cards
from shared.contracts import ChatMessage, ModelStatus, ProbeAnswer
from shared.errors import FieldError, Invalid

QUESTION = [ChatMessage(role="user", content="Hi")]
FEWEST = {"max_tokens": 1}

USELESS = frozenset({401, 402, 403, 404, 405})
"""Statuses of a completion with which none will be answered: the key, the account, the name of the model or the path is wrong."""


async def probe(endpoint: Endpoint, within_s: float, *, complete: bool) -> ProbeAnswer:
    """Ask for the list, and with `complete` for a completion, all within `within_s` seconds.

    What fails for good, or with a 5xx, makes the model unreachable. A completion that only takes its time does not: the list was answered,
    and calls have deadlines of their own.
    """
    until = time.monotonic() + within_s
    try:
        async with asyncio.timeout(within_s):
            listed, said = await _list(endpoint)
    except TimeoutError:
        return _down(f"no answer within {within_s:g} s")
    except _Down as down:
        return _down(down.detail)
    if not complete:
        return ProbeAnswer(status=ModelStatus.RUNNING, detail=said, listed=listed)
    answer = await _complete(endpoint, until - time.monotonic(), said, listed=listed)
    answer.listed = listed
    return answer


class _Down(Exception):
    """The endpoint cannot be used; `detail` says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


async def names_at(endpoint: Endpoint, within_s: float) -> list[str]:
    """The names of the models that it lists. Raises `Invalid` of `base_url` where there is no list to be had."""
    try:
        async with asyncio.timeout(within_s):
            names, said = await _names(endpoint)
    except TimeoutError:
        names, said = None, f"no answer within {within_s:g} s"
    except _Down as down:
        names, said = None, down.detail
    if names is None:
        error: FieldError = {"loc": ["base_url"], "msg": f"cannot be asked for its models: {said}"}
        raise Invalid(f"base_url {error['msg']}", [error])
    return [name for name in names if endpoint.without_key(name) == name]


async def _names(endpoint: Endpoint) -> tuple[list[str] | None, str]:
    """The names that it lists, or None and, in words, what came in the place of a list."""
    try:
        response = await endpoint.get("models", limit=MAX_LIST_BYTES)
    except KeyMissing as error:
        raise _Down(error.reason) from error
    except ExchangeFailed as error:
        raise _Down(f"cannot connect: {error.reason}") from error
    if response.status in (401, 403):
        raise _Down(f"HTTP {response.status}: the endpoint refuses the API key, or wants one")
    if response.status >= 500 or 300 <= response.status < 400:
        redirected = "; redirects are not followed" if response.status < 400 else ""
        raise _Down(f"HTTP {response.status} to GET {endpoint.model.base_url.rstrip('/')}/models{redirected}")
    cards = read_cards(response.body) if response.status == 200 else None
    if cards is None:
        return None, f"HTTP {response.status} to GET /models, which is no list of models"
    return names_of(cards), ""


async def _list(endpoint: Endpoint) -> tuple[bool | None, str]:
    """Whether the model is listed (None: there is no list), and that in words."""
    names, said = await _names(endpoint)
    if names is None:
        return None, said
    if lists(names, endpoint.model.model):
        return True, "GET /models lists it"
    listed = endpoint.without_key(in_short(names))
    return False, f"GET /models does not list {endpoint.model.model!r}, but {listed}"


async def _complete(endpoint: Endpoint, within_s: float, said: str, *, listed: bool | None) -> ProbeAnswer:
    began = time.monotonic()
    try:
        async with asyncio.timeout(within_s):
            await endpoint.ask(QUESTION, FEWEST)
    except TimeoutError:
        return ProbeAnswer(
            status=ModelStatus.RUNNING,
            detail=f"{said}; a first completion takes longer than {max(0.1, within_s):.1f} s",
        )
    except CallFailed as failure:
        detail = f"{said}; a tiny completion: {failure.message}"
        if hint := _hint(endpoint, failure, listed=listed):
            return _down(f"{detail}; {hint}")
        return ProbeAnswer(
            status=ModelStatus.RUNNING if _alive(failure, listed=bool(listed)) else ModelStatus.UNREACHABLE,
            detail=detail,
        )
    return ProbeAnswer(
        status=ModelStatus.RUNNING,
        detail="it answers" if listed else f"it answers; {said}",
        latency_ms=round((time.monotonic() - began) * 1000, 3),
    )


def _hint(endpoint: Endpoint, failure: CallFailed, *, listed: bool | None) -> str | None:
    """What would be right, where no call can be answered and the reason is known."""
    model = endpoint.model
    if model.api == "chat" and wants_completions(failure.status or 0, failure.message):
        return "a base model has no chat template: the API completions fits it"
    if failure.status == 404 and listed is None and not model.base_url.endswith("/v1"):
        return "most base URLs end with /v1"
    return None


def _alive(failure: CallFailed, *, listed: bool) -> bool:
    """Whether a completion that failed leaves hope for others: it came too soon or too many, took its time, or was refused for what it
    is, by an endpoint that knows the model."""
    if failure.trouble in (Trouble.REFUSED, Trouble.TIMEOUT):
        return True
    return listed and failure.trouble is None and failure.status not in USELESS


def _down(detail: str) -> ProbeAnswer:
    return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=detail)
