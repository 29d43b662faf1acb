"""One run of a scoring program: what it finds is laid out, it is run in the sandbox, what it leaves is read and stored."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.scorer.programs import output
from services.scorer.programs.command import INPUT, OUTPUT, PROGRAM, SHARED, command
from services.scorer.programs.layout import Layout
from services.scorer.programs.log import ProgramLog
from services.scorer.programs.scores import Matched, ProgramFailed, match_columns, read_scores
from services.scorer.sandbox import Finished, Limits, Mount, Output, Sandbox, remove
from shared import subjects
from shared.contracts import FileEntry, Note, Step
from shared.manifest import Column
from shared.scoring import ProgramScoring
from shared.service import Service, end
from shared.storage.mongo import Database, Document
from shared.storage.objects import Objects
from shared.texts import clip, visible
from shared.unpacking import ArchiveLimits
from shared.workspace import workspace

_PROCESSES = 256
"""With their threads: numerical libraries start one for each core."""
_LAST_LINES = 5
_MISSING = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)'?")


@dataclass(frozen=True)
class _Setting:
    """What of an environment counts for a run."""

    bundle: str
    columns: list[Column]
    command: str
    image: str | None
    reference: str | None
    limit_s: float


class Programs:
    """Runs scoring programs. `limits` hold for what is unpacked of a bundle."""

    def __init__(
        self, service: Service, database: Database, objects: Objects, sandbox: Sandbox, limits: ArchiveLimits
    ) -> None:
        self._service = service
        self._database = database
        self._objects = objects
        self._sandbox = sandbox
        self._limits = limits

    async def run(
        self,
        step: Step,
        evaluation: Document,
        scoring: ProgramScoring,
        metrics: Document,
        results: AsyncIterator[list[Document]],
    ) -> Document:
        """The round's `metrics` with the program's scores, and the key of what it left, as they go into `scores`.

        Raises:
            ProgramFailed: the program's fault, in words for its author, and with what it left.
            NoSandbox: programs cannot be confined on this machine.
        """
        setting = await self._setting(evaluation, scoring)
        with workspace("scorer") as folder:
            layout = Layout(folder)
            try:
                bundle = folder / "bundle.zip"
                await self._objects.get_file(setting.bundle, bundle)
                await asyncio.to_thread(layout.unpack, bundle, scoring, setting.reference, self._limits)
                await layout.write_results(
                    results, files=scoring.files, samples=evaluation["samples_per_item"], form=scoring.predictions
                )
                await asyncio.to_thread(layout.open_up)
                # It knows the gold answers, and may well print them.
                is_told = not evaluation.get("hide_targets")
                log = ProgramLog(folder, step.evaluation, self._say if is_told else _tell_nobody)
                if not is_told:
                    await self._note(
                        step, "Scoring program: the phase hides its targets, so what it says is in its files alone"
                    )
                try:
                    await self._execute(step, scoring, setting, layout, log, is_told=is_told)
                    return await self._take(step, setting, layout, log, metrics)
                except ProgramFailed as failure:
                    written, _ = await asyncio.to_thread(output.takeable, layout.output, Limits.output_bytes)
                    failure.files = [await self._store(step, layout, log, written, None)]
                    raise
            finally:
                for left in (layout.output, layout.shared):
                    await asyncio.to_thread(remove, left)

    async def _setting(self, evaluation: Document, scoring: ProgramScoring) -> _Setting:
        environment = await self._database["environments"].find_one({"_id": evaluation["environment"]})
        if environment is None or not environment.get("program"):
            raise ProgramFailed(f"environment {evaluation['environment']} has no scoring program; push it again")
        manifest, program = environment["manifest"], environment["program"]
        phase = next(phase for phase in manifest["phases"] if phase["name"] == evaluation["phase"])
        return _Setting(
            bundle=f"environments/{environment['slug']}/{environment['version']}.zip",
            columns=[Column.model_validate(column) for column in manifest["leaderboard"]["columns"]],
            command=program["command"],
            image=program["image"],
            reference=phase.get("reference") or scoring.reference,
            limit_s=min(scoring.time_limit_s, phase.get("execution_time_limit_s") or scoring.time_limit_s),
        )

    async def _execute(
        self,
        step: Step,
        scoring: ProgramScoring,
        setting: _Setting,
        layout: Layout,
        log: ProgramLog,
        *,
        is_told: bool,
    ) -> None:
        """Raises `ProgramFailed` unless the program came to a good end."""
        words, asked_for = command(setting.command, self._sandbox.python)
        await self._note(step, f"Scoring program: {clip(visible(setting.command), 500)}")
        if asked_for is not None:
            await self._note(step, f"Scoring program: {asked_for} is asked for, {self._sandbox.python} runs it")
        if setting.image is not None:
            image = clip(visible(setting.image), 200)
            await self._note(step, f"Scoring program: the image {image} is not used; Assay's own Python runs it")
        following = asyncio.create_task(log.follow())
        try:
            finished = await self._sandbox.run(
                words,
                mounts=[
                    Mount(layout.program, PROGRAM),
                    Mount(layout.input, INPUT),
                    Mount(layout.output, OUTPUT, writable=True),
                    Mount(layout.shared, SHARED, writable=True),
                ],
                folder=PROGRAM,
                environment=_environment(),
                limits=Limits(
                    wall_s=setting.limit_s,
                    cpu_s=setting.limit_s * (os.cpu_count() or 1),
                    memory_bytes=scoring.memory_mb * 1024**2,
                    processes=_PROCESSES,
                ),
                on_line=log.line,
            )
        finally:
            await end([following])
            await log.flush(last=True)
        if failure := failed(finished, log.tail, setting.image, is_told=is_told):
            raise ProgramFailed(failure)

    async def _take(
        self, step: Step, setting: _Setting, layout: Layout, log: ProgramLog, metrics: Document
    ) -> Document:
        written = await asyncio.to_thread(output.taken, layout.output, Limits.output_bytes)
        columns = {column.key for column in setting.columns}
        scores, aside = await asyncio.to_thread(read_scores, layout.output, columns)
        matched = match_columns(scores, setting.columns, own_metrics(metrics))
        for warning in warnings(matched, aside):
            await self._note(step, warning, "warning")
        report, dataset = output.report_in(written), written.get(output.DATASET)
        if report is not None and report.size > output.MAX_REPORT:
            await self._leave(step, report, f"it is larger than {output.MAX_REPORT:,} bytes")
            report = None
        if dataset is not None and (problem := await asyncio.to_thread(output.check_dataset, dataset)):
            await self._leave(step, dataset, problem)
            dataset = None
        stored = await self._store(step, layout, log, written, scores)
        return {
            "metrics": with_program(metrics, scores, matched),
            "output": {"key": stored.key, "report": report and report.name, "dataset": dataset and dataset.name},
        }

    async def _store(
        self,
        step: Step,
        layout: Layout,
        log: ProgramLog,
        written: Mapping[str, Output],
        scores: Mapping[str, float] | None,
    ) -> FileEntry:
        name, kind = "scoring_output.zip", "application/zip"
        archive = layout.input.parent / name
        await asyncio.to_thread(output.pack, archive, written, scores, log.paths)
        key = f"evaluations/{step.evaluation}/{step.round}/{name}"
        stored = await self._objects.put_file(key, archive, kind)
        return FileEntry(
            name=name, kind="scoring_output", size=stored.size, sha256=stored.sha256, content_type=kind, key=key
        )

    async def _leave(self, step: Step, file: Output, problem: str) -> None:
        message = f"Scoring program: its {file.name} is not used, Assay's own is there instead: {problem}"
        await self._note(step, message, "warning")

    async def _note(self, step: Step, message: str, level: Any = "info") -> None:
        await self._say(Note(evaluation=step.evaluation, level=level, message=message))

    async def _say(self, note: Note) -> None:
        # What a person reads on the way is no reason to stop for.
        with contextlib.suppress(Exception):
            await self._service.nc.publish(subjects.notes(note.evaluation), note.model_dump_json().encode())


async def _tell_nobody(note: Note) -> None:
    """In the place of `_say` where a program's lines must not be told."""


