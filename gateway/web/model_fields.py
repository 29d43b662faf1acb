"""A model's settings as pages show and ask for them."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.api import Model, ModelCreate, Price
from shared.contracts import ModelSource, ModelStatus
from shared.texts import plain, setting

SOURCES = {
    ModelSource.RUNNING: "Running",
    ModelSource.PLATFORM: "Platform",
    ModelSource.TRAINED: "Trained",
    ModelSource.HUGGINGFACE: "HuggingFace",
}

BLANK = Model(
    id="",
    name="",
    source=ModelSource.RUNNING,
    base_url="",
    model="",
    max_concurrency=1,
    timeout_s=0,
    connect_timeout_s=0,
    max_attempts=1,
    status=ModelStatus.STARTING,
    created_at=datetime(2000, 1, 1, tzinfo=UTC),
)
"""What a script's template of a card is drawn from."""


class Way(NamedTuple):
    """How a model that is added gets served; `about` is what a person reads of it."""

    name: str
    title: str
    about: str
    sources: tuple[ModelSource, ...]


WAYS = (
    Way(
        "engine",
        "By an engine that Assay starts",
        "It is started when the model is evaluated, and stopped when nothing has needed it for a while.",
        (ModelSource.TRAINED, ModelSource.HUGGINGFACE),
    ),
    Way(
        "router",
        "By Hugging Face\u2019s inference router",
        "A hosted model: nothing runs on your machines, and calls are charged to the token.",
        (ModelSource.HUGGINGFACE,),
    ),
    Way(
        "address",
        "By a server that runs already",
        "Any with the OpenAI API.",
        (ModelSource.RUNNING, ModelSource.PLATFORM, ModelSource.TRAINED, ModelSource.HUGGINGFACE),
    ),
)
"""The first one that a source has is chosen for it."""

SOURCES_ABOUT = {
    ModelSource.RUNNING: "A server that runs now: vLLM, SGLang, llama.cpp, Ollama, LM Studio, or a hosted one.",
    ModelSource.PLATFORM: "An endpoint that your organisation serves for everybody.",
    ModelSource.TRAINED: "A checkpoint that you have trained, or an adapter on top of one.",
    ModelSource.HUGGINGFACE: "A public model of the Hugging Face Hub.",
}


class Limit(NamedTuple):
    """A field of the form's second part: a number, with what it is where nothing else is said."""

    name: str
    title: str
    hint: str
    least: str
    step: str = "any"

    @property
    def default(self) -> str:
        value = ModelCreate.model_fields[self.name].default
        return "" if value is None else f"{value:g}"


LIMITS = (
    Limit("requests_per_minute", "Calls a minute", "Empty: no limit.", "0"),
    Limit("concurrency_ceiling", "Ceiling of auto", "The most calls at once that auto may come to.", "1", "1"),
    Limit("timeout_s", "Timeout, seconds", "For a whole call.", "0"),
    Limit("connect_timeout_s", "Connect timeout, seconds", "For a call\u2019s connection.", "0"),
    Limit("first_token_timeout_s", "First token timeout, seconds", "Where answers are streamed.", "0"),
    Limit("token_timeout_s", "Token timeout, seconds", "From one token to the next, where answers are streamed.", "0"),
    Limit("max_attempts", "Attempts", "Calls for one sample before it is given up.", "1", "1"),
)


def served_by(model: Model) -> str:
    """The model's own name at its endpoint; with an engine, what that serves: `/models/m0.26 + /models/lora \u00b7 vllm`."""
    if model.engine is None:
        return model.model
    adapter = f" + {model.engine.adapter}" if model.engine.adapter else ""
    return f"{model.engine.checkpoint}{adapter} \u00b7 {model.engine.name}"


def said_of(model: Model) -> str:
    """Why it is not running, in words; empty where it is."""
    if model.status is ModelStatus.RUNNING:
        return ""
    if model.status is ModelStatus.STOPPED and model.engine:
        return "Starts when it is evaluated."
    return model.status_detail


def price_of(model: Model) -> str:
    """USD per million tokens in and out, as `0.15 in, 0.6 out`; empty where neither is known."""
    price = model.price or Price()
    known = (("in", price.input), ("out", price.output))
    return ", ".join(f"{plain(dollars)} {which}" for which, dollars in known if dollars is not None)


SHOWN: dict[str, Any] = {
    "sources": SOURCES,
    "sources_about": SOURCES_ABOUT,
    "ways": WAYS,
    "limits": LIMITS,
    "served_by": served_by,
    "said_of": said_of,
    "price_of": price_of,
    "setting": setting,
}
"""What `model_macros.html` and `model_form.html` need."""
