"""The manifest of an environment (`environment.yaml`) as typed models.

Artifacts validates uploads with them, the orchestrator reads phases and generation parameters, the scorer reads `scoring`.
Unknown keys are refused: a misspelt key that is ignored gives wrong scores in silence.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


UtcDatetime = Annotated[datetime, AfterValidator(_as_utc)]
"""A time in UTC; one without an offset is taken as UTC."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Fields(Strict):
    """Which columns of the data hold an item's parts. Without `id`, an item's id is its row number from 1."""

    id: str | None = None
    input: str = "input"
    target: str = "target"


class Phase(Strict):
    """A named part of the environment with its own data. Times without an offset are UTC."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}$")
    description: str = ""
    data: str = Field(min_length=1)
    fields: Fields = Fields()
    start: UtcDatetime | None = None
    end: UtcDatetime | None = None
    max_submissions: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class PromptMessage(Strict):
    """One chat message; `content` is a Jinja template over the item's columns."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Prompt(Strict):
    """Either `template` (the user's message) with an optional `system`, or `messages`."""

    system: str | None = None
    template: str | None = None
    messages: list[PromptMessage] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.template is None) == (self.messages is None):
            raise ValueError("give either template or messages")
        if self.messages is not None and self.system is not None:
            raise ValueError("system goes with template; with messages, write it as the first message")
        return self


class Generation(BaseModel):
    """Request parameters of the OpenAI API. Others pass through as they are, since engines have their own."""

    model_config = ConfigDict(extra="allow")

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None


class NumericScoring(Strict):
    """The last number of the answer, compared exactly; `tolerance` > 0 allows an absolute difference."""

    scorer: Literal["numeric"]
    tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)


class ExactMatchScoring(Strict):
    scorer: Literal["exact_match"]
    ignore_case: bool = False
    ignore_punctuation: bool = False


class ContainsScoring(Strict):
    """Correct where the answer contains the target."""

    scorer: Literal["contains"]
    ignore_case: bool = True


class ChoiceScoring(Strict):
    """`choices` names the column that holds an item's choices (a list of texts); the target is a letter, a text of one, or a 0-based index."""

    scorer: Literal["choice"]
    choices: str = "choices"


class RegexScoring(Strict):
    """The pattern's first group (or whole match) of the `which` match is the prediction and must equal the target.

    Without `pattern`, the target itself is the pattern, and the answer is correct where it matches.
    """

    scorer: Literal["regex"]
    pattern: str | None = Field(default=None, max_length=10_000)
    which: Literal["first", "last"] = "last"
    ignore_case: bool = False


class F1Scoring(Strict):
    """Token F1 as SQuAD computes it; correct from `threshold` on."""

    scorer: Literal["f1"]
    threshold: float = Field(default=1.0, gt=0, le=1)


Scoring = Annotated[
    NumericScoring | ExactMatchScoring | ContainsScoring | ChoiceScoring | RegexScoring | F1Scoring,
    Field(discriminator="scorer"),
]


class Column(Strict):
    """A leaderboard column over a metric. `sorting` is the direction in which better comes first."""

    key: str = Field(min_length=1)
    title: str | None = None
    sorting: Literal["desc", "asc"] = "desc"
    precision: int = Field(default=4, ge=0, le=10)


class Leaderboard(Strict):
    columns: list[Column] = Field(default_factory=lambda: [Column(key="overall_score", title="Score")], min_length=1)


class Manifest(Strict):
    """`environment.yaml`."""

    slug: str = Field(pattern=SLUG_PATTERN)
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=2000)
    overview: str | None = None
    tags: list[str] = []
    prompt: Prompt
    generation: Generation = Generation()
    phases: list[Phase] = Field(min_length=1)
    scoring: Scoring
    leaderboard: Leaderboard = Leaderboard()
    dataset: bool = True

    @field_validator("phases")
    @classmethod
    def _distinct(cls, phases: list[Phase]) -> list[Phase]:
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names):
            raise ValueError("phase names must differ")
        return phases

    def phase(self, name: str) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the manifest, part of the project and published with it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
