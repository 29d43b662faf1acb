"""`competition.yaml`: what of it means something here."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from dateutil import parser as dates
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.artifacts.importers.codabench.source import Source
from services.artifacts.importers.source import refuse
from services.artifacts.problems import Problems
from services.artifacts.yamls import read_yaml
from shared.explain import explained

_MAX_DATE = 60  # characters that are read of one
_MAX_DURATION = 86_400_000.0  # a day, in the smaller of the two units
_KEYS = "version: 2, title, tasks, phases and leaderboards"


def _text(value: Any) -> Any:
    """YAML reads an unquoted 2024 as a number, where people mean text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _when(value: Any) -> Any:
    """As Codabench reads it: a date is its midnight, the month comes first, all is UTC."""
    match value:
        case None | "":
            return None
        case datetime():
            found = value
        case date():
            found = datetime.combine(value, time())
        case str():
            try:
                found = dates.parse(value[:_MAX_DATE])
            except (ValueError, OverflowError):
                raise ValueError(f"{value[:_MAX_DATE]!r} is no date; write it as 2026-12-31 14:30:00") from None
        case _:
            raise ValueError("must be a date, such as 2026-12-31 14:30:00")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _none_for_zero(value: Any) -> Any:
    """A quota of 0 means none."""
    return value or None


def _direction(value: Any) -> Any:
    return value.strip().lower() or None if isinstance(value, str) else value


def _indexes(value: Any) -> Any:
    """A list, or as Codabench stores it: `1,2`."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]
When = Annotated[datetime | None, BeforeValidator(_when)]
Quota = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_none_for_zero)]
Duration = Annotated[Annotated[float, Field(gt=0, le=_MAX_DURATION)] | None, BeforeValidator(_none_for_zero)]
Named = Annotated[str | None, BeforeValidator(_none_for_zero)]


class _Read(BaseModel):
    """Keys that mean nothing here are passed over, as Codabench does."""

    model_config = ConfigDict(extra="ignore")


class Task(_Read):
    index: int
    name: Text | None = None
    key: str | None = None
    scoring_program: Named = None
    reference_data: Named = None
    input_data: Named = None
    ingestion_program: Named = None
    ingestion_only_during_scoring: bool | None = None


class Phase(_Read):
    name: Text
    index: int | None = None
    description: Text | None = None
    start: When = None
    end: When = None
    max_submissions: Quota = None
    max_submissions_per_day: Quota = None
    execution_time_limit: Duration = None
    execution_time_limit_ms: Duration = None
    tasks: list[int] = Field(min_length=1)
    starting_kit: Any = None
    public_data: Text | None = None
    hide_output: bool | None = None
    hide_score_output: bool | None = None
    auto_migrate_to_this_phase: bool | None = None

    @property
    def time_limit_s(self) -> float | None:
        if self.execution_time_limit is None and self.execution_time_limit_ms is not None:
            return self.execution_time_limit_ms / 1000
        return self.execution_time_limit


class Page(_Read):
    title: Text | None = None
    file: str


class Column(_Read):
    key: Annotated[Text, Field(min_length=1)]
    title: Text | None = None
    index: int | None = None
    sorting: Annotated[Literal["asc", "desc"] | None, BeforeValidator(_direction)] = None
    computation: str | None = None
    computation_indexes: Annotated[list[int] | None, BeforeValidator(_indexes)] = None
    precision: int | None = None
    hidden: bool | None = None


class Leaderboard(_Read):
    title: Text | None = None
    submission_rule: str | None = None
    columns: list[Column] = Field(min_length=1)


class Competition(_Read):
    title: Annotated[Text, Field(min_length=1)]
    description: Text | None = None
    docker_image: Text | None = None
    pages: list[Page] | None = None
    tasks: list[Task] = Field(min_length=1)
    phases: list[Phase] = Field(min_length=1)
    leaderboards: list[Leaderboard] | None = None
    solutions: list[Any] | None = None
    terms: Any = None
    image: Any = None
    fact_sheet: Any = None
    queue: Any = None

    def in_order(self) -> list[Phase]:
        """The phases by their index, else in the file's order."""
        return sorted(self.phases, key=lambda phase: phase.index or 0)


def read_competition(bundle: Source, max_bytes: int) -> Competition:
    """Raises `Invalid`: each error with its line."""
    problems = Problems()
    data, bundle.lines = read_yaml(bundle.folder / bundle.name, bundle.name, max_bytes, problems, _KEYS, lenient=True)
    _check_version(data, bundle, problems)
    try:
        competition = Competition.model_validate(data)
    except ValidationError as error:
        for loc, msg in explained(error, data, Competition.model_json_schema()):
            problems.add([bundle.name, *loc], bundle.lines.told(loc, msg))
        refuse(problems)
    _check_references(competition, bundle, problems)
    problems.raise_any()
    return competition


def _check_version(data: dict[str, Any], bundle: Source, problems: Problems) -> None:
    version = data.get("version")
    if re.fullmatch(r"2(\.0+)?", str(version)):
        return
    said = "has no version, which means version 1" if version is None else f"is of version {str(version)[:20]}"
    msg = (
        f"{said}: a competition of the old CodaLab. Only Codabench's version 2 can be imported: write 'version: 2', list "
        "the tasks, and name them in the phases (https://docs.codabench.org, 'How to transition from CodaLab to Codabench')"
    )
    problems.add([bundle.name, "version"], bundle.lines.told(("version",), msg) if version is not None else msg)
    refuse(problems)


def _check_references(competition: Competition, bundle: Source, problems: Problems) -> None:
    def add(loc: tuple[str | int, ...], msg: str) -> None:
        problems.add([bundle.name, *loc], bundle.lines.told(loc, msg))

    tasks: set[int] = set()
    for position, task in enumerate(competition.tasks):
        if task.index in tasks:
            add(("tasks", position, "index"), f"the index {task.index} is that of another task, too")
        tasks.add(task.index)
        if task.key and not task.scoring_program:
            msg = f"task {task.index} is a task of Codabench's by its key; put its program and its data into the bundle"
            add(("tasks", position, "key"), msg)
        elif not task.scoring_program:
            add(("tasks", position), f"task {task.index} has no scoring_program")
    for position, phase in enumerate(competition.phases):
        for index in phase.tasks:
            if index not in tasks:
                known = ", ".join(map(str, sorted(tasks)))
                add(("phases", position, "tasks"), f"there is no task {index}; the tasks' indexes are {known}")
        if phase.start and phase.end and phase.end < phase.start:
            add(("phases", position, "end"), "end must be after start")
