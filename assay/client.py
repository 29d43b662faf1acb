"""The SDK, blocking: `Client`. `aio.AsyncClient` has the same methods to await.

    with Client() as client:
        client.environments.push("environments/word-problems")
        model = client.models.add("mine", base_url="http://127.0.0.1:11434/v1", model="qwen2.5:7b")
        started = client.evaluations.start("word-problems", models=[model.id])
        print(client.evaluations.wait(started.evaluations[0].id).metrics)

Every method raises what `assay.errors` draws. A call whose answer was lost, or that met a part of Assay being restarted, is
tried again a few times; what creates something carries an `Idempotency-Key`, so that this is safe.
"""

import math
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

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


class Client:
    """A connection to a gateway.

    `url` and `api_key` default to `ASSAY_URL` and `ASSAY_API_KEY`, else to the embedded stack on this machine. `timeout` is
    in seconds, for each step of an exchange (connect, send, receive). `backoff` are the waits in seconds before each retry.
    `transport` replaces the network, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        *,
        backoff: Sequence[float] = calls.BACKOFF_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = Address.resolve(url, api_key)
        self._backoff = backoff
        self._http = httpx.Client(
            base_url=self.address.url,
            headers=self.address.headers,
            timeout=timeout,
            transport=transport,
            trust_env=not self.address.loopback,
        )
        self.environments = Environments(self)
        self.models = Models(self)
        self.evaluations = Evaluations(self)
        self.events = Events(self)
        self.parked = ParkedMessages(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(self, call: calls.Call[T]) -> T:
        """Sends one call, again where that may help, and returns its answer."""
        headers = call.headers()
        attempt = 0
        while True:
            try:
                with call.request() as request:
                    response = self._http.request(**request, headers=headers)
                return call.read(response, attempt)
            except httpx.RequestError as error:
                failed: AssayError = calls.failure(self.address.url, error)
            except Unavailable as error:
                failed = error
            if attempt == len(self._backoff) or not calls.curable(failed):
                raise failed from None
            time.sleep(self._backoff[attempt])
            attempt += 1

    def pages(self, call: calls.Call[Page[T]]) -> Iterator[T]:
        """The items of a list, a page at a time as they are asked for."""
        page = self.send(call)
        yield from page.items
        while page.next is not None:
            page = self.send(call.at(page.next))
            yield from page.items

    def save(self, path: str, into: downloads.Download) -> None:
        """Streams the answer to a GET into a download. Raises `ConnectionFailed` where it breaks off."""
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    raise api_error(response.status_code, response.read(), response.reason_phrase)
                with into:
                    for chunk in response.iter_bytes(downloads.CHUNK):
                        into.write(chunk)
        except httpx.RequestError as error:
            raise calls.failure(self.address.url, error) from None


class Environments:
    """`/v1/environments`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def push(self, path: str | os.PathLike[str]) -> Environment:
        """Registers the bundle at `path`, a folder or a zip. `Invalid.errors` name file, line and field."""
        with packed(path) as bundle:
            return self._client.send(calls.push_environment(bundle))

    def import_(self, format: str, path: str | os.PathLike[str] | None = None, **options: Any) -> EnvironmentDetail:
        """Registers what is at `path`, a file or a folder in another format; `options` are that format's.

        `imported` of the answer says what became of it. `Invalid.errors` name the option, or file and line.
        """
        with packed_source(path) if path is not None else nullcontext() as source:
            return self._client.send(calls.import_environment(format, source, options))

    def list(self, q: str | None = None, tags: Iterable[str] = ()) -> Iterator[Environment]:
        """The latest version of each, newest first: those with `q` in slug, title, description or a tag, and with all of `tags`."""
        return self._client.pages(calls.list_environments(q, tags))

    def versions(self, slug: str) -> Iterator[Environment]:
        """Every version, newest first; each is evaluated as `slug@version`."""
        return self._client.pages(calls.list_versions(slug))

    def get(self, slug: str) -> EnvironmentDetail:
        return self._client.send(calls.get_environment(slug))

    def items(self, slug: str, phase: str | None = None) -> Iterator[Item]:
        """The test cases of a phase, the first one by default; `target` is None for a viewer's key."""
        return self._client.pages(calls.list_items(slug, phase))

    def leaderboard(self, slug: str, phase: str | None = None) -> LeaderboardAnswer:
        """All rows of a phase's leaderboard, the first phase's by default."""
        call = calls.get_leaderboard(slug, phase)
        answer = page = self._client.send(call)
        while page.next is not None:
            page = self._client.send(call.at(page.next))
            answer.items.extend(page.items)
        return answer.model_copy(update={"next": None})


