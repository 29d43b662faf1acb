"""What can be imported as an environment, and with which options: a model a format.

The gateway checks requests with them and shows them in its contract; artifacts converts by them (`services/artifacts/importers/`).
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from shared.generation import Generation
from shared.manifest import SLUG_IN_WORDS, SLUG_PATTERN, Prompt
from shared.scoring import PredictionsFile, Scoring


class Options(BaseModel):
    """What every import may say: `slug`, `title`, `description` and `tags` in place of the source's own."""

    model_config = ConfigDict(extra="forbid")
    called: ClassVar[str]
    """The format's name for people."""
    needs_file: ClassVar[bool] = True
    """Whether the request carries a file to convert."""

    slug: str | None = Field(default=None, pattern=SLUG_PATTERN, description=SLUG_IN_WORDS)
    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    tags: list[str] | None = None


def _prompt(value: Any) -> Any:
    return {"template": value} if isinstance(value, str) else value


def _scoring(value: Any) -> Any:
    return {"scorer": value} if isinstance(value, str) else value


PromptOption = Annotated[Prompt, BeforeValidator(_prompt, json_schema_input_type=str | Prompt)]
"""A prompt as in the manifest, or its template alone."""

ScoringOption = Annotated[Scoring, BeforeValidator(_scoring, json_schema_input_type=str | Scoring)]
"""Scoring as in the manifest, or the scorer's name alone."""


class ItemFields(BaseModel):
    """Which columns hold an item's parts."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    input: str | None = None
    target: str | None = None


class TableFields(ItemFields):
    """`choices` is a column with a list of texts, or a list of columns with a text each."""

    choices: str | list[str] | None = None


class TableImport(Options):
    """Rows as CSV, TSV, JSONL, Parquet or a JSON array: one file, or a zip of several, each a phase named after its file.

    `phases` names the phases and their files instead. What `fields`, `prompt` and `scoring` leave out is guessed from the columns, and
    the report says how.
    """

    called: ClassVar[str] = "Table: CSV, TSV, JSONL, Parquet or JSON"

    format: Literal["table"]
    fields: TableFields = TableFields()
    prompt: PromptOption | None = None
    scoring: ScoringOption | None = None
    generation: Generation = Generation()
    phases: dict[str, str] | None = Field(default=None, min_length=1)


class CodabenchImport(Options):
    """A competition bundle of Codabench, version 2 (`competition.yaml`).

    `items` is the file with a row for each test case, `fields` its columns and `prompt` the question; without them they are taken from
    the tasks' `input_data` (docs/importing.md has the rules). `tasks` are the indexes of the tasks to take, by default all. `files` gives
    the scoring program a file an item, `predictions` a file in the form in which it reads submissions. With `keep_dates: false` the
    phases are open without end.
    """

    called: ClassVar[str] = "Codabench competition, version 2"

    format: Literal["codabench"]
    items: str | None = Field(default=None, min_length=1)
    fields: ItemFields = ItemFields()
    prompt: PromptOption | None = None
    generation: Generation = Generation()
    tasks: list[int] | None = Field(default=None, min_length=1)
    files: bool | None = None
    predictions: PredictionsFile | None = None
    keep_dates: bool = True


class LmEvalImport(Options):
    """A task of lm-evaluation-harness: its YAML and the YAML it includes, beside its data files.

    `task` says which, where there are several. `data` names the file of each split, in place of the task's dataset. Of several filters
    `filter` is the one to score by (the first); `scoring` takes the place of filter and metric, `num_fewshot` of the task's.
    """

    called: ClassVar[str] = "lm-evaluation-harness task"

    format: Literal["lm_eval"]
    task: str | None = None
    data: dict[str, str] | None = Field(default=None, min_length=1)
    filter: str | None = None
    num_fewshot: int | None = Field(default=None, ge=0, le=100)
    scoring: ScoringOption | None = None


class InspectFields(BaseModel):
    """Inspect's `FieldSpec`: which fields of a record are a sample's. `metadata` names those to keep; by default the field `metadata`."""

    model_config = ConfigDict(extra="forbid")

    id: str = "id"
    input: str = "input"
    target: str = "target"
    choices: str = "choices"
    metadata: list[str] | None = None


class InspectImport(Options):
    """Files for Inspect's `json_dataset` (JSON, JSONL) or `csv_dataset`: one, or several that are a phase each.

    `scorer` is Inspect's, with its `location` (of `match`), `ignore_case`, `numeric` and `pattern`; without it, `choice` for samples with
    choices, else `match`. `system` is the system message, `phases` names the phases and their files.
    """

    called: ClassVar[str] = "Inspect dataset"

    format: Literal["inspect"]
    fields: InspectFields = InspectFields()
    scorer: (
        Literal["match", "includes", "exact", "choice", "f1", "pattern", "model_graded_qa", "model_graded_fact"] | None
    ) = None
    location: Literal["begin", "end", "any", "exact"] = "end"
    ignore_case: bool = True
    numeric: bool = False
    pattern: str | None = Field(default=None, min_length=1, max_length=10_000)
    system: str | None = Field(default=None, min_length=1)
    generation: Generation = Generation()
    phases: dict[str, str] | None = Field(default=None, min_length=1)


class OpenAIEvalsImport(Options):
    """Samples of OpenAI evals (JSONL with `input` and `ideal`), with the registry's YAML where it is there.

    `eval` names the entry of the registry, where there are several. `eval_class` is what the registry would say; without both it is
    `match`. `ignore_case` is an argument of `includes`.
    """

    called: ClassVar[str] = "OpenAI evals samples"

    format: Literal["openai_evals"]
    eval: str | None = None
    eval_class: Literal["match", "includes", "fuzzy_match", "json_match"] | None = None
    ignore_case: bool | None = None


HUB_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$"


class HuggingFaceImport(Options):
    """A dataset of the Hugging Face Hub: its Parquet, JSONL or CSV files, or `dataset`, fetched through the datasets server (off unless the
    deployment has `ASSAY_HF_DATASETS_URL`).

    A `preset` knows a benchmark's columns, prompt and scoring; else `fields`, `prompt` and `scoring` are as for a table. `split` is what is
    evaluated, `config` the subset; `num_fewshot` examples come from `fewshot_split`.
    """

    called: ClassVar[str] = "Hugging Face dataset"
    needs_file: ClassVar[bool] = False

    format: Literal["huggingface"]
    dataset: str | None = Field(default=None, pattern=HUB_NAME)
    config: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,95}$")
    split: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._]{0,63}$")
    preset: Literal["gsm8k", "mmlu", "arc_easy", "arc_challenge", "humaneval", "truthfulqa_mc1"] | None = None
    num_fewshot: int = Field(default=0, ge=0, le=50)
    fewshot_split: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._]{0,63}$")
    fields: TableFields | None = None
    prompt: PromptOption | None = None
    scoring: ScoringOption | None = None
    generation: Generation = Generation()


AnyImport = TableImport | CodabenchImport | LmEvalImport | InspectImport | OpenAIEvalsImport | HuggingFaceImport

Import = Annotated[AnyImport, Field(discriminator="format")]

FORMATS: dict[str, type[Options]] = {
    get_args(kind.model_fields["format"].annotation)[0]: kind for kind in get_args(AnyImport)
}
"""By the name that a request gives."""

IMPORT: TypeAdapter[Import] = TypeAdapter(Import)


def as_sent(options: Import) -> dict[str, Any]:
    """The options as plain data, without what nobody said: `IMPORT` reads it again."""
    return options.model_dump(mode="json", exclude_unset=True, by_alias=True)
