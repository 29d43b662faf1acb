"""Every NATS name in one place: streams, consumers, buckets, subjects."""

JOBS = "JOBS"
PREDICTIONS = "PREDICTIONS"
LIFECYCLE = "LIFECYCLE"
EVENTS = "EVENTS"
PARKED = "PARKED"

KV_MODELS = "models"
KV_CANCELLED = "cancelled"
KV_LEASES = "leases"
KV_PACING = "pacing"
KV_ENGINES = "engines"

SCORER_CONSUMER = "scorer"
"""The durable consumer that all scorer replicas share on PREDICTIONS, for what is scored at once."""

SCORER_LANDED = "scorer-landed"
ARTIFACTS_CREATED = "artifacts-created"
ARTIFACTS_SCORED = "artifacts-scored"
"""Durable consumers on LIFECYCLE, one for each step that a service does."""


def job(model_id: str, evaluation_id: str) -> str:
    """Subject of an evaluation's jobs; `*` as the evaluation gives what a model's consumer filters on."""
    return f"jobs.{model_id}.{evaluation_id}"


def judge_job(judge_id: str, evaluation_id: str) -> str:
    """Subject of an evaluation's questions to its judge. The judge's consumer takes them like any other of its jobs; the last word sets
    them apart from the evaluation's own jobs, where a model judges itself."""
    return f"{job(judge_id, evaluation_id)}.judge"


def model_jobs(model_id: str) -> str:
    """The filter of a model's consumer, exactly this one: overlapping filters are accepted in silence by some servers."""
    return f"jobs.{model_id}.>"


def model_consumer(model_id: str) -> str:
    """Name of the durable pull consumer whose `max_ack_pending` is the model's concurrency."""
    return f"model-{model_id}"


def prediction(evaluation_id: str, lane: str = "inline") -> str:
    """`lane` is how the evaluation scores, see `shared.manifest.Lane`; `*` as the evaluation gives what the lane's consumer filters on."""
    return f"predictions.{evaluation_id}" if lane == "inline" else f"predictions.{evaluation_id}.{lane}"


def scorer_consumer(lane: str) -> str:
    """Name of the durable consumer that all scorer replicas share on PREDICTIONS for a lane."""
    return SCORER_CONSUMER if lane == "inline" else f"{SCORER_CONSUMER}-{lane}"


def lifecycle(evaluation_id: str, verb: str) -> str:
    """`verb`: `created`, `submitted`, `landed`, `scored`, `stored`, `refused`, `cancel`."""
    return f"evaluations.{evaluation_id}.{verb}"


def event(scope: str, event_type: str) -> str:
    """`scope` is an evaluation's id, or `_` for what belongs to none; `event_type` is the CloudEvents type."""
    return f"events.{scope}.{event_type.removeprefix('assay.')}"


def scope_events(scope: str) -> str:
    return f"events.{scope}.>"


def parked(scope: str) -> str:
    """`scope` is an evaluation's id, or `_` for what belongs to none."""
    return f"parked.{scope}"


def evaluation_in(subject: str) -> str | None:
    """The evaluation that a subject of JOBS, PREDICTIONS or LIFECYCLE names."""
    match subject.split("."):
        case ["jobs", _, evaluation, *_] | ["predictions", evaluation] | ["evaluations", evaluation, _]:
            return evaluation
        case ["predictions", evaluation, _]:
            return evaluation
    return None


def landed(evaluation_id: str) -> str:
    """Core subject: the scorer's hint, one a bulk write. May be lost; the count over `results` decides."""
    return f"landed.{evaluation_id}"


def notes(evaluation_id: str) -> str:
    """Core subject: what a predictor has to tell a person (retries, pauses), for the owner to put into the log."""
    return f"notes.{evaluation_id}"


def pacing_report(model_id: str) -> str:
    """Core subject: what each replica's calls of a model came to, for whoever controls its concurrency."""
    return f"pacing.{model_id}.report"


def pacing_hold(model_id: str) -> str:
    """Core subject: the endpoint said `Retry-After`; no replica starts a call before it has passed."""
    return f"pacing.{model_id}.hold"


def pacing_grant(model_id: str) -> str:
    """Core subject: how many calls each replica may start, where `requests_per_minute` bounds them."""
    return f"pacing.{model_id}.grant"


def engine_wanted(model_id: str) -> str:
    """Key of KV `engines`: an `EngineOrder`."""
    return f"wanted.{model_id}"


def engine_state(model_id: str) -> str:
    """Key of KV `engines`: an `EngineState`."""
    return f"state.{model_id}"


def engine_log(model_id: str) -> str:
    """Key of KV `engines`: `EngineLines`."""
    return f"log.{model_id}"


def health(service: str) -> str:
    """Core subject: each replica answers with its own round trips."""
    return f"health.{service}"


def command(service: str, verb: str) -> str:
    """Request-reply subject of a service's command, such as `orchestrator.evaluations.create`."""
    return f"{service}.{verb}"


PROBE = command("predictor", "probe")
LIST_MODELS = command("predictor", "models")
DISCOVER = command("predictor", "discover")
