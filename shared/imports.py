"""What can be imported as an environment, and with which options: a model a format.

The gateway checks requests with them and shows them in its contract; artifacts converts by them (`services/artifacts/importers/`).
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from shared.manifest import SLUG_PATTERN, Generation, Prompt, Scoring


class Options(BaseModel):
    """What every import may say: `slug`, `title`, `description` and `tags` in place of the source's own."""

    model_config = ConfigDict(extra="forbid")
    called: ClassVar[str]
    """The format's name for people."""
    needs_file: ClassVar[bool] = True
    """Whether the request carries a file to convert."""

    slug: str | None = Field(default=None, pattern=SLUG_PATTERN)
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


class TableFields(BaseModel):
    """Which columns hold an item's parts. `choices` is a column with a list of texts, or a list of columns with a text each."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    input: str | None = None
    target: str | None = None
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
    the tasks' `input_data` (docs/importing.md has the rules). `tasks` are the indexes of the tasks to take, by default all; `files` gives
    the scoring program a file an item. With `keep_dates: false` the phases are open without end.
    """

    called: ClassVar[str] = "Codabench competition, version 2"

    format: Literal["codabench"]
    items: str | None = Field(default=None, min_length=1)
    fields: TableFields = TableFields()
    prompt: PromptOption | None = None
    generation: Generation = Generation()
    tasks: list[int] | None = Field(default=None, min_length=1)
    files: bool | None = None
    keep_dates: bool = True


AnyImport = TableImport | CodabenchImport

Import = Annotated[AnyImport, Field(discriminator="format")]

FORMATS: dict[str, type[Options]] = {
    get_args(kind.model_fields["format"].annotation)[0]: kind for kind in get_args(AnyImport)
}
"""By the name that a request gives."""

IMPORT: TypeAdapter[Import] = TypeAdapter(Import)


def as_sent(options: Import) -> dict[str, Any]:
    """The options as plain data, without what nobody said: `IMPORT` reads it again."""
    return options.model_dump(mode="json", exclude_unset=True, by_alias=True)
