"""A model's settings as pages show and ask for them."""

from datetime import UTC, datetime
from typing import NamedTuple

from shared.api import Model, ModelCreate
from shared.contracts import ModelSource, ModelStatus

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