class Models:
    """`/v1/models`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(
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
        return self._client.send(calls.add_model(name, base_url, model, engine, **options))

    def add_all(
        self, base_url: str, models: Iterable[str] | None = None, **options: Unpack[calls.ModelOptions]
    ) -> EndpointModels:
        """Registers every model that an endpoint lists, or of those the ones named in `models`, all or none. Those that are registered already are
        left as they are, and come back as `present`."""
        return self._client.send(calls.add_models(base_url, models, **options))

    def discover(self) -> Sequence[LocalEndpoint]:
        """Inference servers at their usual ports on the machine where Assay runs."""
        return (self._client.send(calls.discover_models())).items

    def list(
        self, source: str | None = None, status: str | None = None, **filters: Unpack[calls.ModelFilter]
    ) -> Iterator[Model]:
        """Newest first. Withdrawn ones only with `withdrawn=True`."""
        return self._client.pages(calls.list_models(source, status, **filters))

    def versions(self, model_id: str) -> Iterator[SettingsVersion]:
        """The versions of its settings, newest first."""
        return self._client.pages(calls.list_settings_versions(model_id))

    def get(self, model_id: str) -> Model:
        return self._client.send(calls.get_model(model_id))

    def update(self, model_id: str, **changes: Unpack[calls.ModelChanges]) -> Model:
        return self._client.send(calls.update_model(model_id, **changes))

    def delete(self, model_id: str) -> None:
        self._client.send(calls.delete_model(model_id))

    def publish(self, model_id: str) -> Model:
        """Offers a model as one of the platform's."""
        return self._client.send(calls.publish_model(model_id))

    def withdraw(self, model_id: str) -> Model:
        """Takes a model out of the platform's offer; it stays with its evaluations, and no new one can be started."""
        return self._client.send(calls.withdraw_model(model_id))

    def probe(self, model_id: str) -> Model:
        """Asks the endpoint now and returns the model with the status found."""
        return self._client.send(calls.probe_model(model_id))

    def start(self, model_id: str) -> Model:
        """Starts the model's engine; returns the model as it is then, mostly `starting`."""
        return self._client.send(calls.start_model(model_id))

    def stop(self, model_id: str) -> Model:
        """Stops the model's engine; returns the model as it is then. Raises `Conflict` while an evaluation needs it."""
        return self._client.send(calls.stop_model(model_id))

    def log(self, model_id: str) -> Sequence[str]:
        """The last lines that the model's engine wrote, oldest first."""
        return (self._client.send(calls.get_engine_log(model_id))).lines

    def engines(self) -> Sequence[EngineTemplate]:
        """What a launcher can start a checkpoint with."""
        return (self._client.send(calls.list_engines())).items