def _environment() -> dict[str, str]:
    # A fixed seed of hashes: the same predictions give the same scores.
    threads = str(min(4, os.cpu_count() or 1))
    return {
        "PYTHONHASHSEED": "0",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - the sandbox's own
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }


def failed(finished: Finished, tail: list[str], image: str | None, *, is_told: bool = True) -> str | None:
    """What is wrong with how a program ended, or None. `tail` are the last lines of its standard error, quoted where `is_told`."""
    if finished.stopped is not None:
        return f"the scoring program was stopped: {finished.stopped}"
    if not finished.exit_code:
        return None
    made_for = "" if image is None else f"; it was made for the image {clip(visible(image), 200)}, which is not used"
    for line in reversed(tail):
        if missing := _MISSING.search(line):
            return (
                f"the scoring program needs the Python module {missing[1]!r}, which is neither in its folder nor installed here"
                f"{made_for}: put it into the folder, or name a Python that has it in ASSAY_PROGRAM_PYTHON"
            )
    if not is_told:
        hidden = "what it said is not shown, since the phase hides its targets"
        return f"the scoring program ended with code {finished.exit_code}; {hidden}{made_for}"
    lines = [clip(visible(line.strip()), 300) for line in tail if line.strip()][-_LAST_LINES:]
    said = (
        f"; the end of its standard error: {' | '.join(lines)}" if lines else ", without a word on its standard error"
    )
    return f"the scoring program ended with code {finished.exit_code}{said}{made_for}"


