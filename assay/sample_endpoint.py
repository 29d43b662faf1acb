"""A sample endpoint with the OpenAI API, on loopback, for demos, tests and benchmarks: `python -m assay.sample_endpoint`.

Its models answer word problems (see `assay.sample_solver`), each as well as its skill says and always in the same way. It counts what
it was asked and what it answered, and misbehaves on request:

    GET  /v1/models   POST /v1/chat/completions   POST /v1/completions    the API, streamed or not
    GET  /healthz
    GET  /stats       POST /reset                  counts by model; set them to zero
    GET  /behaviour   POST /behaviour              how the models misbehave, as `Behaviour` says, and `model` (default: all)
    POST /gate        {"closed": true, "model"?}   calls wait until the gate is opened again
    GET  /wait        ?requests=&answered=&in_flight=&model=&timeout_s=    answers once the counts are reached, else 408

`max_tokens`, `stop` and `temperature` are accepted and change nothing.
Protocol: https://platform.openai.com/docs/api-reference/chat, and server-sent events as the HTML standard defines them.
"""

import argparse
import asyncio
import hmac
import ipaddress
import re
import resource
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Self

import orjson
import uvloop
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from assay.sample_solver import Answer, SampleModel, Solver, draw

DEFAULT_MODELS = ("sample-95", "sample-80", "sample-60")

Fate = Literal["answer", "error_500", "hang", "cut", "malformed", "empty"]


