"""Competition bundles of Codabench, version 2 (https://docs.codabench.org, "YAML Structure"), as environments with a scoring program.

`competition` reads `competition.yaml`, `items` finds the test cases in a task's input data, `leaderboard` and `pages` carry over what
people see. A phase of the environment is a task in a phase of the competition; the scoring program and each task's reference data are
carried over as they are. What an ingestion program does to submissions has no counterpart, and is said to be left out.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import head, phase_name, write_manifest
from services.artifacts.importers.codabench.competition import Competition, Phase, Source, Task, read_competition
from services.artifacts.importers.codabench.items import Items, find_items, prompt_of
from services.artifacts.importers.codabench.leaderboard import leaderboard_of
from services.artifacts.importers.codabench.pages import OVERVIEW, write_overview
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_option
from shared.imports import CodabenchImport

_PROGRAM = "scoring_program"
_REFERENCE = "reference_data"


@dataclass(frozen=True)
class _Part:
    """A phase of the environment: a task in a phase of the competition."""

    name: str
    phase: Phase
    task: Task


def convert(source: Path, options: CodabenchImport, out: Path, limits: Limits) -> Report:
    report = Report()
    bundle = Source(source)
    competition = read_competition(bundle, limits.max_manifest_bytes)
    parts = _parts(competition, options, report)
    tasks = {part.task.index: part.task for part in parts}
    program = _program(bundle, list(tasks.values()), out)
    references = _references(bundle, list(tasks.values()), out)
    found = {index: find_items(bundle, task, options, out, limits, report) for index, task in tasks.items()}
    same = len(set(references.values())) == 1
    manifest = {
        **head(options, title=competition.title, description=competition.description or ""),
        "overview": OVERVIEW if write_overview(bundle, competition, out, limits.max_overview_bytes, report) else None,
        "prompt": prompt_of(list(found.values()), options, report),
        "generation": options.generation.model_dump(mode="json", exclude_unset=True),
        "phases": [
            _phase(part, found[part.task.index], None if same else references[part.task.index], options.keep_dates)
            for part in parts
        ],
        "scoring": _scoring(
            competition, parts, program, next(iter(references.values())) if same else None, found, options
        ),
        "leaderboard": leaderboard_of(competition.leaderboards, report),
    }
    write_manifest(out, manifest)
    _tell(competition, parts, found, report, options)
    return report


def _parts(competition: Competition, options: CodabenchImport, report: Report) -> list[_Part]:
    tasks = {task.index: task for task in competition.tasks}
    for index in options.tasks or ():
        if index not in tasks:
            raise wrong_option("tasks", f"there is no task {index}; the tasks are {', '.join(map(str, tasks))}")
    chosen = set(tasks if options.tasks is None else options.tasks)
    parts: list[_Part] = []
    names: set[str] = set()
    for number, phase in enumerate(competition.in_order(), 1):
        for index in phase.tasks:
            if index not in chosen:
                continue
            text = phase.name if len(phase.tasks) == 1 else f"{phase.name} - {tasks[index].name or f'task {index}'}"
            name = _free(phase_name(text, default=f"phase {number}"), names)
            names.add(name)
            parts.append(_Part(name, phase, tasks[index]))
            if name != text:
                report.note(f"The phase {text!r} is called {name!r} here.")
    used = {part.task.index for part in parts}
    if left := len(tasks.keys() - used):
        report.drop("tasks", "Tasks in no phase, or not among those asked for, were left out.", left)
    if not parts:
        raise wrong_option("tasks", "none of these tasks is in a phase of the competition")
    return parts


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name[:58]} {number}"
    return free


def _program(bundle: Source, tasks: Sequence[Task], out: Path) -> str:
    """Carry the scoring program over; gives its name in the bundle. The tasks must have the same one."""
    programs: dict[str, list[Task]] = {}
    for task in tasks:
        programs.setdefault(_digest(bundle.part(task, "scoring_program")), []).append(task)
    if len(programs) > 1:
        groups = [[task.index for task in group] for group in programs.values()]
        listed = " and ".join(
            f"{indexes} ({group[0].scoring_program})" for indexes, group in zip(groups, programs.values(), strict=True)
        )
        raise wrong_option(
            "tasks",
            f"an environment has one scoring program, and these tasks have {len(programs)}: {listed}. "
            f"Import them one after the other, each with a slug of its own: first with tasks {groups[0]}",
        )
    return _carry(bundle.part(tasks[0], "scoring_program"), out, _PROGRAM)


def _references(bundle: Source, tasks: Sequence[Task], out: Path) -> dict[int, str | None]:
    """Carry the reference data over; gives its name in the bundle for each task, None where a task has none."""
    carried: dict[str, str] = {}
    names: dict[int, str | None] = {}
    for task in tasks:
        if task.reference_data is None:
            names[task.index] = None
            continue
        path = bundle.part(task, "reference_data")
        digest = _digest(path)
        if digest not in carried:
            carried[digest] = _carry(path, out, f"{_REFERENCE}-{len(carried) + 1}" if carried else _REFERENCE)
        names[task.index] = carried[digest]
    return names


def _carry(path: Path, out: Path, name: str) -> str:
    """Put a folder or a zip into the bundle without copying its bytes."""
    if path.is_dir():
        shutil.copytree(path, out / name, copy_function=os.link)
        return name
    os.link(path, out / f"{name}.zip")
    return f"{name}.zip"


def _digest(path: Path) -> str:
    """Of a file's, or a folder's files' names and contents."""
    whole = sha256()
    for name, file in files_in(path).items() if path.is_dir() else [("", path)]:
        with file.open("rb") as opened:
            content = sha256()
            while chunk := opened.read(1024 * 1024):
                content.update(chunk)
        whole.update(f"{name}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


def _phase(part: _Part, items: Items, reference: str | None, keep_dates: bool) -> dict[str, Any]:
    phase = part.phase
    values = {
        "name": part.name,
        "description": phase.description,
        "data": items.data,
        "fields": items.fields,
        "start": phase.start.isoformat() if phase.start and keep_dates else None,
        "end": phase.end.isoformat() if phase.end and keep_dates else None,
        "max_submissions": phase.max_submissions,
        "max_submissions_per_day": phase.max_submissions_per_day,
        "execution_time_limit_s": phase.time_limit_s,
        "reference": reference,
    }
    return {key: value for key, value in values.items() if value}


def _scoring(
    competition: Competition,
    parts: Sequence[_Part],
    program: str,
    reference: str | None,
    found: dict[int, Items],
    options: CodabenchImport,
) -> dict[str, Any]:
    limits = [limit for part in parts if (limit := part.phase.time_limit_s)]
    files = any(items.from_files for items in found.values()) if options.files is None else options.files
    values = {
        "program": program,
        "reference": reference,
        "image": competition.docker_image,
        "files": files,
        "predictions": options.predictions.model_dump(mode="json") if options.predictions else None,
        "time_limit_s": max(limits) if limits else None,
    }
    return {key: value for key, value in values.items() if value}


def _tell(
    competition: Competition,
    parts: Sequence[_Part],
    found: dict[int, Items],
    report: Report,
    options: CodabenchImport,
) -> None:
    """What has no counterpart here, and whether scores compare."""
    ingestion = [part.task for part in parts if part.task.ingestion_program is not None]
    report.comparable = not ingestion
    if ingestion:
        report.comparable_why = (
            "The competition's ingestion program makes its predictions from submitted code, with its own inputs and clock; "
            "here a model answers prompts, and only the scoring program and the reference data are the same."
        )
        count = len({task.ingestion_program for task in ingestion})
        report.drop("ingestion programs", "The ingestion program is not run: models answer the prompts instead.", count)
        if any(task.ingestion_only_during_scoring for task in ingestion):
            report.note(
                "The scoring program expects the ingestion program beside it while it runs; it may wait for it in vain."
            )
    else:
        report.comparable_why = (
            "The scoring program and the reference data are the competition's own: "
            "the same answers get the same scores as in a submission of results."
        )
    form = options.predictions
    named = ", ".join(form.fields) if form else "item_id and output"
    report.note(
        f"The scoring program finds the answers in input/res/{form.name if form else 'predictions.jsonl'}, a sample each with {named}"
        + (", and in a file an item" if any(items.from_files for items in found.values()) or options.files else "")
        + "; where it looks for another file of a submission, `predictions` says in which form it wants the answers."
    )
    if competition.docker_image:
        report.note(
            f"The image {competition.docker_image} is not used: the program runs with the packages that are installed with Assay."
        )
    now = datetime.now(UTC)
    over = [part.name for part in parts if part.phase.end and part.phase.end <= now]
    if over and options.keep_dates:
        report.note(
            f"No evaluation can be started where a phase has ended: {', '.join(over)}. Without dates (keep_dates: false) all are open."
        )
    if not options.keep_dates:
        report.note("All phases are open: their dates were left out, as asked.")
    if competition.solutions:
        report.drop(
            "solutions", "Solutions are example submissions, which are not needed here.", len(competition.solutions)
        )
    for key in ("terms", "image", "fact_sheet", "queue"):
        if getattr(competition, key):
            report.drop(key)
    for key in ("starting_kit", "public_data"):
        if count := sum(getattr(phase, key) is not None for phase in competition.phases):
            report.drop(key, count=count)
