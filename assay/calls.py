"""Every REST call as a value: what to send and how to read the answer. No I/O here; `client` and `aio` send them."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from assay.errors import ApiError, AssayError, ConnectionFailed, InvalidInput, UnexpectedAnswer, api_error
from shared.api import (
    EndpointModels,
    EngineLog,
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

PAGE_SIZE = 200
PUSH_TIMEOUT_S = 600.0
"""Unpacking and validating a large bundle takes longer than any other call."""

RETRIED = frozenset({502, 503, 504})
"""Statuses that a moment's wait may cure: a part is being started again."""

BACKOFF_S = (0.2, 0.5, 1.0, 2.0)
"""Waits before each retry; together longer than the 2 s in which the stack restarts what died."""


class ModelOptions(TypedDict, total=False):
    """What may be said of a model beside its name and address; what is left out has the gateway's default."""

    source: str
    tags: list[str]
    owner: str | None
    api_key: str | None
    api_key_env: str | None
    api: Literal["chat", "completions"]
    stream: bool
    max_concurrency: int | Literal["auto"]
    concurrency_ceiling: int
    requests_per_minute: float | None
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float
    token_timeout_s: float
    max_attempts: int
    price: dict[str, float] | None


class EngineOptions(TypedDict, total=False):
    """How a launcher starts a model's engine, see `shared.api.Engine`; `name` and `checkpoint` are needed."""

    name: str
    checkpoint: str
    adapter: str | None
    revision: str | None
    args: list[str]
    start_timeout_s: float
    idle_stop_s: float


class ModelFilter(TypedDict, total=False):
    """Beside source and status: models with all of `tags`, those that are `published` or are not, and `withdrawn` ones too."""

    tags: Iterable[str]
    published: bool | None
    withdrawn: bool


class ModelChanges(ModelOptions, total=False):
    """What an update changes: only what is given. `api_key=None` removes the key, `api_key_env` takes its place."""

    name: str
    base_url: str
    model: str
    engine: EngineOptions


class EvaluationOptions(TypedDict, total=False):
    """`params` are request parameters of the OpenAI API (`temperature`, `max_tokens`, ...); `judge` is the id of the model that judges."""

    phase: str | None
    limit: int | None
    samples_per_item: int
    params: dict[str, Any]
    priority: int
    judge: str | None
    unreachable_wait_s: float | None


class EvaluationFilter(TypedDict, total=False):
    environment: str | None
    model: str | None
    status: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `answer` reads the body into `T`; None where the body is empty. `form` goes beside the file `bundle`."""

    method: str
    path: str
    answer: TypeAdapter[T]
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    json: Any = None
    bundle: Path | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None

    def at(self, cursor: str) -> "Call[T]":
        """The same call for the page at `cursor`."""
        return replace(self, query={**self.query, "cursor": cursor})

    def headers(self) -> dict[str, str]:
        """A POST carries a key of its own, the same in each retry, so that a repeat after a lost answer creates nothing twice."""
        return {"Idempotency-Key": str(uuid.uuid4())} if self.method == "POST" else {}

    @contextmanager
    def request(self) -> Iterator[dict[str, Any]]:
        """Keyword arguments of `httpx.Client.request`; a bundle is opened anew for each attempt."""
        arguments: dict[str, Any] = {"method": self.method, "url": f"/v1{self.path}", "params": dict(self.query)}
        if self.timeout_s is not None:
            arguments["timeout"] = self.timeout_s
        if self.bundle is not None:
            with self.bundle.open("rb") as opened:
                yield {**arguments, "data": dict(self.form), "files": {"bundle": (self.bundle.name, opened)}}
        elif self.json is not None:
            yield {**arguments, "json": self.json}
        else:
            yield arguments

    def read(self, response: httpx.Response, attempt: int) -> T:
        """The answer, or its `ApiError`. A DELETE that finds nothing on a later attempt was done by an earlier one."""
        deleted_before = self.method == "DELETE" and attempt > 0 and response.status_code == 404
        if not response.is_success and not deleted_before:
            raise api_error(response.status_code, response.content, response.reason_phrase)
        try:
            return self.answer.validate_json(b"null" if self.method == "DELETE" else response.content)
        except ValidationError as error:
            raise unexpected(response.request.url, error) from None


def unexpected(url: httpx.URL, error: ValidationError) -> UnexpectedAnswer:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return UnexpectedAnswer(f"{url} did not answer as an Assay gateway of this version does ({where}: {first['msg']})")


def failure(url: str, error: httpx.RequestError) -> AssayError:
    """What a failed exchange means to the caller."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return no_gateway(url)
        case httpx.TimeoutException():
            return ConnectionFailed(f"the gateway at {url} did not answer in time")
        case httpx.TransportError():
            return ConnectionFailed(f"the connection to the gateway at {url} was lost ({type(error).__name__})")
        case _:
            return UnexpectedAnswer(f"what answers at {url} is no Assay gateway ({type(error).__name__})")


def no_gateway(url: str) -> ConnectionFailed:
    return ConnectionFailed(f"no Assay gateway answers at {url}; start one with `assay up`")


