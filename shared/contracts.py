"""The messages between services, and the shapes they leave in MongoDB.

Stored examples of each message are in `tests/contracts/`: what was once on the wire must still parse.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.scoring import Scoring


class Status(StrEnum):
    """Statuses of an evaluation: `queued -> running -> scoring -> completed`, or `failed` / `cancelled` from the first three."""

    QUEUED = "queued"
    RUNNING = "running"
    SCORING = "scoring"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (Status.QUEUED, Status.RUNNING, Status.SCORING)
FINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Outcome(StrEnum):
    """How a sample ended."""

    SCORED = "scored"
    NO_ANSWER = "no_answer"
    MODEL_ERROR = "model_error"
    INFRA_ERROR = "infra_error"


class ModelSource(StrEnum):
    PLATFORM = "platform"
    RUNNING = "running"
    TRAINED = "trained"
    HUGGINGFACE = "huggingface"


FIRST_AUTO_LIMIT = 8
"""Calls at once to an endpoint of which nothing is known yet; it doubles from there while that pays."""


class ModelStatus(StrEnum):
    RUNNING = "running"
    UNREACHABLE = "unreachable"
    PAUSED = "paused"
    STARTING = "starting"
    STOPPED = "stopped"
    FAILED = "failed"


ENGINE_DOWN = frozenset({ModelStatus.STARTING, ModelStatus.STOPPED, ModelStatus.FAILED})
"""What a model is while its engine does not answer: by a launcher's word, so that nobody probes or calls it."""


class Wire(BaseModel):
    """A message on the broker. Unknown fields are ignored, so that a newer sender does not break an older reader."""

    model_config = ConfigDict(extra="ignore")


class ChatMessage(Wire):
    role: str
    content: str


class Usage(Wire):
    """Tokens as the endpoint counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Answered(Wire):
    """What a call came to.

    `outcome` is final but for `scored`, whose scores the scorer adds. `started_at` is the Unix time of the first call in seconds.
    """

    outcome: Outcome
    output: str = ""
    reasoning: str = ""
    """What the model thought before it answered, where it says so."""
    error: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    attempts: int = 0
    started_at: float | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None


class Verdict(Wire):
    """What the judge said of an answer when it was asked once.

    `score` is what was read from its `output`, in 0..1; None where nothing could be, and `error` says why.
    """

    output: str = ""
    score: float | None = None
    error: str | None = None
    usage: Usage | None = None
    attempts: int = 0
    latency_ms: float | None = None


class Judging(Wire):
    """An answer that is before the judge. It travels with the judge's jobs and predictions, so that nobody needs a database for them.

    `verdicts` came before the question that is under way.
    """

    answer: Answered
    verdicts: list[Verdict] = Field(default_factory=list)


def message_id(evaluation: str, index: int, sample: int, round_: int, dispatch: int) -> str:
    """See `Sample.message_id`."""
    return f"{evaluation}:{index}:{sample}:{round_}:{dispatch}"


class Sample(Wire):
    """What a job and its prediction share: which sample of which item, in which round, and what the scorer needs of it."""

    evaluation: str
    model: str
    index: int
    sample: int = 0
    round: int = 0
    dispatch: int = 0
    item_id: str
    target: str
    hints: dict[str, Any] = Field(default_factory=dict)  # pydantic deep-copies a literal for every message
    """What the scorer needs of the item beside its target, such as `choices`."""
    scoring: Scoring
    judge: str | None = None
    """The id of the model that judges, where the scoring asks one."""
    judging: Judging | None = None
    """The answer that the judge is asked about; None while the evaluated model is asked."""

    def key(self) -> str:
        """`evaluation:index:sample`, the identity of a result."""
        return f"{self.evaluation}:{self.index}:{self.sample}"

    def message_id(self) -> str:
        """`Nats-Msg-Id`, in JOBS and in PREDICTIONS: the server swallows repeats of it within the duplicate window.

        A question to the judge is another message of the same sample: `...:judge:<how many came before>`.
        """
        plain = message_id(self.evaluation, self.index, self.sample, self.round, self.dispatch)
        return f"{plain}:judge:{len(self.judging.verdicts)}" if self.judging else plain


@dataclass(frozen=True)
class Position:
    """Which sample of which item, in which round."""

    index: int
    sample: int
    round: int


def position_in(message_id: str | None) -> Position | None:
    """What `Sample.message_id` tells of a message whose body is elsewhere or cannot be read; None for any other id."""
    try:
        _, index, sample, round_, *_ = (message_id or "").split(":")
        return Position(int(index), int(sample), int(round_))
    except ValueError:
        return None


class Job(Sample):
    """One sample to call: JOBS, subject `jobs.<model>.<evaluation>`, or `jobs.<judge>.<evaluation>.judge` where the judge is asked about
    its answer. Self-contained: a predictor has no database."""

    messages: list[ChatMessage]
    params: dict[str, Any] = Field(default_factory=dict)


class Prediction(Answered, Sample):
    """What the model returned for one sample, or why it returned nothing: PREDICTIONS, subject `predictions.<evaluation>`."""


class Landed(Wire):
    """Core `landed.<evaluation>`: how many results of each outcome a bulk write added. A hint: it may be lost."""

    evaluation: str
    round: int = 0
    outcomes: dict[Outcome, int]
    correct: int


class Note(Wire):
    """Core `notes.<evaluation>`: what a predictor tells a person, coalesced to one a second and kind."""

    evaluation: str
    level: Literal["info", "warning", "error"] = "info"
    message: str


class Step(Wire):
    """LIFECYCLE `evaluations.<id>.<verb>`: a step of an evaluation was asked for or done.

    `created` (orchestrator -> artifacts) asks for submission.zip, `submitted` answers. `landed` (orchestrator -> scorer) asks
    for metrics, `scored` (scorer -> artifacts) says they are in MongoDB and asks for the files, `stored` says that those are
    verified. `refused`: the step cannot be done. What was done, or why not, is in MongoDB (`scores`, `filesets`); the message
    only says so.
    """

    evaluation: str
    round: int = 0


class FileEntry(BaseModel):
    """One stored and verified file of an evaluation. `key` is its object's, not shown to clients."""

    name: str
    kind: str
    size: int
    sha256: str
    content_type: str
    key: str


