"""The manifest of an environment (`environment.yaml`) as typed models.

Artifacts validates uploads with them, the orchestrator reads phases and generation parameters, the scorer reads `scoring`.
Unknown keys are refused: a misspelt key that is ignored gives wrong scores in silence.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from shared.generation import Generation
from shared.scoring import ProgramScoring, Scoring
from shared.strict import Strict

SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
SLUG_IN_WORDS = "1 to 63 lower-case letters, digits, '-' and '_', beginning with a letter or digit"


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


UtcDatetime = Annotated[datetime, AfterValidator(_as_utc)]
"""A time in UTC; one without an offset is taken as UTC."""


class Fields(Strict):
    """Which columns of the data hold an item's parts. Without `id`, an item's id is its row number from 1.

    Where the scoring needs no target (see `Scored.needs_target`) the column may be missing, and the target is empty.
    """

    id: str | None = None
    input: str = "input"
    target: str = "target"


class Phase(Strict):
    """A named part of the environment with its own data. Times without an offset are UTC.

    `max_submissions` and `max_submissions_per_day` count a model's evaluations in it, over all versions; a day is one of UTC.
    `execution_time_limit_s` is how long the predictions of an evaluation may take, and its scoring program. With `hide_targets` the gold
    answers are shown to nobody who may not register environments, and stand in no file. `reference` takes the place of the scoring
    program's in this phase.
    """

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}$",
        description="1 to 63 letters, digits, blanks, '_', '.' and '-', beginning with a letter or digit",
    )
    description: str = ""
    data: str = Field(min_length=1)
    fields: Fields = Fields()
    start: UtcDatetime | None = None
    end: UtcDatetime | None = None
    max_submissions: int | None = Field(default=None, ge=1)
    max_submissions_per_day: int | None = Field(default=None, ge=1)
    execution_time_limit_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hide_targets: bool = False
    reference: str | None = Field(default=None, min_length=1)

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
    """One of `template` (the user's message, with an optional `system`), `messages`, and `chat`: the column that holds an item's chat
    messages (`[{"role", "content"}]`), which are sent as they are."""

    system: str | None = None
    template: str | None = None
    messages: list[PromptMessage] | None = Field(default=None, min_length=1)
    chat: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if sum(form is not None for form in (self.template, self.messages, self.chat)) != 1:
            raise ValueError("give one of template, messages and chat")
        if self.template is None and self.system is not None:
            raise ValueError("system goes with template; with messages or chat, write it as the first message")
        return self


class Computed(Strict):
    """A column made of other columns of the same row; empty where one of them is."""

    operation: Literal["avg", "min", "max", "sum"]
    of: list[str] = Field(min_length=1)


class Column(Strict):
    """A leaderboard column over a metric, or `computed` of other columns. `sorting` is the direction in which better comes first."""

    key: str = Field(min_length=1)
    title: str | None = None
    sorting: Literal["desc", "asc"] = "desc"
    precision: int = Field(default=4, ge=0, le=10)
    computed: Computed | None = None
    hidden: bool = False


SubmissionRule = Literal["all", "add", "add_and_delete", "force_last", "force_best"]
"""Which of a model's evaluations stand on the leaderboard, by Codabench's rules: all; only those that somebody put there, which may be
taken off again (`add_and_delete`) or not (`add`), one a model; or always its last, or its best by the first column."""


BY_HAND: tuple[SubmissionRule, ...] = ("add", "add_and_delete")
"""The rules by which somebody puts evaluations on the leaderboard."""


class Leaderboard(Strict):
    columns: list[Column] = Field(default_factory=lambda: [Column(key="overall_score", title="Score")], min_length=1)
    submission_rule: SubmissionRule = "all"

    @model_validator(mode="after")
    def _computable(self) -> Self:
        keys = [column.key for column in self.columns]
        if len(set(keys)) < len(keys):
            raise ValueError("the keys of columns must differ")
        if all(column.hidden for column in self.columns):
            raise ValueError("at least one column must not be hidden")
        plain = [column.key for column in self.columns if column.computed is None]
        for column in self.columns:
            for key in column.computed.of if column.computed else ():
                if key not in plain:
                    raise ValueError(f"column {column.key!r} is computed of {key!r}, which is no column over a metric")
        return self


Tag = Annotated[str, Field(min_length=1, max_length=60)]


class Manifest(Strict):
    """`environment.yaml`."""

    slug: str = Field(
        pattern=SLUG_PATTERN,
        description=SLUG_IN_WORDS,
    )
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=2000)
    overview: str | None = None
    tags: list[Tag] = Field(default=[], max_length=20)
    prompt: Prompt
    generation: Generation = Generation()
    phases: list[Phase] = Field(min_length=1)
    scoring: Scoring
    leaderboard: Leaderboard = Leaderboard()
    dataset: bool = True

    @field_validator("scoring", mode="before")
    @classmethod
    def _program_names_itself(cls, scoring: Any) -> Any:
        if isinstance(scoring, dict) and "program" in scoring and "scorer" not in scoring:
            return {"scorer": "program", **scoring}
        return scoring

    @field_validator("phases")
    @classmethod
    def _distinct(cls, phases: list[Phase]) -> list[Phase]:
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names):
            raise ValueError("phase names must differ")
        return phases

    @model_validator(mode="after")
    def _references_are_read(self) -> Self:
        for phase in self.phases:
            if phase.reference is not None and not isinstance(self.scoring, ProgramScoring):
                raise ValueError(f"phase {phase.name!r} has a reference, which only a scoring program reads")
        return self

    def phase(self, name: str) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the manifest, part of the project and published with it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
