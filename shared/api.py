"""The public surface's types: what the gateway answers, what the SDK returns, what commands carry.

Timestamps are RFC 3339 UTC, durations end in `_s` (seconds) or `_ms` (milliseconds), rates are fractions 0..1.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from shared.contracts import ModelSource, ModelStatus, Outcome, Status, Usage, Verdict
from shared.generation import Generation
from shared.key_variables import NAME
from shared.manifest import Column, SubmissionRule, Tag

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list; `next` is the cursor of the following page, or null."""

    items: list[T]
    next: str | None = None


class Request(BaseModel):
    """A body that a client sends: unknown fields are refused, since a misspelt one would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


# Environments


class PhaseInfo(BaseModel):
    """`items_sha256` is the content hash of its items: that of equal items is the same, whatever files they came in."""

    name: str
    description: str = ""
    items: int
    items_sha256: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    max_submissions: int | None = None
    max_submissions_per_day: int | None = None
    execution_time_limit_s: float | None = None
    hide_targets: bool = False


class VersionInfo(BaseModel):
    version: str
    created_at: datetime


class Environment(BaseModel):
    """A registered environment version. `version` is the content's hash (hex)."""

    slug: str
    version: str
    title: str
    description: str = ""
    tags: list[str] = []
    phases: list[PhaseInfo]
    created_at: datetime


class Imported(BaseModel):
    """What became of a source in another format: `notes` say what could not be carried over, `dropped` counts what was left out by its
    kind, `comparable` whether scores compare with those of the original, `comparable_why` in a sentence why."""

    format: str
    source: str
    notes: list[str] = []
    comparable: bool
    comparable_why: str
    dropped: dict[str, int] = {}


class InWords(BaseModel):
    """What the manifest says, in sentences; `phases` by name, with what limits each."""

    measured: list[str] = []
    scoring: list[str] = []
    ranking: list[str] = []
    phases: dict[str, list[str]] = {}


class EnvironmentDetail(Environment):
    """`versions` newest first; `scoring` as in the manifest; `columns` of the leaderboard; `imported` where it was no bundle."""

    overview: str = ""
    scoring: dict[str, Any]
    generation: dict[str, Any] = {}
    columns: list[Column] = []
    imported: Imported | None = None
    in_words: InWords = InWords()
    versions: list[VersionInfo] = []


class Item(BaseModel):
    """A test case. `target` is null for a viewer; where the phase hides its targets, `metadata` is empty too, for all but admins."""

    id: str
    index: int
    input: str
    messages: list[dict[str, str]]
    target: str | None = None
    metadata: dict[str, Any] = {}


class LeaderboardRow(BaseModel):
    """An evaluation on the leaderboard.

    `rank` is 1 + the number of rows that are better beyond doubt, by their 95 % intervals; what cannot be told apart shares one and
    says `tied`. It is null for an evaluation of a part of the phase (`limit`) or of an older version. `scores` and `intervals` are by
    column; `judge_name` says who judged, since scores of two judges do not compare; `listed_at` is when somebody put it there, where the
    rule asks for that.
    """

    rank: int | None
    tied: bool = False
    partial: bool = False
    evaluation: str
    number: int
    model: str
    model_name: str
    judge_name: str | None = None
    environment_version: str
    overall_score: float | None
    accuracy: float | None
    accuracy_ci95: tuple[float, float] | None
    coverage: float | None
    total: int
    finished_at: datetime | None
    listed_at: datetime | None = None
    scores: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}


class LeaderboardAnswer(BaseModel):
    """`submission_rule` says which of a model's evaluations stand on it; hidden columns are not among `columns`."""

    environment: str
    phase: str
    version: str
    submission_rule: SubmissionRule = "all"
    columns: list[Column]
    items: list[LeaderboardRow]
    next: str | None = None


# Models


class Price(Request):
    """USD per million tokens."""

    input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)


def _sendable(key: SecretStr) -> SecretStr:
    if not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
        raise ValueError("must be printable ASCII characters, since it is sent in an HTTP header")
    return key


ApiKey = Annotated[SecretStr, AfterValidator(_sendable)]


def _one_key(value: str | None, info: ValidationInfo) -> str | None:
    key: SecretStr | None = info.data.get("api_key")
    if value is not None and key is not None and key.get_secret_value():
        raise ValueError("goes without api_key: give the key itself, or the name of the variable that holds it")
    return value