class Behaviour(BaseModel):
    """How a model misbehaves. Without any field it doesn't.

    Which call meets which fate depends on `seed`, the prompt and how often the prompt was asked before (calls refused with 429 don't
    count), so it is the same whatever the order of the calls, and a retry of a call may pass.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    latency_ms: float = Field(default=0, ge=0)
    jitter_ms: float = Field(default=0, ge=0, description="at most so much is added to the latency")
    token_ms: float = Field(default=0, ge=0, description="before each streamed token")
    rate_limit_per_s: float | None = Field(
        default=None, gt=0, description="429 above it; a second's worth may come at once"
    )
    max_concurrent: int | None = Field(default=None, ge=1, description="429 to calls above it")
    retry_after_s: float | None = Field(default=1, ge=0, description="Retry-After of a 429; null sends none")
    error_500_rate: float = Field(default=0, ge=0, le=1)
    hang_rate: float = Field(default=0, ge=0, le=1)
    hang_after_tokens: int = Field(
        default=0, ge=0, description="a streamed answer that hangs sends so many tokens first"
    )
    cut_rate: float = Field(default=0, ge=0, le=1, description="the connection is closed in the middle of the answer")
    malformed_rate: float = Field(default=0, ge=0, le=1, description="status 200 with broken JSON")
    empty_rate: float = Field(default=0, ge=0, le=1, description="an answer with empty content")
    error_400: str | None = Field(
        default=None, min_length=1, description="prompts that contain it are refused by a content filter"
    )
    html_errors: bool = Field(default=False, description="a 500 is a page of HTML, as from a proxy")
    no_usage: bool = False
    reasoning: bool = Field(default=False, description="adds reasoning_content")
    finish_reason: str | None = "stop"

    def _rates(self) -> list[tuple[Fate, float]]:
        return [
            ("error_500", self.error_500_rate),
            ("hang", self.hang_rate),
            ("cut", self.cut_rate),
            ("malformed", self.malformed_rate),
            ("empty", self.empty_rate),
        ]

    @model_validator(mode="after")
    def _one_fate_each(self) -> Self:
        if sum(rate for _, rate in self._rates()) > 1 + 1e-9:
            raise ValueError(
                "error_500_rate, hang_rate, cut_rate, malformed_rate and empty_rate must add up to at most 1"
            )
        return self

    def fate(self, prompt: str, nth: int) -> Fate:
        """What the nth call (from 1) with this prompt comes to: one draw over all rates."""
        chance = draw("fate", self.seed, nth, prompt)
        for fate, rate in self._rates():
            if chance < rate:
                return fate
            chance -= rate
        return "answer"

    def delay_s(self, prompt: str, nth: int) -> float:
        jitter = self.jitter_ms * draw("jitter", self.seed, nth, prompt) if self.jitter_ms else 0
        return (self.latency_ms + jitter) / 1000


GOOD = Behaviour()


@dataclass(slots=True)
class Tally:
    """Counts of calls. One is in flight from the moment its body is read until its answer is handed over to be sent.

    With none in flight, requests = answered + refused_429 + errors_400 + errors_500 + hung + cut + malformed + abandoned, and always
    answered = right + wrong + unknown + empty. `abandoned` calls lost their client, or the endpoint stopped, before the answer.
    """

    requests: int = 0
    answered: int = 0
    right: int = 0
    wrong: int = 0
    unknown: int = 0
    empty: int = 0
    refused_429: int = 0
    errors_400: int = 0
    errors_500: int = 0
    hung: int = 0
    cut: int = 0
    malformed: int = 0
    abandoned: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    asked: Counter[bytes] = field(default_factory=Counter)
    """Calls by hash of the prompt, without those refused with 429."""
    answered_right: set[bytes] = field(default_factory=set)

    def enter(self) -> None:
        self.requests += 1
        self.in_flight += 1
        if self.in_flight > self.max_in_flight:
            self.max_in_flight = self.in_flight

    def counts(self) -> dict[str, int]:
        counts = {name: getattr(self, name) for name in self.__slots__ if name not in ("asked", "answered_right")}
        return {
            **counts,
            "distinct": len(self.asked),
            "right_distinct": len(self.answered_right),
            "max_calls_per_prompt": max(self.asked.values(), default=0),
        }


class _Served:
    """A model with its behaviour, its counts, and what limits its calls."""

    def __init__(self, model: SampleModel) -> None:
        self.model = model
        self.tally = Tally()
        self.gate = asyncio.Event()
        self.gate.set()
        self.behave(GOOD)

    def behave(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._allowance = max(1.0, behaviour.rate_limit_per_s or 0)
        self._allowed_at = time.monotonic()

    def reset(self) -> None:
        self.tally = Tally(in_flight=self.tally.in_flight, max_in_flight=self.tally.in_flight)

    def has_room(self) -> bool:
        """Whether the call that has just come is within the limits; a token bucket keeps the rate."""
        if self.behaviour.max_concurrent is not None and self.tally.in_flight > self.behaviour.max_concurrent:
            return False
        if (rate := self.behaviour.rate_limit_per_s) is not None:
            now = time.monotonic()
            self._allowance = min(max(1.0, rate), self._allowance + (now - self._allowed_at) * rate)
            self._allowed_at = now
            if self._allowance < 1:
                return False
            self._allowance -= 1
        return True


@dataclass(frozen=True, slots=True)
class _Call:
    """A request to a model, understood. `prompt` is the last user message, `words` the length of all messages."""

    served: _Served
    chat: bool
    prompt: str
    words: int
    stream: bool
    include_usage: bool
    digest: bytes

    @classmethod
    def of(cls, body: Any, chat: bool, served: dict[str, _Served]) -> Self:
        """Raises `_Refused` as OpenAI's API would refuse `body`."""
        if not isinstance(body, dict):
            raise _Refused(_error(400, "the body must be a JSON object"))
        name = body.get("model")
        if not isinstance(name, str) or name not in served:
            raise _Refused(_error(404, f"The model {name!r} does not exist", code="model_not_found", param="model"))
        if chat:
            prompt, words = _last_user_text(body.get("messages"))
        else:
            text = body.get("prompt")
            if not isinstance(text, str):
                raise _Refused(_error(400, "prompt must be a text", param="prompt"))
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


class _Refused(Exception):
    def __init__(self, response: web.Response) -> None:
        self.response = response


_REASONING = "Which numbers are given, and what is asked for?"


