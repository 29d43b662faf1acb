"""Which data files of a source are the splits of a task."""

from pathlib import PurePosixPath
from typing import Any, NamedTuple

from services.artifacts.importers.datafiles import Files, listed, matching, of_config, of_split
from services.artifacts.importers.lm_eval.task import Task
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_file
from shared.imports import LmEvalImport


class Splits(NamedTuple):
    """Names of files: of each phase by its split, the one that the harness evaluates first; and of the few-shot examples."""

    phases: dict[str, list[str]]
    shots: list[str]


def splits_of(task: Task, name: str, files: Files, options: LmEvalImport, report: Report) -> Splits:
    """Raises `Invalid` where the split that is evaluated has no data; what else has none is in the report."""
    evaluated = task.evaluated_split
    if evaluated is None:
        raise wrong_file(
            name, "test_split is missing, and so is validation_split: which split is evaluated?", "test_split"
        )
    phases = {evaluated: _files_of(task, name, evaluated, files, options)}
    if not phases[evaluated]:
        wanted = _wanted(task, evaluated, options)
        of = (
            f" of {task.dataset_path} from the Hub" if task.dataset_path not in ("json", "csv", "parquet", None) else ""
        )
        named = "" if wanted is None else f" ({', '.join(str(one)[:100] for one in wanted)})"
        raise wrong_file(
            name,
            f"the data of the split {evaluated!r}{of}{named} is not in the source: send it beside the task, as {evaluated}.jsonl, .json, "
            f".csv or .parquet, or name its file with the option data; there are: {listed(files)}",
            "dataset_path",
        )
    shots = _shots(task, name, files, options, phases[evaluated], report)
    also = task.validation_split
    if also is not None and also != evaluated:
        found = _files_of(task, name, also, files, options)
        if found and not set(found) & set(shots):
            phases[also] = found
        else:
            why = "gives the few-shot examples" if found else "has no data here"
            report.drop("phases", f"The split {also} is no phase: it {why}.")
    return Splits(phases, shots)


def _shots(
    task: Task, name: str, files: Files, options: LmEvalImport, evaluated: list[str], report: Report
) -> list[str]:
    if not task.num_fewshot or task.fewshot_config.samples is not None:
        return []
    split = task.shots_split
    found = [] if split is None else _files_of(task, name, split, files, options)
    if found and not set(found) & set(evaluated):
        return found
    why = f"the split {split} is the one that is evaluated" if found else f"the split {split} has no data here"
    report.drop("few-shot examples", f"The {task.num_fewshot} few-shot examples are left out: {why}.", task.num_fewshot)
    return []


def _wanted(task: Task, split: str, options: LmEvalImport) -> list[Any] | None:
    """The file names that stand for a split; None where none do."""
    files: Any = options.data if options.data is not None else task.dataset_kwargs.get("data_files")
    if isinstance(files, dict):
        files = files.get(split)
    return None if files is None else files if isinstance(files, list) else [files]


def _files_of(task: Task, name: str, split: str, files: Files, options: LmEvalImport) -> list[str]:
    """Empty where one of them is not there."""
    wanted = _wanted(task, split, options)
    if wanted is None:
        return of_split(of_config(files, task.dataset_name), split)
    folder = str(PurePosixPath(name).parent)
    found = [matching(files, one, folder) if isinstance(one, str) else [] for one in wanted]
    return list(dict.fromkeys(one for names in found for one in names)) if all(found) else []