KeyVariable = Annotated[str, Field(pattern=NAME, examples=["OPENAI_API_KEY"])]
Tags = Annotated[list[Tag], Field(max_length=20)]
Owner = Annotated[str, Field(min_length=1, max_length=100)]


def _concurrency(value: Any) -> Any:
    # A union's own messages name each of its members; this says in one what would be right.
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_CONCURRENCY):
        return value
    raise ValueError(f'must be a whole number from 1 to {MOST_CONCURRENCY}, or "auto"')


MOST_CONCURRENCY = 4096

Concurrency = Annotated[
    int | Literal["auto"],
    BeforeValidator(_concurrency),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_CONCURRENCY}, {"const": "auto"}]}),
]


def _argument(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must hold printable characters alone, since it goes into a command line")
    return value


def _operand(value: str) -> str:
    if value.startswith("-"):
        raise ValueError("must not begin with -, which an engine would read as an option; options go into args")
    return _argument(value.strip())


Argument = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_argument)]
Operand = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_operand)]


_PREFIX = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]*/.*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?")


def is_hub_id(checkpoint: str) -> bool:
    """Whether a checkpoint is a Hugging Face Hub id (`org/name`), and not a folder, a file or an `s3://` prefix."""
    return _HUB_ID.fullmatch(checkpoint) is not None


class Engine(Request):
    """The inference engine of a model that has no endpoint of its own: a launcher starts it when an evaluation or a person needs it.

    `name` is one of `GET /v1/engines`. `checkpoint`, and a LoRA `adapter` on top of it, are a folder or file on the launcher's machine (an
    absolute path), `s3://bucket/prefix`, or a Hugging Face Hub id, whose branch, tag or commit is `revision`. `args` are more arguments of
    the engine's command, one by one: no shell reads them.

    It has failed if it does not answer within `start_timeout_s`, and is stopped when nothing has needed it for `idle_stop_s` (seconds).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", examples=["vllm"])
    checkpoint: Operand = Field(examples=["/models/m0.26"])
    adapter: Operand | None = None
    revision: Operand | None = None
    args: list[Argument] = Field(default=[], max_length=200)
    start_timeout_s: float = Field(default=600, gt=0, le=86400)
    idle_stop_s: float = Field(default=300, ge=10, le=30 * 86400)

    @field_validator("checkpoint", "adapter")
    @classmethod
    def _is_somewhere(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith("/") or _PREFIX.fullmatch(value) or is_hub_id(value)):
            raise ValueError("must be an absolute path (/models/m0.26), s3://bucket/prefix, or a Hub id (org/name)")
        return value

    @field_validator("revision")
    @classmethod
    def _of_a_hub_id(cls, value: str | None, info: ValidationInfo) -> str | None:
        checkpoint = info.data.get("checkpoint")
        if value is not None and checkpoint is not None and not is_hub_id(checkpoint):
            raise ValueError(f"goes with a Hub id; {checkpoint} is none, so leave it out")
        return value


def served_name(name: str) -> str:
    """What an engine calls a model where nobody says it: its name, of letters, digits and `._-` alone."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "model"


MOST_AT_ONCE = 200
"""Models that one endpoint may register in one step."""


class EndpointModelsCreate(Request):
    """Registers the models that one endpoint lists (`GET base_url/models`), all of them or those that `models` names, under the names that
    they have there. The other fields are each model's, as in `ModelCreate`."""

    base_url: str = Field(min_length=1, max_length=2000, examples=["http://127.0.0.1:11434/v1"])
    models: list[Annotated[str, Field(min_length=1, max_length=300)]] | None = Field(
        default=None, min_length=1, max_length=MOST_AT_ONCE, examples=[["qwen2.5:7b", "llama3.2:3b"]]
    )
    source: ModelSource = Field(default=ModelSource.RUNNING)
    tags: Tags = []
    owner: Owner | None = None
    api_key: ApiKey | None = None
    api_key_env: KeyVariable | None = None
    api: Literal["chat", "completions"] = "chat"
    stream: bool = False
    max_concurrency: Concurrency = Field(default=16, examples=[16, "auto"])
    concurrency_ceiling: int = Field(default=256, ge=1, le=MOST_CONCURRENCY)
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeout_s: float = Field(default=120, gt=0, le=3600)
    connect_timeout_s: float = Field(default=10, gt=0, le=300)
    first_token_timeout_s: float = Field(default=60, gt=0, le=3600)
    token_timeout_s: float = Field(default=30, gt=0, le=3600)
    max_attempts: int = Field(default=5, ge=1, le=50)
    price: Price | None = None

    _one_key = field_validator("api_key_env")(_one_key)