class ModelEndpoint(Wire):
    """KV `models`, key = model id: all that a predictor must know. `api_key` is encrypted, never plain; `api_key_env` names the variable
    that holds it, in the predictors' environment.

    A model with an engine has an entry from when that first answers until it is stopped or has failed.
    """

    id: str
    name: str
    base_url: str
    has_engine: bool = False
    """Its endpoint is an engine that a launcher starts again where it dies: a call that cannot connect is no attempt."""
    model: str
    api_key: str | None = None
    api_key_env: str | None = None
    api: Literal["chat", "completions"] = "chat"
    stream: bool = False
    max_concurrency: int | Literal["auto"]
    concurrency_ceiling: int = 256
    requests_per_minute: float | None = None
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float = 60.0
    token_timeout_s: float = 30.0
    max_attempts: int

    @property
    def most_at_once(self) -> int:
        """The highest limit that a controller may set: what pools of connections must hold."""
        return self.concurrency_ceiling if self.max_concurrency == "auto" else self.max_concurrency

    @property
    def first_limit(self) -> int:
        """The limit that a consumer is provisioned with, before any call has been made."""
        return (
            min(FIRST_AUTO_LIMIT, self.concurrency_ceiling) if self.max_concurrency == "auto" else self.max_concurrency
        )


class EngineSettings(Wire):
    """How a launcher starts the inference engine of a model that has no endpoint of its own. What a person may say of it, with its
    limits, is `shared.api.Engine`."""

    name: str
    """Which command template: `vllm`, `sglang`, `llama.cpp`, `transformers`, or one of the operator's."""
    checkpoint: str
    """A folder or file on the launcher's machine, `s3://bucket/prefix`, or a Hugging Face Hub id."""
    adapter: str | None = None
    """A LoRA adapter on top of it, in one of the same forms."""
    revision: str | None = None
    """Of a Hub id: branch, tag or commit."""
    args: list[str] = []
    """More arguments, one by one: no shell reads them."""
    start_timeout_s: float = 600.0
    idle_stop_s: float = 300.0


class EngineOrder(Wire):
    """KV `engines`, key `wanted.<model id>`, written by the orchestrator alone: that a model's engine is to be up, and until when.

    `until` is a Unix time in seconds, moved on while evaluations need the model; once it has passed, the engine is stopped.
    `request` grows with each new wish of a person or an evaluation: what has `failed` is tried again only for a new one.
    """

    model: str
    model_name: str
    served_name: str
    """What the engine is to call the model: the `model` of requests to it."""
    settings: EngineSettings
    until: float
    request: int = 1


class EngineState(Wire):
    """KV `engines`, key `state.<model id>`, written by the launcher that holds it: how the engine is.

    `status` is one of `starting`, `running`, `stopped`, `failed`; `detail` says it in words, with the engine's own last lines where it
    failed. `base_url` is where it answers, while it runs. `at` is a Unix time in seconds, renewed every 2 s while a launcher has the
    engine in hand: one that is 10 s old belongs to a launcher that is gone, whose engines are gone with it, and any other may take it over.
    Each write names the revision that it replaces.
    """

    model: str
    status: ModelStatus
    detail: str = ""
    since: float
    at: float
    request: int = 0
    """The request that this answers."""
    launcher: str | None = None
    """The instance that has it in hand."""
    base_url: str | None = None
    served_name: str | None = None
    """What it calls the model, while it runs: some engines let nobody choose, so this may be another name than the order's."""
    restarts: int = 0
    """How often it has died and been started again since it was last asked for."""