def own_metrics(metrics: Mapping[str, Any]) -> set[str]:
    """The names of the numbers that an evaluation has whatever its program writes."""
    numbers: set[str] = {name for name, value in metrics.items() if isinstance(value, int | float)}
    return numbers | set(metrics["scores"]) | {"duration_s", "overall_score"}


def warnings(matched: Matched, aside: Mapping[str, str]) -> list[str]:
    """What is said of keys and columns that do not fit, and of what is no number."""
    said = []
    if aside:
        listed = ", ".join(f"{key!r} is {kind}" for key, kind in list(aside.items())[:10])
        said.append(f"Scoring program: what no column shows and is no number is only in its own file: {listed}")
    if matched.unmatched:
        said.append(
            f"Scoring program: no column of the leaderboard shows {_listed(matched.unmatched)}; kept in the scores"
        )
    if matched.missing:
        said.append(f"Scoring program: it gives no {_listed(matched.missing)}, for which the leaderboard has a column")
    return said


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{', '.join(map(repr, names[:10]))}{more}"


def with_program(metrics: Document, scores: Mapping[str, float], matched: Matched) -> Document:
    """The metrics of an evaluation that a program has scored.

    `scores` has the program's beside those that its items have by themselves. `overall_score` is the first column's. Of what a program
    computes Assay knows no interval and no bounds. A program's own `accuracy` or `exact_match` takes the place of Assay's.
    """
    unknown = dict.fromkeys(scores)
    taken = [name for name in ("accuracy", "exact_match") if name in scores]
    merged: Document = {
        **metrics,
        "scores": {**scores, **{k: v for k, v in metrics["scores"].items() if k not in scores}},
    }
    merged["overall_score"] = None
    if matched.main is not None:
        merged["overall_score"] = scores.get(
            matched.main, merged["scores"].get(matched.main, metrics.get(matched.main))
        )
    for name in taken:
        merged[name] = scores[name] if 0 <= scores[name] <= 1 else None
    if "accuracy" in taken:
        merged |= {"accuracy_stderr": None, "accuracy_ci95": None}
    for kind in ("intervals", "bounds"):
        if kind in metrics:
            known = {**metrics[kind], **dict.fromkeys(taken)}
            known["scores"] = {**metrics[kind]["scores"], **unknown}
            known["overall_score"] = (known | known["scores"]).get(matched.main) if matched.main else None
            merged[kind] = known
    merged["columns"] = {"unmatched": matched.unmatched, "missing": matched.missing}
    return merged
