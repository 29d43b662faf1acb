"""Competition bundles of Codabench, version 2 (https://docs.codabench.org, "YAML Structure"), as environments with a scoring program.

`competition` reads `competition.yaml`, `files` carries the files over, `items` finds the test cases, `leaderboard` and `pages` carry over
what people see. A phase of the environment is a task in a phase of the competition; the scoring program and each task's reference data are
carried over as they are. What an ingestion program does to submissions has no counterpart, and is said to be left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import head, phase_name, write_manifest
from services.artifacts.importers.codabench.competition import Competition, Phase, Task, read_competition
from services.artifacts.importers.codabench.files import Files
from services.artifacts.importers.codabench.items import Items, find_items, prompt_of
from services.artifacts.importers.codabench.leaderboard import leaderboard_of
from services.artifacts.importers.codabench.pages import OVERVIEW, write_overview
from services.artifacts.importers.codabench.source import Source
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_option
from services.artifacts.problems import quote
from shared.errors import Invalid
from shared.imports import CodabenchImport

_MAX_DESCRIPTION = 2000
_MAX_TIME_S = 86_400.0  # of a scoring program


@dataclass(frozen=True)
class _Part:
    """A phase of the environment: a task in a phase of the competition."""

    name: str
    phase: Phase
    task: Task


def convert(source: Path, options: CodabenchImport, out: Path, limits: Limits) -> Report:
    bundle = Source(source, out.with_name("unpacked"), limits)
    try:
        return _convert(bundle, options, out, limits)
    except Invalid as problem:
        quote(problem.errors, bundle.folder)
        raise
    finally:
        bundle.close()


def _convert(bundle: Source, options: CodabenchImport, out: Path, limits: Limits) -> Report:
    report = Report()
    competition = read_competition(bundle, limits.max_manifest_bytes)
    parts = _parts(competition, options, report)
    tasks = {part.task.index: part.task for part in parts}
    files = Files(bundle, {task.index: position for position, task in enumerate(competition.tasks)}, out)
    program = files.program(list(tasks.values()))
    references = {task.index: files.reference(task) for task in tasks.values()}
    found = {
        task.index: find_items(
            files.places(task, competition, report), files.beside(task), task.index, options, out, limits, report
        )
        for task in tasks.values()
    }
    same = len(set(references.values())) == 1
    reference = next(iter(references.values())) if same else None
    description = competition.description or ""
    if len(description) > _MAX_DESCRIPTION and options.description is None:
        report.note(f"The description was cut to {_MAX_DESCRIPTION:,} characters.")
    manifest = {
        **head(options, title=competition.title, description=description),
        "overview": OVERVIEW if write_overview(bundle, competition, out, limits.max_overview_bytes, report) else None,
        "prompt": prompt_of(list(found.values()), options, report),
        "generation": options.generation.model_dump(mode="json", exclude_unset=True),
        "phases": [
            _phase(
                part, found[part.task.index], None if same else references[part.task.index], options.keep_dates, report
            )
            for part in parts
        ],
        "scoring": _scoring(competition, parts, program, reference, found, options),
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


def _phase(part: _Part, items: Items, reference: str | None, keep_dates: bool, report: Report) -> dict[str, Any]:
    phase = part.phase
    is_moment = phase.start is not None and phase.start == phase.end
    if is_moment and keep_dates:
        report.note(f"The phase {part.name!r} ends as it begins; its end was left out.")
    values = {
        "name": part.name,
        "description": phase.description,
        "data": items.data,
        "fields": items.fields,
        "start": phase.start.isoformat() if phase.start and keep_dates else None,
        "end": phase.end.isoformat() if phase.end and keep_dates and not is_moment else None,
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
        "time_limit_s": min(max(limits), _MAX_TIME_S) if limits else None,
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
    for key in ("starting_kit", "public_data", "hide_output", "hide_score_output", "auto_migrate_to_this_phase"):
        if count := sum(bool(getattr(phase, key)) for phase in competition.phases):
            report.drop(key, count=count)