def _tokens(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _sse(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _last_user_text(messages: Any) -> tuple[str, int]:
    """The text of the last user message, and the words of all messages."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _Refused(_error(400, "messages must be a list of objects", param="messages"))
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
        raise _Refused(_error(400, "messages must have one of the user, with a text", param="messages"))
    return prompt, words


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def _error(
    status: int, message: str, *, code: str | None = None, param: str | None = None, kind: str = "invalid_request_error"
) -> web.Response:
    return _json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


class _Ask(BaseModel):
    """What `/gate` and `/wait` take."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None


class _GateAsk(_Ask):
    closed: bool


class _WaitAsk(_Ask):
    requests: int | None = Field(default=None, ge=0)
    answered: int | None = Field(default=None, ge=0)
    in_flight: int | None = Field(default=None, ge=0)
    timeout_s: float = Field(default=30, gt=0, le=3600)


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class SampleEndpoint:
    """The endpoint as an object: `async with SampleEndpoint() as endpoint: ... endpoint.base_url`.

    `models` are `NAME` or `NAME=SKILL`, `answers` gold files (JSONL); with `api_key`, `/v1` asks for it. `port` 0 takes a free one.
    Raises `ValueError` for a wrong model, gold file, host or port. Everything is to be used from the event loop that started it.
    """

    def __init__(
        self,
        models: Sequence[str] = DEFAULT_MODELS,
        *,
        answers: Iterable[Path] = (),
        behaviour: Behaviour = GOOD,
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if host != "localhost" and not _is_loopback(host):
            raise ValueError(f"host {host!r}: must be a loopback address, such as 127.0.0.1")
        if not 0 <= port <= 65_535:  # uvloop would take it modulo 65,536
            raise ValueError(f"port {port}: must be from 0 to 65535")
        self._host, self._port = host, port
        self._solver = Solver(answers)
        self._served = {model.name: _Served(model) for model in map(SampleModel.parse, models)}
        self.behave(behaviour)
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()
        self._in_flight = self._most_in_flight = 0
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._runner: web.ServerRunner | None = None
        self._routes: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._completion,
            ("GET", "/v1/models"): self._models,
            ("GET", "/healthz"): self._health,
            ("GET", "/stats"): self._get_stats,
            ("POST", "/reset"): self._post_reset,
            ("GET", "/behaviour"): self._get_behaviour,
            ("POST", "/behaviour"): self._post_behaviour,
            ("POST", "/gate"): self._post_gate,
            ("GET", "/wait"): self._get_wait,
        }

    async def start(self) -> None:
        """Listens. Raises `OSError` where the address is taken."""
        # Without cancellation a hung call would stay in flight after its client has gone.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=4096).start()

    async def stop(self) -> None:
        """Stops listening, and ends what is in flight."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The root, under which `/stats` and the like are."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the sample endpoint is not listening: start it first")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as `base_url`."""
        return f"{self.url}/v1"

    def behave(self, behaviour: Behaviour = GOOD, model: str | None = None) -> None:
        """Sets the whole behaviour of one model, or of all. Raises `KeyError` for an unknown model, as all that take one."""
        for served in self._chosen(model):
            served.behave(behaviour)

    def close_gate(self, model: str | None = None) -> None:
        """Calls from now on wait, in flight, until the gate is opened."""
        for served in self._chosen(model):
            served.gate.clear()

    def open_gate(self, model: str | None = None) -> None:
        for served in self._chosen(model):
            served.gate.set()

    def reset(self) -> None:
        """All counts to zero, except for the calls in flight."""
        self._most_in_flight = self._in_flight
        for served in self._served.values():
            served.reset()

    def stats(self) -> dict[str, Any]:
        """`{"models": {name: counts}, "total": counts}`, the counts of `Tally` and what follows from them; a total is over all models."""
        models = {name: served.tally.counts() for name, served in self._served.items()}
        total = {name: sum(counts[name] for counts in models.values()) for name in Tally().counts()}
        total["max_in_flight"] = self._most_in_flight
        total["max_calls_per_prompt"] = max((counts["max_calls_per_prompt"] for counts in models.values()), default=0)
        return {"models": models, "total": total}

    async def wait(
        self,
        *,
        requests: int | None = None,
        answered: int | None = None,
        in_flight: int | None = None,
        model: str | None = None,
        timeout_s: float = 30,
    ) -> None:
        """Returns once there have been so many calls, so many answers and so many calls in flight at the same time (0: none any more).

        Raises `TimeoutError`.
        """
        chosen = self._chosen(model)

        def reached() -> bool:
            flying = sum(served.tally.in_flight for served in chosen)
            return (
                (requests is None or sum(served.tally.requests for served in chosen) >= requests)
                and (answered is None or sum(served.tally.answered for served in chosen) >= answered)
                and (in_flight is None or (flying >= in_flight if in_flight else flying == 0))
            )

        if not reached():
            waiter = (reached, asyncio.get_running_loop().create_future())
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(timeout_s):
                    await waiter[1]
            finally:
                self._waiters.remove(waiter)

    def _chosen(self, model: str | None) -> list[_Served]:
        return list(self._served.values()) if model is None else [self._served[model]]

    def _changed(self) -> None:
        for reached, future in self._waiters:
            if not future.done() and reached():
                future.set_result(None)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            return _error(404, f"unknown: {request.method} {request.path}")
        if self._authorization is not None and request.path.startswith("/v1/"):
            given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self._authorization):
                return _error(401, "Incorrect API key provided", code="invalid_api_key")
        try:
            return await handler(request)
        except orjson.JSONDecodeError as error:
            return _error(400, f"the body must be JSON: {error}")
        except _Refused as refused:
            return refused.response
        except ValidationError as error:
            name, message = _first_wrong(error)
            return _error(422, message, param=name or None)

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._admit(request, _Call.of(orjson.loads(await request.read()), True, self._served))

    async def _completion(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._admit(request, _Call.of(orjson.loads(await request.read()), False, self._served))

    async def _admit(self, request: web.BaseRequest, call: _Call) -> web.StreamResponse:
        """Counts the call in and out, whatever becomes of it. A refused call is in flight too, for the moment it takes."""
        served = call.served
        served.tally.enter()
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        if self._waiters:
            self._changed()
        try:
            return await self._serve(request, call)
        finally:
            served.tally.in_flight -= 1
            self._in_flight -= 1
            if self._waiters:
                self._changed()

    async def _serve(self, request: web.BaseRequest, call: _Call) -> web.StreamResponse:
        served = call.served
        if not served.has_room():
            served.tally.refused_429 += 1
            refusal = _error(429, "Rate limit reached", code="rate_limit_exceeded", kind="rate_limit_error")
            if (after := served.behaviour.retry_after_s) is not None:
                refusal.headers["Retry-After"] = f"{after:g}"
            return refusal
        served.tally.asked[call.digest] += 1
        nth = served.tally.asked[call.digest]
        fate: Fate | None = None
        try:
            if not served.gate.is_set():
                await served.gate.wait()
            behaviour = served.behaviour
            if behaviour is GOOD:
                answer = self._answer(call)
                _count(call, answer)
                return _whole(call, answer.text, GOOD)
            if delay := behaviour.delay_s(call.prompt, nth):
                await asyncio.sleep(delay)
            fate = behaviour.fate(call.prompt, nth)
            return await self._misbehave(request, call, behaviour, fate)
        except (asyncio.CancelledError, ConnectionError):
            if fate not in ("hang", "cut", "malformed"):
                served.tally.abandoned += 1
            raise

    async def _misbehave(
        self, request: web.BaseRequest, call: _Call, behaviour: Behaviour, fate: Fate
    ) -> web.StreamResponse:
        tally = call.served.tally
        if behaviour.error_400 is not None and behaviour.error_400 in call.prompt:
            tally.errors_400 += 1
            return _error(400, "The prompt was refused by the content filter", code="content_filter", param="prompt")
        if fate == "error_500":
            tally.errors_500 += 1
            if behaviour.html_errors:
                return web.Response(
                    text="<html><body><h1>500 Internal Server Error</h1></body></html>",
                    status=500,
                    content_type="text/html",
                )
            return _error(500, "The server had an error while processing your request", kind="server_error")
        if fate == "malformed":
            tally.malformed += 1
            broken = b'{"id": "chatcmpl-broken", "choices": [{"index": 0, '
            if call.stream:
                return web.Response(body=b"data: " + broken + b"\n\ndata: [DONE]\n\n", content_type="text/event-stream")
            return web.Response(body=broken, content_type="application/json")
        answer = self._answer(call)
        if fate == "hang":
            tally.hung += 1
            if call.stream and behaviour.hang_after_tokens:
                said = call.events(answer.text, behaviour)[: behaviour.hang_after_tokens + call.chat]
                await _stream(request, said, behaviour.token_ms)
            await asyncio.get_running_loop().create_future()
        if fate == "cut":
            tally.cut += 1
            return await _cut(request, call, answer.text, behaviour)
        if fate == "empty":
            answer = Answer("", answer.verdict)
        response: web.StreamResponse
        if call.stream and behaviour.token_ms:
            response = await _stream(request, call.events(answer.text, behaviour), behaviour.token_ms)
        else:
            response = _whole(call, answer.text, behaviour)
        _count(call, answer)
        return response

    def _answer(self, call: _Call) -> Answer:
        return call.served.model.answer(self._solver.look_up(call.prompt))

    async def _models(self, request: web.BaseRequest) -> web.Response:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "assay"} for name in self._served]
        return _json({"object": "list", "data": models})

    async def _health(self, request: web.BaseRequest) -> web.Response:
        return _json({"status": "ok"})

    async def _get_stats(self, request: web.BaseRequest) -> web.Response:
        return _json(self.stats())

    async def _post_reset(self, request: web.BaseRequest) -> web.Response:
        self.reset()
        return _json({})

    async def _get_behaviour(self, request: web.BaseRequest) -> web.Response:
        return _json({name: served.behaviour.model_dump() for name, served in self._served.items()})

    async def _post_behaviour(self, request: web.BaseRequest) -> web.Response:
        """Takes the place of the former behaviour: a field that is not given has its default again."""
        body = orjson.loads(await request.read())
        model = body.pop("model", None) if isinstance(body, dict) else None
        behaviour = Behaviour.model_validate(body)
        self.behave(GOOD if behaviour == GOOD else behaviour, self._known(model))
        return _json(behaviour.model_dump())

    async def _post_gate(self, request: web.BaseRequest) -> web.Response:
        ask = _GateAsk.model_validate(orjson.loads(await request.read()))
        (self.close_gate if ask.closed else self.open_gate)(self._known(ask.model))
        return _json({"closed": ask.closed})

    async def _get_wait(self, request: web.BaseRequest) -> web.Response:
        ask = _WaitAsk.model_validate(dict(request.query))
        self._known(ask.model)
        try:
            await self.wait(**ask.model_dump())
        except TimeoutError:
            return _error(408, f"not reached within {ask.timeout_s:g} s; GET /stats shows the counts")
        return _json(self.stats())

    def _known(self, model: Any) -> str | None:
        if model is None or (isinstance(model, str) and model in self._served):
            return model
        raise _Refused(_error(404, f"The model {model!r} does not exist", code="model_not_found", param="model"))


