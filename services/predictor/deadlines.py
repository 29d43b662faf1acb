"""How long a call may take: in all, to its first token, and from one token to the next.

The total holds for every call, so that one that hangs ends. Of a streamed one more can be told: an endpoint that has sent nothing
for a minute, or has stopped in the middle, will hardly go on, and its slot is worth more to another item. The time to connect is
bounded by the connections.
"""

import asyncio
from types import TracebackType
from typing import Literal, Self

from services.predictor.answers import CallFailed, Trouble
from shared.contracts import ModelEndpoint

Bound = Literal["total", "first token", "token"]


class Deadline:
    """The deadlines of one call; as a context it raises `TimeoutError` once one has passed, which `missed` then names."""

    def __init__(self, model: ModelEndpoint) -> None:
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + model.timeout_s
        self._bound: Bound = "total"
        at = self._ends_at
        if model.stream and model.first_token_timeout_s < model.timeout_s:
            self._bound, at = "first token", self._loop.time() + model.first_token_timeout_s
        self._timeout = asyncio.timeout_at(at)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    def token_came(self) -> None:
        """From now on the next token is waited for."""
        at = self._loop.time() + self._model.token_timeout_s
        self._bound, at = ("token", at) if at < self._ends_at else ("total", self._ends_at)
        self._timeout.reschedule(at)

    def missed(self) -> CallFailed:
        """The failure of a call whose deadline has passed."""
        match self._bound:
            case "first token":
                message = f"no token within {self._model.first_token_timeout_s:g} s"
            case "token":
                message = f"no further token within {self._model.token_timeout_s:g} s"
            case _:
                message = f"no answer within {self._model.timeout_s:g} s"
        return CallFailed(message, retryable=True, kind="a timeout", trouble=Trouble.TIMEOUT)
