"""The SDK for asyncio: `AsyncClient`, with the methods of `client.Client` to await and its iterators to iterate with `async for`."""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from assay import calls, downloads
from assay.address import Address
from assay.errors import AssayError, ChecksumMismatch, ConnectionFailed, TimedOut, Unavailable, api_error
from assay.live import Feed, Reconnects
from assay.pack import packed, packed_source
from shared.api import (
    EndpointModels,
    Environment,
    EnvironmentDetail,
    Evaluation,
    EvaluationsCreated,
    EventOut,
    File,
    Item,
    LeaderboardAnswer,
    LocalEndpoint,
    Model,
    Page,
    Parked,
    Result,
    SettingsVersion,
)
from shared.contracts import EngineTemplate

T = TypeVar("T")


class AsyncClient:
    """A connection to a gateway; the arguments are those of `Client`."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        *,
        backoff: Sequence[float] = calls.BACKOFF_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = Address.resolve(url, api_key)
        self._backoff = backoff
        self._http = httpx.AsyncClient(
            base_url=self.address.url,
            headers=self.address.headers,
            timeout=timeout,
            transport=transport,
            trust_env=not self.address.loopback,
        )
        self.environments = AsyncEnvironments(self)
        self.models = AsyncModels(self)
        self.evaluations = AsyncEvaluations(self)
        self.events = AsyncEvents(self)
        self.parked = AsyncParkedMessages(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, call: calls.Call[T]) -> T:
        """Sends one call, again where that may help, and returns its answer."""
        headers = call.headers()
        attempt = 0
        while True:
            try:
                with call.request() as request:
                    response = await self._http.request(**request, headers=headers)
                return call.read(response, attempt)
            except httpx.RequestError as error:
                failed: AssayError = calls.failure(self.address.url, error)
            except Unavailable as error:
                failed = error
            if attempt == len(self._backoff) or not calls.curable(failed):
                raise failed from None
            await asyncio.sleep(self._backoff[attempt])
            attempt += 1

    async def pages(self, call: calls.Call[Page[T]]) -> AsyncIterator[T]:
        """The items of a list, a page at a time as they are asked for."""
        page = await self.send(call)
        for item in page.items:
            yield item
        while page.next is not None:
            page = await self.send(call.at(page.next))
            for item in page.items:
                yield item

    async def save(self, path: str, into: downloads.Download) -> None:
        """Streams the answer to a GET into a download. Raises `ConnectionFailed` where it breaks off."""
        try:
            async with self._http.stream("GET", path) as response:
                if not response.is_success:
                    raise api_error(response.status_code, await response.aread(), response.reason_phrase)
                with into:
                    async for chunk in response.aiter_bytes(downloads.CHUNK):
                        into.write(chunk)
        except httpx.RequestError as error:
            raise calls.failure(self.address.url, error) from None


class AsyncEnvironments:
    """`/v1/environments`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def push(self, path: str | os.PathLike[str]) -> Environment:
        """Registers the bundle at `path`, a folder or a zip. `Invalid.errors` name file, line and field."""
        with ExitStack() as stack:
            bundle = await asyncio.to_thread(stack.enter_context, packed(path))
            return await self._client.send(calls.push_environment(bundle))

    async def import_(
        self, format: str, path: str | os.PathLike[str] | None = None, **options: Any
    ) -> EnvironmentDetail:
        """As `Environments.import_`."""
        with ExitStack() as stack:
            source = None if path is None else await asyncio.to_thread(stack.enter_context, packed_source(path))
            return await self._client.send(calls.import_environment(format, source, options))

    def list(self, q: str | None = None, tags: Iterable[str] = ()) -> AsyncIterator[Environment]:
        """The latest version of each, newest first: those with `q` in slug, title, description or a tag, and with all of `tags`."""
        return self._client.pages(calls.list_environments(q, tags))

    def versions(self, slug: str) -> AsyncIterator[Environment]:
        """Every version, newest first; each is evaluated as `slug@version`."""
        return self._client.pages(calls.list_versions(slug))

    async def get(self, slug: str) -> EnvironmentDetail:
        return await self._client.send(calls.get_environment(slug))

    def items(self, slug: str, phase: str | None = None) -> AsyncIterator[Item]:
        """The test cases of a phase, the first one by default; `target` is None for a viewer's key."""
        return self._client.pages(calls.list_items(slug, phase))

    async def leaderboard(self, slug: str, phase: str | None = None) -> LeaderboardAnswer:
        """All rows of a phase's leaderboard, the first phase's by default."""
        call = calls.get_leaderboard(slug, phase)
        answer = page = await self._client.send(call)
        while page.next is not None:
            page = await self._client.send(call.at(page.next))
            answer.items.extend(page.items)
        return answer.model_copy(update={"next": None})