class ModelCreate(Request):
    """Registers a model with an endpoint (`base_url`), or with an `engine` that a launcher starts when it is needed.

    With neither, a model of source `huggingface` is called through Hugging Face's router; `model` is its id there (`org/name`, or
    `org/name:provider`), the key the caller's token, or the deployment's.

    `model` is its own name at the endpoint; for an engine it may be left out. `base_url` ends before `/chat/completions`
    (`http://host:port/v1`). `source` is `running` where nothing else is said; with an engine `huggingface` where its checkpoint is a Hub id,
    else `trained`.

    Deadlines in seconds: `timeout_s` for a whole call, `connect_timeout_s` for its connection; where `stream` is set also
    `first_token_timeout_s` until the first token and `token_timeout_s` from one to the next.

    `max_concurrency` is a number, or `auto`: as many calls at once as pay, at most `concurrency_ceiling`.

    The key is `api_key`, or in a variable of the predictors' environment that `api_key_env` names.
    """

    name: str = Field(min_length=1, max_length=200, examples=["m0.26"])
    source: ModelSource = Field(default=ModelSource.RUNNING)
    engine: Engine | None = None
    base_url: str | None = Field(
        default=None, validate_default=True, min_length=1, max_length=2000, examples=["http://127.0.0.1:11434/v1"]
    )
    model: str | None = Field(
        default=None, validate_default=True, min_length=1, max_length=300, examples=["qwen2.5:7b"]
    )
    tags: Tags = []
    owner: Owner | None = None
    api_key: ApiKey | None = None
    api_key_env: KeyVariable | None = None
    api: Literal["chat", "completions"] = "chat"
    stream: bool = False
    max_concurrency: Concurrency = Field(default=16, examples=[16, "auto"])
    concurrency_ceiling: int = Field(default=256, ge=1, le=MOST_CONCURRENCY)
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeout_s: float = Field(default=120, gt=0, le=3600)
    connect_timeout_s: float = Field(default=10, gt=0, le=300)
    first_token_timeout_s: float = Field(default=60, gt=0, le=3600)
    token_timeout_s: float = Field(default=30, gt=0, le=3600)
    max_attempts: int = Field(default=5, ge=1, le=50)
    price: Price | None = None

    @model_validator(mode="before")
    @classmethod
    def _source_of_an_engine(cls, given: Any) -> Any:
        match given:
            case {"engine": {"checkpoint": str(checkpoint)}} if "source" not in given:
                return {**given, "source": ModelSource.HUGGINGFACE if is_hub_id(checkpoint) else ModelSource.TRAINED}
        return given

    @field_validator("engine")
    @classmethod
    def _engine_fits_source(cls, value: Engine | None, info: ValidationInfo) -> Engine | None:
        source = info.data.get("source")
        if value is not None and source in (ModelSource.PLATFORM, ModelSource.RUNNING):
            raise ValueError(f"goes with source trained or huggingface; a model of source {source} has a base_url")
        return value

    @field_validator("base_url")
    @classmethod
    def _endpoint_or_engine(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "engine" not in info.data:  # which is wrong itself
            return value
        if value is not None and info.data["engine"] is not None:
            raise ValueError("must be left out where an engine is given, whose launcher finds its address")
        if value is None and info.data["engine"] is None and info.data.get("source") is not ModelSource.HUGGINGFACE:
            raise ValueError("is missing: give the address of a live endpoint, or an engine that serves a checkpoint")
        return value

    @field_validator("model")
    @classmethod
    def _named_for_an_engine(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None or not {"engine", "base_url"} <= info.data.keys():
            return value
        if info.data["engine"] is None:
            raise ValueError("is missing: the model's own name at the endpoint, such as qwen2.5:7b")
        return served_name(info.data.get("name", ""))

    _one_key = field_validator("api_key_env")(_one_key)

    @field_validator("api_key", "api_key_env")
    @classmethod
    def _no_key_for_an_engine(cls, value: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
        key = value.get_secret_value() if isinstance(value, SecretStr) else value
        if key and info.data.get("engine") is not None:
            raise ValueError(
                "must be left out where an engine is given: it answers its own machine alone, without a key"
            )
        return value


class ModelUpdate(Request):
    """Changes what is given; `api_key: null` removes the key, and so does an `api_key_env`, which takes its place. `engine` replaces all of
    its settings; it and `model` cannot be changed while the engine is up or an evaluation needs it."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    engine: Engine | None = None
    base_url: str | None = Field(default=None, min_length=1, max_length=2000)
    model: str | None = Field(default=None, min_length=1, max_length=300)
    tags: Tags | None = None
    owner: Owner | None = None
    api_key: ApiKey | None = None
    api_key_env: KeyVariable | None = None
    api: Literal["chat", "completions"] | None = None
    stream: bool | None = None
    max_concurrency: Concurrency | None = None
    concurrency_ceiling: int | None = Field(default=None, ge=1, le=MOST_CONCURRENCY)
    requests_per_minute: float | None = Field(default=None, gt=0)
    timeout_s: float | None = Field(default=None, gt=0, le=3600)
    connect_timeout_s: float | None = Field(default=None, gt=0, le=300)
    first_token_timeout_s: float | None = Field(default=None, gt=0, le=3600)
    token_timeout_s: float | None = Field(default=None, gt=0, le=3600)
    max_attempts: int | None = Field(default=None, ge=1, le=50)
    price: Price | None = None

    _one_key = field_validator("api_key_env")(_one_key)


class SettingChange(BaseModel):
    """`before` and `after` are as in the model; null where there was, or is, none."""

    name: str
    before: Any
    after: Any


class SettingsVersion(BaseModel):
    """A version of a model's settings: which they were from `created_at` on, never their key, and what was changed from the one before."""

    version: int
    created_at: datetime
    settings: dict[str, Any]
    changes: list[SettingChange] = []


class PacingInfo(BaseModel):
    """How a model is called at present. `limit` is how many calls may be under way at once over all predictors, `in_flight`
    how many were in the last second, `latency_ms` their mean; `calls` and `refused` (429, 503) count since it was registered."""

    mode: Literal["fixed", "auto"]
    limit: int
    in_flight: float = 0.0
    calls_per_s: float = 0.0
    latency_ms: float | None = None
    calls: int = 0
    refused: int = 0
    updated_at: datetime


class Model(BaseModel):
    """A registered model. Its key is never among the fields; `has_api_key` says whether there is one.

    `latency_ms` is that of the last tiny completion that a probe asked for, `last_error` what its endpoint was last unreachable with.

    A model with an `engine` has a `base_url` while that runs, and null else; `status` is then the engine's: `starting`, `stopped`, `failed`.

    `settings_version` counts from 1 what was changed of the settings that matter to answers, limits or cost. `published_at` is null for what
    is not offered as a platform model, `withdrawn_at` for what was not taken out of the offer again.
    """

    id: str
    name: str
    source: ModelSource
    engine: Engine | None = None
    base_url: str | None
    model: str
    tags: list[str] = []
    owner: str | None = None
    settings_version: int = 1
    published_at: datetime | None = None
    withdrawn_at: datetime | None = None
    kept_in_file: bool = False
    """Whether an operator's models file says what it is, so that only that can change it."""
    has_api_key: bool = False
    api_key_env: str | None = None
    api: Literal["chat", "completions"] = "chat"
    stream: bool = False
    max_concurrency: int | Literal["auto"]
    concurrency_ceiling: int = 256
    requests_per_minute: float | None = None
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float = 60
    token_timeout_s: float = 30
    max_attempts: int
    price: Price | None = None
    status: ModelStatus
    status_detail: str = ""
    status_since: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    latency_ms: float | None = None
    pacing: PacingInfo | None = None
    created_at: datetime


class EngineLog(BaseModel):
    """What a model's engine wrote last, oldest first: at most 200 lines of 500 characters."""

    lines: list[str] = []


class EndpointModels(BaseModel):
    """`registered` are the models that are new, `present` those that were there already: of the same endpoint and name there."""

    registered: list[Model]
    present: list[Model]


class LocalEndpoint(BaseModel):
    """An inference server on a predictor's own machine. `registered` are those of its `models` that are registered already; `models` is
    empty where it wants a key (`needs_key`)."""

    server: str
    base_url: str
    models: list[str] = []
    registered: list[str] = []
    needs_key: bool = False


# Evaluations


class EvaluationCreate(Request):
    """Starts one evaluation a model. `environment` is a slug or `slug@version`; `limit` takes the first items in the data's order."""

    environment: str = Field(min_length=1, examples=["word-problems"])
    phase: str | None = Field(default=None, examples=["dev"])
    models: Annotated[list[str], Field(min_length=1, max_length=1000)]
    limit: int | None = Field(default=None, ge=1)
    samples_per_item: int = Field(default=1, ge=1, le=1000)
    params: Generation = Generation()
    priority: int = Field(default=1, ge=1, le=100)
    judge: str | None = Field(default=None, max_length=200)
    """The id of the model that judges, where the environment's scorer is `judge`; by default the one that its manifest names."""
    unreachable_wait_s: float | None = Field(default=None, ge=0, le=30 * 86400)
    """How long to wait for a model that is unreachable; by default what the deployment says (ASSAY_UNREACHABLE_WAIT_S)."""


class Progress(BaseModel):
    """Counts of samples. `correct` is null where a scoring program alone knows what is right, and no answer is by itself."""

    done: int = 0
    total: int
    scored: int = 0
    no_answer: int = 0
    model_error: int = 0
    infra_error: int = 0
    correct: int | None = None


class File(BaseModel):
    name: str
    kind: str
    size: int
    sha256: str
    content_type: str


class Evaluation(BaseModel):
    """One model run over one phase of one environment version, shown as `#number`. `judge` is the id of the model that judges, if one does.

    `model_settings_version` is the version of the model's settings at the start: `GET /v1/models/{id}/versions` says which they were.
    """

    id: str
    number: int
    group: str
    status: Status
    error: str | None = None
    model: str
    model_name: str
    model_settings_version: int | None = None
    judge: str | None = None
    judge_name: str | None = None
    judge_settings_version: int | None = None
    environment: str
    environment_version: str
    environment_title: str
    phase: str
    params: dict[str, Any] = {}
    limit: int | None = None
    samples_per_item: int = 1
    priority: int = 1
    round: int = 0
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    listed_at: datetime | None = None
    progress: Progress
    metrics: dict[str, Any] | None = None
    files: list[File] = []


class EvaluationsCreated(BaseModel):
    group: str
    evaluations: list[Evaluation]


class SampleRow(BaseModel):
    sample: int
    prediction: str | None = None
    output: str
    correct: bool | None = None
    outcome: Outcome


class Result(BaseModel):
    """One test case. With several samples `prediction`, `output`, `correct` and `detail` are sample 0's, `scores` are means. `detail` says how the
    score came about, where that is not plain to see.

    `correct` is null where a scoring program scores all answers together, and the item has no target to compare this one with.
    """

    item_id: str
    sample: int = 0
    index: int
    input: str
    target: str | None
    prediction: str | None = None
    output: str = ""
    correct: bool | None = None
    scores: dict[str, float] = {}
    outcome: Outcome
    error: str | None = None
    finish_reason: str | None = None
    attempts: int = 0
    latency_ms: float | None = None
    ttft_ms: float | None = None
    usage: Usage | None = None
    detail: str | None = None
    judge: list[Verdict] = []
    samples: list[SampleRow] | None = None


class DifferencePart(BaseModel):
    """A run of words that stands in both texts, only in the first (`removed`) or only in the second (`added`)."""

    kind: Literal["same", "removed", "added"]
    text: str


class CaseSample(SampleRow):
    """One sample in full. `difference` leads from the target to the prediction, null where they agree or one is missing; `cut`
    names the texts that are cut. `reasoning` is what the model thought before it answered, where it said so."""

    round: int = 0
    scores: dict[str, float] = {}
    error: str | None = None
    finish_reason: str | None = None
    attempts: int = 0
    started_at: datetime | None = None
    landed_at: datetime | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    usage: Usage | None = None
    reasoning: str | None = None
    detail: str | None = None
    judge: list[Verdict] = []
    difference: list[DifferencePart] | None = None
    cut: list[str] = []


class Case(BaseModel):
    """One test case in full. `gold` is the answer as the data has it, `target` what of it was compared, both null where the phase
    hides them; `total` counts the samples
    that have a result, of which `samples` are the first."""

    item_id: str
    index: int
    messages: list[dict[str, str]]
    gold: str | None
    target: str | None
    metadata: dict[str, Any] = {}
    total: int
    samples: list[CaseSample]
    cut: list[str] = []


class Parked(BaseModel):
    """A message that was set aside because it is itself bad. `size` is in bytes; `replayable` says whether it was kept whole."""

    id: str
    subject: str
    evaluation: str | None = None
    reason: str
    parked_by: str
    parked_at: datetime | None = None
    message_id: str | None = None
    size: int
    replayable: bool = True


class EventOut(BaseModel):
    """A CloudEvents 1.0 event with the cursor that `after` takes."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    data: dict[str, Any]
    cursor: str