def curable(error: AssayError) -> bool:
    """Whether the same call may succeed a moment later."""
    return isinstance(error, ConnectionFailed) or (isinstance(error, ApiError) and error.status in RETRIED)


def _segment(value: str | int, what: str) -> str:
    text = str(value).strip()
    if text in ("", ".", "..") or not text.isprintable():
        raise InvalidInput(f"{text!r} is no {what}")
    return quote(text, safe="")


def evaluation_id(value: str | int) -> str:
    """An id as it stands in a path; `#678`, `678` and the id itself all name an evaluation."""
    return _segment(str(value).strip().removeprefix("#"), "evaluation")


def _query(**values: object) -> dict[str, str]:
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()}
    return {key: texts[key] for key, value in values.items() if value is not None}


_ENVIRONMENT = TypeAdapter(Environment)
_ENVIRONMENT_DETAIL = TypeAdapter(EnvironmentDetail)
_ENVIRONMENTS = TypeAdapter(Page[Environment])
_ITEMS = TypeAdapter(Page[Item])
_LEADERBOARD = TypeAdapter(LeaderboardAnswer)
_MODEL = TypeAdapter(Model)
_MODELS = TypeAdapter(Page[Model])
_ENGINE_LOG = TypeAdapter(EngineLog)
_ENGINES = TypeAdapter(Page[EngineTemplate])
_VERSIONS = TypeAdapter(Page[SettingsVersion])
_STARTED = TypeAdapter(EvaluationsCreated)
_EVALUATION = TypeAdapter(Evaluation)
_EVALUATIONS = TypeAdapter(Page[Evaluation])
_RESULTS = TypeAdapter(Page[Result])
_FILES = TypeAdapter(Page[File])
_EVENTS = TypeAdapter(Page[EventOut])
_PARKED = TypeAdapter(Parked)
_PARKED_PAGE = TypeAdapter(Page[Parked])
_ENDPOINT_MODELS = TypeAdapter(EndpointModels)
_LOCAL_ENDPOINTS = TypeAdapter(Page[LocalEndpoint])
_NOTHING: TypeAdapter[None] = TypeAdapter(None)


def push_environment(bundle: Path) -> Call[Environment]:
    return Call("POST", "/environments", _ENVIRONMENT, bundle=bundle, timeout_s=PUSH_TIMEOUT_S)


def import_environment(format_: str, source: Path | None, options: Mapping[str, Any]) -> Call[EnvironmentDetail]:
    asked = {"format": format_, **options}
    if source is None:
        return Call("POST", "/environments", _ENVIRONMENT_DETAIL, json={"import": asked}, timeout_s=PUSH_TIMEOUT_S)
    try:
        form = {"import": json.dumps(asked)}
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the options of an import must be JSON: {error}") from None
    return Call("POST", "/environments", _ENVIRONMENT_DETAIL, bundle=source, form=form, timeout_s=PUSH_TIMEOUT_S)


def list_environments(q: str | None = None, tags: Iterable[str] = ()) -> Call[Page[Environment]]:
    query: dict[str, str | list[str]] = {**_query(q=q, limit=PAGE_SIZE), "tag": [*tags]}
    return Call("GET", "/environments", _ENVIRONMENTS, query)


def list_versions(slug: str) -> Call[Page[Environment]]:
    return Call(
        "GET", f"/environments/{_segment(slug, 'environment')}/versions", _ENVIRONMENTS, _query(limit=PAGE_SIZE)
    )


def get_environment(slug: str) -> Call[EnvironmentDetail]:
    return Call("GET", f"/environments/{_segment(slug, 'environment')}", _ENVIRONMENT_DETAIL)


def list_items(slug: str, phase: str | None) -> Call[Page[Item]]:
    query = _query(phase=phase, limit=PAGE_SIZE)
    return Call("GET", f"/environments/{_segment(slug, 'environment')}/items", _ITEMS, query)


def get_leaderboard(slug: str, phase: str | None) -> Call[LeaderboardAnswer]:
    query = _query(phase=phase, limit=PAGE_SIZE)
    return Call("GET", f"/environments/{_segment(slug, 'environment')}/leaderboard", _LEADERBOARD, query)


def add_model(
    name: str, base_url: str | None, model: str | None, engine: EngineOptions | None, **options: Unpack[ModelOptions]
) -> Call[Model]:
    where = {"base_url": base_url, "model": model, "engine": engine}
    body = {"name": name, **{key: value for key, value in where.items() if value is not None}, **options}
    return Call("POST", "/models", _MODEL, json=body)


def add_models(base_url: str, models: Iterable[str] | None, **options: Unpack[ModelOptions]) -> Call[EndpointModels]:
    body = {"base_url": base_url, **({} if models is None else {"models": [*models]}), **options}
    return Call("POST", "/models/endpoint", _ENDPOINT_MODELS, json=body)


def discover_models() -> Call[Page[LocalEndpoint]]:
    return Call("POST", "/models/discover", _LOCAL_ENDPOINTS, json={})