class AsyncModels:
    """`/v1/models`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def add(
        self,
        name: str,
        *,
        base_url: str | None = None,
        model: str | None = None,
        engine: calls.EngineOptions | None = None,
        **options: Unpack[calls.ModelOptions],
    ) -> Model:
        """Registers a model. `model` is its name at the endpoint; `base_url` ends before `/chat/completions`. Instead of an endpoint it
        may have an `engine`, such as `{"name": "vllm", "checkpoint": "/models/m0.26"}`."""
        return await self._client.send(calls.add_model(name, base_url, model, engine, **options))

    async def add_all(
        self, base_url: str, models: Iterable[str] | None = None, **options: Unpack[calls.ModelOptions]
    ) -> EndpointModels:
        """Registers every model that an endpoint lists, or of those the ones named in `models`, all or none. Those that are registered already are
        left as they are, and come back as `present`."""
        return await self._client.send(calls.add_models(base_url, models, **options))

    async def discover(self) -> Sequence[LocalEndpoint]:
        """Inference servers at their usual ports on the machine where Assay runs."""
        return (await self._client.send(calls.discover_models())).items

    def list(
        self, source: str | None = None, status: str | None = None, **filters: Unpack[calls.ModelFilter]
    ) -> AsyncIterator[Model]:
        """Newest first. Withdrawn ones only with `withdrawn=True`."""
        return self._client.pages(calls.list_models(source, status, **filters))

    def versions(self, model_id: str) -> AsyncIterator[SettingsVersion]:
        """The versions of its settings, newest first."""
        return self._client.pages(calls.list_settings_versions(model_id))

    async def get(self, model_id: str) -> Model:
        return await self._client.send(calls.get_model(model_id))

    async def update(self, model_id: str, **changes: Unpack[calls.ModelChanges]) -> Model:
        return await self._client.send(calls.update_model(model_id, **changes))

    async def delete(self, model_id: str) -> None:
        await self._client.send(calls.delete_model(model_id))

    async def publish(self, model_id: str) -> Model:
        """Offers a model as one of the platform's."""
        return await self._client.send(calls.publish_model(model_id))

    async def withdraw(self, model_id: str) -> Model:
        """Takes a model out of the platform's offer; it stays with its evaluations, and no new one can be started."""
        return await self._client.send(calls.withdraw_model(model_id))

    async def probe(self, model_id: str) -> Model:
        """Asks the endpoint now and returns the model with the status found."""
        return await self._client.send(calls.probe_model(model_id))

    async def start(self, model_id: str) -> Model:
        """Starts the model's engine; returns the model as it is then, mostly `starting`."""
        return await self._client.send(calls.start_model(model_id))

    async def stop(self, model_id: str) -> Model:
        """Stops the model's engine; returns the model as it is then. Raises `Conflict` while an evaluation needs it."""
        return await self._client.send(calls.stop_model(model_id))

    async def log(self, model_id: str) -> Sequence[str]:
        """The last lines that the model's engine wrote, oldest first."""
        return (await self._client.send(calls.get_engine_log(model_id))).lines

    async def engines(self) -> Sequence[EngineTemplate]:
        """What a launcher can start a checkpoint with."""
        return (await self._client.send(calls.list_engines())).items