class Evaluations:
    """`/v1/evaluations`. An evaluation is named by its id or number (`#678`, `678`)."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def start(
        self, environment: str, models: Iterable[str], **options: Unpack[calls.EvaluationOptions]
    ) -> EvaluationsCreated:
        """Starts one evaluation for each model id; `environment` is a slug or `slug@version`."""
        return self._client.send(calls.start_evaluations(environment, models, **options))

    def list(self, **filters: Unpack[calls.EvaluationFilter]) -> Iterator[Evaluation]:
        return self._client.pages(calls.list_evaluations(**filters))

    def get(self, evaluation: str | int) -> Evaluation:
        return self._client.send(calls.get_evaluation(evaluation))

    def cancel(self, evaluation: str | int) -> Evaluation:
        return self._client.send(calls.cancel_evaluation(evaluation))

    def redrive(self, evaluation: str | int) -> Evaluation:
        """Calls again only what ended in `infra_error`."""
        return self._client.send(calls.redrive_evaluation(evaluation))

    def put_on_leaderboard(self, evaluation: str | int) -> Evaluation:
        """Where the environment's `submission_rule` is `add` or `add_and_delete`; another one of the model makes room for it."""
        return self._client.send(calls.put_on_leaderboard(evaluation))

    def take_off_leaderboard(self, evaluation: str | int) -> None:
        """Where the environment's `submission_rule` is `add_and_delete`."""
        self._client.send(calls.take_off_leaderboard(evaluation))

    def results(
        self,
        evaluation: str | int,
        *,
        outcome: str | None = None,
        correct: bool | None = None,
        q: str | None = None,
    ) -> Iterator[Result]:
        """One row a test case, in the data's order; `q` searches their texts."""
        return self._client.pages(calls.list_results(evaluation, outcome, correct, q))

    def files(self, evaluation: str | int) -> Sequence[File]:
        return [*self._client.pages(calls.list_files(evaluation))]

    def download(self, evaluation: str | int, name: str, to: str | os.PathLike[str] = ".") -> Path:
        """Streams a file to `to` (a folder, or the file itself) and returns its path once size and sha256 are verified.

        It is tried twice, each time with a fresh list: a redrive replaces the files as one, also in the middle of a download.
        """
        path = downloads.destination(to, name)
        for last in (False, True):
            file = downloads.find(self.files(evaluation), name)
            try:
                self._client.save(calls.file_path(evaluation, name), downloads.Download(file, path))
                break
            except (ChecksumMismatch, ConnectionFailed):
                if last:
                    raise
        return path

    def wait(self, evaluation: str | int, timeout: float | None = None) -> Evaluation:
        """Returns the evaluation once it has ended. Raises `TimedOut` after `timeout` seconds."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        for _ in self._client.events.follow(Feed(self._client.address, evaluation), deadline):
            pass
        return self.get(evaluation)


class ParkedMessages:
    """`/v1/parked`: messages that were set aside because they are themselves bad."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, evaluation: str | int | None = None) -> Iterator[Parked]:
        """The oldest first; those of one evaluation, or all."""
        return self._client.pages(calls.list_parked(evaluation))

    def replay(self, parked: str | int) -> Parked:
        """Sends it on again. Raises `Conflict` where nothing waits for it any more."""
        return self._client.send(calls.replay_parked(parked))

    def discard(self, parked: str | int) -> None:
        self._client.send(calls.discard_parked(parked))


class Events:
    """Live events (call it) and their history."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def history(self, evaluation: str | int, after: str | None = None) -> Iterator[EventOut]:
        """The evaluation's log so far, after the cursor `after`."""
        return self._client.pages(calls.list_events(evaluation, after))

    def __call__(
        self, evaluation: str | int | None = None, after: str | None = None, types: Iterable[str] | None = None
    ) -> Generator[EventOut, None, None]:
        """Events as they happen; reconnects by itself, without a gap or a repeat.

        An evaluation's events start at the beginning of its log, or after the cursor `after`, and end with its last one;
        those of everything start now and never end. `types` keeps only these types. Raises `Gone` where `after` is too old
        to be served.
        """
        return self.follow(Feed(self._client.address, evaluation, after, types))

    def follow(self, feed: Feed, deadline: float = math.inf) -> Generator[EventOut, None, None]:
        """The events of a feed; raises `TimedOut` once the monotonic clock passes `deadline`."""
        reconnects = Reconnects(self._client.address.url, deadline)
        while True:
            try:
                with self._connect(feed) as socket:
                    while not (feed.in_doubt and self._ended(feed)):
                        patience = reconnects.patience(time.monotonic())
                        try:
                            text = socket.recv(patience)
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
            time.sleep(reconnects.lost(time.monotonic()))

    def _connect(self, feed: Feed) -> ClientConnection:
        address = self._client.address
        return connect(feed.url, additional_headers=address.headers, proxy=None if address.loopback else True)

    def _ended(self, feed: Feed) -> bool:
        assert feed.evaluation is not None
        settled = feed.settle(self._client.evaluations.get(feed.evaluation))
        if settled is None:
            return next(self.history(feed.evaluation, feed.cursor), None) is None
        return settled