def list_models(source: str | None, status: str | None, **filters: Unpack[ModelFilter]) -> Call[Page[Model]]:
    query: dict[str, str | list[str]] = {
        **_query(source=source, status=status, published=filters.get("published"), limit=PAGE_SIZE),
        "tag": [*filters.get("tags", ())],
    }
    if filters.get("withdrawn"):
        query["withdrawn"] = "true"
    return Call("GET", "/models", _MODELS, query)


def list_settings_versions(model_id: str) -> Call[Page[SettingsVersion]]:
    return Call("GET", f"/models/{_segment(model_id, 'model')}/versions", _VERSIONS, _query(limit=PAGE_SIZE))


def get_model(model_id: str) -> Call[Model]:
    return Call("GET", f"/models/{_segment(model_id, 'model')}", _MODEL)


def update_model(model_id: str, **changes: Unpack[ModelChanges]) -> Call[Model]:
    return Call("PATCH", f"/models/{_segment(model_id, 'model')}", _MODEL, json=dict(changes))


def delete_model(model_id: str) -> Call[None]:
    return Call("DELETE", f"/models/{_segment(model_id, 'model')}", _NOTHING)


def publish_model(model_id: str) -> Call[Model]:
    return Call("POST", f"/models/{_segment(model_id, 'model')}/publish", _MODEL)


def withdraw_model(model_id: str) -> Call[Model]:
    return Call("POST", f"/models/{_segment(model_id, 'model')}/withdraw", _MODEL)


def probe_model(model_id: str) -> Call[Model]:
    return Call("POST", f"/models/{_segment(model_id, 'model')}/probe", _MODEL)


def start_model(model_id: str) -> Call[Model]:
    return Call("POST", f"/models/{_segment(model_id, 'model')}/start", _MODEL)


def stop_model(model_id: str) -> Call[Model]:
    return Call("POST", f"/models/{_segment(model_id, 'model')}/stop", _MODEL)


def get_engine_log(model_id: str) -> Call[EngineLog]:
    return Call("GET", f"/models/{_segment(model_id, 'model')}/log", _ENGINE_LOG)


def list_engines() -> Call[Page[EngineTemplate]]:
    return Call("GET", "/engines", _ENGINES)


def start_evaluations(
    environment: str, models: Iterable[str], **options: Unpack[EvaluationOptions]
) -> Call[EvaluationsCreated]:
    body = {"environment": environment, "models": list(models), **options}
    return Call("POST", "/evaluations", _STARTED, json=body)


def list_evaluations(**filters: Unpack[EvaluationFilter]) -> Call[Page[Evaluation]]:
    return Call("GET", "/evaluations", _EVALUATIONS, _query(**filters, limit=PAGE_SIZE))


def get_evaluation(evaluation: str | int) -> Call[Evaluation]:
    return Call("GET", f"/evaluations/{evaluation_id(evaluation)}", _EVALUATION)


def cancel_evaluation(evaluation: str | int) -> Call[Evaluation]:
    return Call("POST", f"/evaluations/{evaluation_id(evaluation)}/cancel", _EVALUATION)


def redrive_evaluation(evaluation: str | int) -> Call[Evaluation]:
    return Call("POST", f"/evaluations/{evaluation_id(evaluation)}/redrive", _EVALUATION)


def put_on_leaderboard(evaluation: str | int) -> Call[Evaluation]:
    return Call("POST", f"/evaluations/{evaluation_id(evaluation)}/leaderboard", _EVALUATION)


def take_off_leaderboard(evaluation: str | int) -> Call[None]:
    return Call("DELETE", f"/evaluations/{evaluation_id(evaluation)}/leaderboard", _NOTHING)


def list_results(evaluation: str | int, outcome: str | None, correct: bool | None, q: str | None) -> Call[Page[Result]]:
    query = _query(outcome=outcome, correct=correct, q=q, limit=PAGE_SIZE)
    return Call("GET", f"/evaluations/{evaluation_id(evaluation)}/results", _RESULTS, query)


def list_files(evaluation: str | int) -> Call[Page[File]]:
    return Call("GET", f"/evaluations/{evaluation_id(evaluation)}/files", _FILES)


def file_path(evaluation: str | int, name: str) -> str:
    return f"/v1/evaluations/{evaluation_id(evaluation)}/files/{_segment(name, 'file')}"


def list_parked(evaluation: str | int | None) -> Call[Page[Parked]]:
    wanted = None if evaluation is None else str(evaluation).strip().removeprefix("#")
    return Call("GET", "/parked", _PARKED_PAGE, _query(evaluation=wanted, limit=PAGE_SIZE))


def replay_parked(parked: str | int) -> Call[Parked]:
    return Call("POST", f"/parked/{_segment(parked, 'parked message')}/replay", _PARKED)


def discard_parked(parked: str | int) -> Call[None]:
    return Call("DELETE", f"/parked/{_segment(parked, 'parked message')}", _NOTHING)


def list_events(evaluation: str | int, after: str | None) -> Call[Page[EventOut]]:
    query = _query(after=after, limit=PAGE_SIZE)
    return Call("GET", f"/evaluations/{evaluation_id(evaluation)}/events", _EVENTS, query)
