"""One model's endpoint and the calls to it, each within the model's deadlines.

Every model has connections of its own, so that one that hangs holds up no other.
"""

import time
from typing import Any

import httpx
import orjson

from services.predictor.answers import (
    MAX_ANSWER_BYTES,
    Answer,
    CallFailed,
    StreamedAnswer,
    Trouble,
    read_answer,
    read_error,
    request_body,
    too_large,
)
from services.predictor.connections import (
    ConnectFailed,
    ConnectionBroke,
    Connections,
    ExchangeFailed,
    Response,
    ResponseTooLarge,
)
from services.predictor.deadlines import Deadline
from services.predictor.dialects import Quirk, adapted, quirk
from services.predictor.keys import KeyMissing, without_key
from shared.contracts import ChatMessage, Job, ModelEndpoint
from shared.networks import Networks


class Endpoint:
    """Calls one model. `api_key` is plain and stays in this object; `ValueError` where it cannot be sent. Where it is `missing`,
    for this reason, every call and probe fails with that, and nothing is sent."""

    def __init__(
        self, model: ModelEndpoint, api_key: str | None, networks: Networks, missing: str | None = None
    ) -> None:
        self.model = model
        self._api_key = api_key
        self._missing = missing
        self._quirks: list[Quirk] = []  # what it was found not to take
        base = httpx.URL(model.base_url.rstrip("/") + "/")
        self._call_path = base.raw_path + (b"chat/completions" if model.api == "chat" else b"completions")
        self._base_path = base.raw_path
        self._connections = Connections(
            base,
            {
                "Accept": "application/json, text/event-stream",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "assay",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            },
            model.connect_timeout_s,
            networks,
        )

    def close(self) -> None:
        """Close what is idle; calls under way go on."""
        self._connections.close()

    async def call(self, job: Job) -> Answer:
        """One call for one sample, within the model's deadlines; raises `CallFailed` with what went wrong."""
        return await self.ask(job.messages, job.params)

    async def ask(self, messages: list[ChatMessage], params: dict[str, Any]) -> Answer:
        """See `call`."""
        try:
            answer = await self._ask(messages, params)
        except CallFailed as failure:
            failure.message = self.without_key(failure.message)
            failure.args = (failure.message,)
            raise
        answer.output = self.without_key(answer.output)
        answer.reasoning = self.without_key(answer.reasoning)
        if answer.finish_reason:
            answer.finish_reason = self.without_key(answer.finish_reason)
        return answer

    async def _ask(self, messages: list[ChatMessage], params: dict[str, Any]) -> Answer:
        body = request_body(self.model.api, self.model.model, messages, params, stream=self.model.stream)
        deadline = Deadline(self.model)
        try:
            async with deadline:
                while True:
                    sent, changes = adapted(body, self._quirks) if self._quirks else (body, [])
                    try:
                        answer = await self._sent(orjson.dumps(sent), deadline)
                    except CallFailed as failure:
                        found = quirk(failure.status or 0, failure.message, sent)
                        # Another call may have learned it meanwhile.
                        if found is not None and found not in self._quirks:
                            self._quirks.append(found)
                        # One that is refused for what has been changed already would be sent again until its deadline.
                        if found is None or adapted(body, self._quirks)[0] == sent:
                            raise
                    else:
                        answer.adapted = [row.told for row in changes]
                        return answer
        except TimeoutError as error:
            raise deadline.missed() from error
        except ExchangeFailed as error:
            raise _call_failed(error) from error

    async def _sent(self, body: bytes, deadline: Deadline) -> Answer:
        if self._missing:
            raise KeyMissing(self._missing)
        if self.model.stream:
            return await self._streamed(body, deadline)
        return _whole(await self._connections.exchange(b"POST", self._call_path, body, limit=MAX_ANSWER_BYTES))

    async def _streamed(self, body: bytes, deadline: Deadline) -> Answer:
        began = time.monotonic()
        async with self._connections.stream(b"POST", self._call_path, body, limit=MAX_ANSWER_BYTES) as response:
            if response.status != 200 or "text/event-stream" not in (response.header("content-type") or ""):
                response.body = await _read(response)
                return _whole(response)
            answer = StreamedAnswer()
            rest = b""
            async for chunk in response.chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_ANSWER_BYTES:
                    raise too_large()
                for line in lines:
                    answer.feed(line.decode("utf-8", "replace").rstrip("\r"), time.monotonic() - began)
                if answer.done:
                    break
                if answer.ttft_s is not None:
                    deadline.token_came()
            if rest:
                answer.feed(rest.decode("utf-8", "replace").rstrip("\r"), time.monotonic() - began)
            return answer.answer()

    async def get(self, path: str, *, limit: int) -> Response:
        """`GET base_url/path`, a body of `limit` bytes at most. Raises `ExchangeFailed`."""
        if self._missing:
            raise KeyMissing(self._missing)
        return await self._connections.exchange(b"GET", self._base_path + path.encode(), limit=limit)

    def without_key(self, text: str) -> str:
        """What an endpoint said, without the key that it may repeat."""
        return without_key(text, self._api_key)


def _whole(response: Response) -> Answer:
    if response.status != 200:
        raise read_error(response.status, response.body, response.header("retry-after"), time.time())
    return read_answer(response.body)


async def _read(response: Response) -> bytes:
    """The whole body of a streamed response, within the limit."""
    chunks, size = [], 0
    async for chunk in response.chunks():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _call_failed(error: ExchangeFailed) -> CallFailed:
    match error:
        case ResponseTooLarge():
            return too_large()
        case KeyMissing():
            return CallFailed(error.reason, retryable=True, kind="no API key", trouble=Trouble.UNREACHABLE)
        case ConnectFailed(timed_out=True):
            return CallFailed(error.reason, retryable=True, kind="a connect timeout", trouble=Trouble.UNREACHABLE)
        case ConnectFailed():
            return CallFailed(
                f"cannot connect: {error.reason}",
                retryable=True,
                kind="cannot connect",
                trouble=Trouble.UNREACHABLE,
            )
        case ConnectionBroke() | _:
            return CallFailed(
                f"the connection broke: {error.reason}",
                retryable=True,
                kind="a broken connection",
                trouble=Trouble.FAILING,
            )