class AsyncEvaluations:
    """`/v1/evaluations`. An evaluation is named by its id or number (`#678`, `678`)."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def start(
        self, environment: str, models: Iterable[str], **options: Unpack[calls.EvaluationOptions]
    ) -> EvaluationsCreated:
        """Starts one evaluation for each model id; `environment` is a slug or `slug@version`."""
        return await self._client.send(calls.start_evaluations(environment, models, **options))

    def list(self, **filters: Unpack[calls.EvaluationFilter]) -> AsyncIterator[Evaluation]:
        return self._client.pages(calls.list_evaluations(**filters))

    async def get(self, evaluation: str | int) -> Evaluation:
        return await self._client.send(calls.get_evaluation(evaluation))

    async def cancel(self, evaluation: str | int) -> Evaluation:
        return await self._client.send(calls.cancel_evaluation(evaluation))

    async def redrive(self, evaluation: str | int) -> Evaluation:
        """Calls again only what ended in `infra_error`."""
        return await self._client.send(calls.redrive_evaluation(evaluation))

    async def put_on_leaderboard(self, evaluation: str | int) -> Evaluation:
        """As `Evaluations.put_on_leaderboard`."""
        return await self._client.send(calls.put_on_leaderboard(evaluation))

    async def take_off_leaderboard(self, evaluation: str | int) -> None:
        """As `Evaluations.take_off_leaderboard`."""
        await self._client.send(calls.take_off_leaderboard(evaluation))

    def results(
        self,
        evaluation: str | int,
        *,
        outcome: str | None = None,
        correct: bool | None = None,
        q: str | None = None,
    ) -> AsyncIterator[Result]:
        """One row a test case, in the data's order; `q` searches their texts."""
        return self._client.pages(calls.list_results(evaluation, outcome, correct, q))

    async def files(self, evaluation: str | int) -> Sequence[File]:
        return [file async for file in self._client.pages(calls.list_files(evaluation))]

    async def download(self, evaluation: str | int, name: str, to: str | os.PathLike[str] = ".") -> Path:
        """Streams a file to `to`, a folder or the file itself, and returns its path once size and sha256 are verified."""
        path = downloads.destination(to, name)
        for last in (False, True):
            file = downloads.find(await self.files(evaluation), name)
            try:
                await self._client.save(calls.file_path(evaluation, name), downloads.Download(file, path))
                break
            except (ChecksumMismatch, ConnectionFailed):
                if last:
                    raise
        return path

    async def wait(self, evaluation: str | int, timeout: float | None = None) -> Evaluation:
        """Returns the evaluation once it has ended. Raises `TimedOut` after `timeout` seconds."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        async for _ in self._client.events.follow(Feed(self._client.address, evaluation), deadline):
            pass
        return await self.get(evaluation)


class AsyncParkedMessages:
    """`/v1/parked`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def list(self, evaluation: str | int | None = None) -> AsyncIterator[Parked]:
        return self._client.pages(calls.list_parked(evaluation))

    async def replay(self, parked: str | int) -> Parked:
        return await self._client.send(calls.replay_parked(parked))

    async def discard(self, parked: str | int) -> None:
        await self._client.send(calls.discard_parked(parked))


class AsyncEvents:
    """Live events (call it) and their history."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def history(self, evaluation: str | int, after: str | None = None) -> AsyncIterator[EventOut]:
        """The evaluation's log so far, after the cursor `after`."""
        return self._client.pages(calls.list_events(evaluation, after))

    def __call__(
        self, evaluation: str | int | None = None, after: str | None = None, types: Iterable[str] | None = None
    ) -> AsyncIterator[EventOut]:
        """Events as they happen, as `client.Events` says."""
        return self.follow(Feed(self._client.address, evaluation, after, types))

    async def follow(self, feed: Feed, deadline: float = math.inf) -> AsyncIterator[EventOut]:
        """The events of a feed; raises `TimedOut` once the monotonic clock passes `deadline`."""
        reconnects = Reconnects(self._client.address.url, deadline)
        while True:
            try:
                async with self._connect(feed) as socket:
                    while not (feed.in_doubt and await self._ended(feed)):
                        patience = reconnects.patience(time.monotonic())
                        try:
                            async with asyncio.timeout(patience):
                                text = await socket.recv()
                        except TimeoutError:
                            feed.idle()
                        else:
                            event = feed.take(text)
                            if feed.wanted(event):
                                yield event
                        reconnects.alive()
                return
            except TimedOut:
                raise
            except InvalidStatus as refusal:
                response = refusal.response
                feed.refused(response.status_code, bytes(response.body or b""), response.reason_phrase)
            except ConnectionClosed as closed:
                feed.closed(closed.rcvd)
            except (OSError, WebSocketException, ConnectionFailed, Unavailable):
                pass
            await asyncio.sleep(reconnects.lost(time.monotonic()))

    def _connect(self, feed: Feed) -> connect:
        address = self._client.address
        return connect(feed.url, additional_headers=address.headers, proxy=None if address.loopback else True)

    async def _ended(self, feed: Feed) -> bool:
        assert feed.evaluation is not None
        settled = feed.settle(await self._client.evaluations.get(feed.evaluation))
        if settled is None:
            return await anext(self.history(feed.evaluation, feed.cursor), None) is None
        return settled