def _first_wrong(error: ValidationError) -> tuple[str, str]:
    """The first wrong field (empty where it is the whole) and a message that names it."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(map(str, first["loc"]))
    return name, f"{name}: {first['msg']}" if name else first["msg"]


def _count(call: _Call, answer: Answer) -> None:
    tally = call.served.tally
    tally.answered += 1
    if not answer.text:
        tally.empty += 1
    elif answer.verdict == "right":
        tally.right += 1
        tally.answered_right.add(call.digest)
    elif answer.verdict == "wrong":
        tally.wrong += 1
    else:
        tally.unknown += 1


def _whole(call: _Call, text: str, behaviour: Behaviour) -> web.Response:
    """The answer in one piece, as events where a stream was asked for."""
    if call.stream:
        return web.Response(body=b"".join(call.events(text, behaviour)), content_type="text/event-stream")
    return web.Response(body=call.body(text, behaviour), content_type="application/json")


async def _stream(request: web.BaseRequest, events: list[bytes], token_ms: float) -> web.StreamResponse:
    """The events one by one."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        if token_ms:
            await asyncio.sleep(token_ms / 1000)
        await response.write(event)
    return response


async def _cut(request: web.BaseRequest, call: _Call, text: str, behaviour: Behaviour) -> web.StreamResponse:
    """Half of the answer, then the end of the connection: the body is shorter than its header says."""
    whole = _whole(call, text, behaviour)
    assert isinstance(whole.body, bytes)
    response = web.StreamResponse(headers={"Content-Type": whole.content_type, "Content-Length": str(len(whole.body))})
    await response.prepare(request)
    await response.write(whole.body[: len(whole.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _run(endpoint: SampleEndpoint) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with endpoint:
        print(f"Sample endpoint: {endpoint.base_url}", flush=True)
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A wrong argument ends with status 2 and one message."""
    parser = argparse.ArgumentParser(
        prog="python -m assay.sample_endpoint", description="A sample endpoint with the OpenAI API."
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument(
        "--answers", type=Path, nargs="+", action="extend", default=[], metavar="FILE.jsonl", help="gold answers"
    )
    parser.add_argument(
        "--models", nargs="+", action="extend", metavar="NAME[=SKILL]", help="default: " + " ".join(DEFAULT_MODELS)
    )
    parser.add_argument("--behaviour", default="{}", metavar="JSON", help="as for POST /behaviour")
    parser.add_argument("--api-key", help="what /v1 asks for as a bearer token")
    given = parser.parse_args(arguments)
    try:
        behaviour = Behaviour.model_validate_json(given.behaviour)
        endpoint = SampleEndpoint(
            given.models or DEFAULT_MODELS,
            answers=given.answers,
            behaviour=GOOD if behaviour == GOOD else behaviour,
            api_key=given.api_key,
            host=given.host,
            port=given.port,
        )
        # A connection is a file: the default soft limit of 1024 is fewer than a wide benchmark opens.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        uvloop.run(_run(endpoint))
    except ValidationError as error:
        parser.error(f"--behaviour: {_first_wrong(error)[1]}")
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