class EngineLines(Wire):
    """KV `engines`, key `log.<model id>`, written by the launcher at most once a second: the engine's last output, at most 200 lines of 500
    characters. As it comes, it is told as `assay.model.log` events too."""

    lines: list[str] = []


class EngineTemplate(Wire):
    """One way to start an engine, as a launcher offers it (command `launcher.engines`). `missing` says what has to be installed where it
    cannot be used on the launcher's machine, and is None where it can."""

    name: str
    title: str
    takes: list[str]
    """Forms of a checkpoint: `folder`, `file`, `s3`, `hub`; and `adapter` where it can load one."""
    missing: str | None = None


class PacingReport(Wire):
    """Core `pacing.<model>.report`: what a replica's calls came to in the last `span_s` seconds.

    `busy_s` is the integral of calls in flight over the span, `ok_s` the sum of the latencies of those that were answered with 200.
    `answered` counts what shows that the endpoint is there: answers and refusals. `failing` counts samples whose first call
    failed with a 5xx, since one that fails again and again is no evidence against the endpoint.
    """

    replica: str
    span_s: float
    started: int = 0
    ok: int = 0
    ok_s: float = 0.0
    refused: int = 0
    timeouts: int = 0
    unreachable: int = 0
    failing: int = 0
    answered: int = 0
    busy_s: float = 0.0
    in_flight: int = 0
    beside: int | None = None
    """The fewest calls that were still in flight when one was refused: about what the endpoint serves at once."""
    waiting: int = 0
    """Calls that wait for a grant."""
    tokens: int = 0
    """Grants that are not used yet."""
    error: str | None = None
    """What the last call that could not reach the endpoint failed with."""


class PacingHold(Wire):
    """Core `pacing.<model>.hold`: start no call of the model for so many seconds."""

    seconds: float


class PacingGrant(Wire):
    """Core `pacing.<model>.grant`: how many more calls each replica may start."""

    tokens: dict[str, int]


class PacingState(Wire):
    """KV `pacing`, key = model id: the model's status and limit, and from where its next controller goes on.

    Written by the controller, and by the orchestrator where a probe was asked for; each write names the revision that it
    replaces. `at`, `since` and `hold_until` are Unix times in seconds; `at` grows with each write.
    """

    status: ModelStatus
    detail: str = ""
    since: float
    at: float
    mode: Literal["fixed", "auto"] = "fixed"
    limit: int
    in_flight: float = 0.0
    calls_per_s: float = 0.0
    latency_ms: float | None = None
    calls: int = 0
    refused: int = 0
    hold_until: float | None = None
    law: dict[str, Any] = {}
    """The control law's memory; whoever takes over goes on from it."""
    asks: int = 0
    """How often it was asked in vain since it is unreachable: the pauses in between grow with it."""
    unlisted: bool = False
    """It answers although the endpoint's list of models lacks it."""
    answer_ms: float | None = None
    """How long the last tiny completion took."""


class ProbeAnswer(Wire):
    """What a predictor found when it asked an endpoint: `running` or `unreachable`, and why in words.

    `latency_ms` is that of a tiny completion, where one was answered; `listed` whether the endpoint's list of models has the model, None
    where there is no list.
    """

    status: ModelStatus
    detail: str
    latency_ms: float | None = None
    listed: bool | None = None


class LocalServer(Wire):
    """An inference server that a predictor found on its own machine. `models` is empty where it wants a key (`needs_key`)."""

    server: str
    """Which one, such as `vLLM`."""
    base_url: str
    models: list[str] = []
    needs_key: bool = False


class Event(BaseModel):
    """A CloudEvents 1.0 event in its JSON form (https://github.com/cloudevents/spec, v1.0.2). The gateway adds `cursor`."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any]


_GIVEN_UP = b"given_up:"


def given_up(round_: int) -> bytes:
    """KV `cancelled`: the evaluation's jobs up to this round are void; those of a later one, by a redrive, are not."""
    return b"%b%d" % (_GIVEN_UP, round_)


def dropped_up_to(value: bytes) -> float:
    """Up to which round an entry of KV `cancelled` makes jobs void; a cancelled or failed evaluation's all are."""
    return int(value.removeprefix(_GIVEN_UP)) if value.startswith(_GIVEN_UP) else math.inf


EVALUATION_FINAL_TYPES = frozenset(f"assay.evaluation.{status}" for status in FINAL)
