"""`competition.yaml`, and the files that it names."""

import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from dateutil import parser as dates
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.artifacts.importers.source import files_in, refuse, wrong_file
from services.artifacts.problems import Problems
from services.artifacts.yamls import Lines, read_yaml
from shared.errors import Invalid
from shared.explain import explained, near
from shared.unpacking import inner_path

NAMES = ("competition.yaml", "competition.yml")
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
                found = dates.parse(value)
            except (ValueError, OverflowError):
                raise ValueError(f"{value[:60]!r} is no date; write it as 2026-12-31 14:30:00") from None
        case _:
            raise ValueError("must be a date, such as 2026-12-31 14:30:00")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _none_for_zero(value: Any) -> Any:
    """A quota of 0 means none."""
    return value or None


Text = Annotated[str, BeforeValidator(_text)]
When = Annotated[datetime | None, BeforeValidator(_when)]
Quota = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_none_for_zero)]
Duration = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_none_for_zero)]
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
    public_data: Any = None

    @property
    def time_limit_s(self) -> float | None:
        if self.execution_time_limit is None and self.execution_time_limit_ms is not None:
            return self.execution_time_limit_ms / 1000
        return self.execution_time_limit


class Page(_Read):
    title: Text | None = None
    file: str


class Column(_Read):
    key: Text
    title: Text | None = None
    index: int | None = None
    sorting: str | None = None
    computation: str | None = None
    computation_indexes: list[int] | None = None
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


class Source:
    """The files of a competition, below the folder that holds `competition.yaml`."""

    def __init__(self, folder: Path) -> None:
        """Raises `Invalid` where there is no such file, or more than one that might be meant."""
        all_files = files_in(folder)
        found = sorted(
            (name for name in all_files if name.rpartition("/")[2] in NAMES), key=lambda name: name.count("/")
        )
        if not found:
            there = ", ".join(list(all_files)[:20]) or "nothing"
            raise wrong_file(
                NAMES[0], f"is not there; a competition's bundle is a zip with it at the root, and this has: {there}"
            )
        first = found[0]
        if any(name.count("/") == first.count("/") for name in found[1:]):
            raise wrong_file(NAMES[0], f"is there more than once: {', '.join(found[:20])}; send one competition")
        self.name = first.rpartition("/")[2]
        self.folder = (folder / first).parent
        self.files = files_in(self.folder)
        self.lines = Lines()
        self.positions: dict[int, int] = {}
        """Where each task, by its index, stands in the list."""

    def at(self, written: str) -> Path | None:
        """The file or folder of that name; a folder may stand for its zip, and the other way round, as in sources of bundles."""
        name = inner_path(written.replace("\\", "/")).lstrip("/")
        for one in (name, name.removesuffix(".zip") if name.endswith(".zip") else f"{name}.zip"):
            # Only what was unpacked is looked up, so no path leads out of the source.
            if one in self.files or any(path.startswith(f"{one}/") for path in self.files):
                return self.folder / one
        return None

    def part(self, task: Task, what: str) -> Path:
        """What the task's key `what` names: a folder or a zip. Raises `Invalid` with its line in `competition.yaml`."""
        written = getattr(task, what)
        where = f"{what} of task {task.index}"
        if written is None:
            raise self.wrong(f"{where} is missing: write the folder or zip of the bundle that holds it", task, what)
        path = self.at(written)
        if path is None and _is_key(written):
            raise self.wrong(
                f"{where} is a key of Codabench's ({written}); put the data itself into the bundle", task, what
            )
        if path is None:
            folders = {
                parent.as_posix() for name in self.files for parent in Path(name).parents if parent.as_posix() != "."
            }
            zips = {name for name in self.files if name.endswith(".zip")}
            raise self.wrong(
                f"{where}: there is no {written!r}; {near(written, folders | zips, 'the bundle has')}", task, what
            )
        if path.is_file() and path.suffix != ".zip":
            raise self.wrong(f"{where}: {written!r} is neither a folder nor a zip", task, what)
        return path

    def wrong(self, msg: str, task: Task, key: str) -> Invalid:
        position = self.positions.get(task.index, 0)
        loc = ("tasks", position, key)
        return wrong_file(self.name, self.lines.told(loc, msg), *loc)


def _is_key(written: str) -> bool:
    try:
        UUID(written.strip())
    except ValueError:
        return False
    return True


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
    bundle.positions = {task.index: position for position, task in enumerate(competition.tasks)}
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
        if phase.start and phase.end and phase.end <= phase.start:
            add(("phases", position, "end"), "end must be after start")
