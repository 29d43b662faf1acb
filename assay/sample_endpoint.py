"""A sample endpoint with the OpenAI API, on loopback, for demos, tests and benchmarks: `python -m assay.sample_endpoint`.

Its models answer word problems (see `assay.sample_word_problems`), each as well as its skill says and always in the same way. It counts what
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
import resource
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import orjson
import uvloop
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.sample_behaviour import GOOD, Behaviour
from assay.sample_call import Call
from assay.sample_model import SampleModel
from assay.sample_responses import Refused, error_response, first_wrong, json_response
from assay.sample_served import ServedModel, Tally
from assay.sample_serving import serve
from assay.sample_solver import Solver

DEFAULT_MODELS = ("sample-95", "sample-80", "sample-60")


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
        self._served = {model.name: ServedModel(model) for model in map(SampleModel.parse, models)}
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

    def _chosen(self, model: str | None) -> list[ServedModel]:
        return list(self._served.values()) if model is None else [self._served[model]]

    def _changed(self) -> None:
        for reached, future in self._waiters:
            if not future.done() and reached():
                future.set_result(None)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            return error_response(404, f"unknown: {request.method} {request.path}")
        if self._authorization is not None and request.path.startswith("/v1/"):
            given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self._authorization):
                return error_response(401, "Incorrect API key provided", code="invalid_api_key")
        try:
            return await handler(request)
        except orjson.JSONDecodeError as error:
            return error_response(400, f"the body must be JSON: {error}")
        except Refused as refused:
            return refused.response
        except ValidationError as error:
            name, message = first_wrong(error)
            return error_response(422, message, param=name or None)

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._admit(request, Call.of(orjson.loads(await request.read()), True, self._served))

    async def _completion(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._admit(request, Call.of(orjson.loads(await request.read()), False, self._served))

    async def _admit(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Counts the call in and out, whatever becomes of it. A refused call is in flight too, for the moment it takes."""
        served = call.served
        served.tally.enter()
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        if self._waiters:
            self._changed()
        try:
            return await serve(request, call, self._solver)
        finally:
            served.tally.in_flight -= 1
            self._in_flight -= 1
            if self._waiters:
                self._changed()

    async def _models(self, request: web.BaseRequest) -> web.Response:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "assay"} for name in self._served]
        return json_response({"object": "list", "data": models})

    async def _health(self, request: web.BaseRequest) -> web.Response:
        return json_response({"status": "ok"})

    async def _get_stats(self, request: web.BaseRequest) -> web.Response:
        return json_response(self.stats())

    async def _post_reset(self, request: web.BaseRequest) -> web.Response:
        self.reset()
        return json_response({})

    async def _get_behaviour(self, request: web.BaseRequest) -> web.Response:
        return json_response({name: served.behaviour.model_dump() for name, served in self._served.items()})

    async def _post_behaviour(self, request: web.BaseRequest) -> web.Response:
        """Takes the place of the former behaviour: a field that is not given has its default again."""
        body = orjson.loads(await request.read())
        model = body.pop("model", None) if isinstance(body, dict) else None
        behaviour = Behaviour.model_validate(body)
        self.behave(GOOD if behaviour == GOOD else behaviour, self._known(model))
        return json_response(behaviour.model_dump())

    async def _post_gate(self, request: web.BaseRequest) -> web.Response:
        ask = _GateAsk.model_validate(orjson.loads(await request.read()))
        (self.close_gate if ask.closed else self.open_gate)(self._known(ask.model))
        return json_response({"closed": ask.closed})

    async def _get_wait(self, request: web.BaseRequest) -> web.Response:
        ask = _WaitAsk.model_validate(dict(request.query))
        self._known(ask.model)
        try:
            await self.wait(**ask.model_dump())
        except TimeoutError:
            return error_response(408, f"not reached within {ask.timeout_s:g} s; GET /stats shows the counts")
        return json_response(self.stats())

    def _known(self, model: Any) -> str | None:
        if model is None or (isinstance(model, str) and model in self._served):
            return model
        raise Refused(error_response(404, f"The model {model!r} does not exist", code="model_not_found", param="model"))


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
        parser.error(f"--behaviour: {first_wrong(error)[1]}")
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
