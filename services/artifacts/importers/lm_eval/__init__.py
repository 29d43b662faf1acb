"""Tasks of lm-evaluation-harness (EleutherAI) over local data."""

from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import head, phase_name, write_manifest, write_rows
from services.artifacts.importers.datafiles import drop_column
from services.artifacts.importers.lm_eval.documents import Documents
from services.artifacts.importers.lm_eval.scoring import choice_scoring, generation_of, scoring_of
from services.artifacts.importers.lm_eval.splits import splits_of
from services.artifacts.importers.lm_eval.task import Task, read_task
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_file
from shared.imports import LmEvalImport

_TYPES = ("generate_until", "multiple_choice")


def convert(source: Path, options: LmEvalImport, out: Path, limits: Limits) -> Report:
    """The prompt of each document is rendered here; the rest of it is kept as the item's metadata `doc`."""
    files = files_in(source)
    report = Report()
    name, task, unknown = read_task(files, options, limits)
    if options.num_fewshot is not None:
        task.num_fewshot = options.num_fewshot
    if task.output_type not in _TYPES:
        message = f"output_type {task.output_type} needs log-likelihoods, which a chat endpoint does not give"
        raise wrong_file(name, f"{message}; {' and '.join(_TYPES)} are carried over", "output_type")
    for key in unknown:
        report.drop("keys", f"The task's {key} is left out.")
    unlike = sorted(task.fewshot_config.model_extra or {}) if task.num_fewshot else []
    for key in unlike:
        report.drop("keys", f"fewshot_config.{key} is left out: examples are written as questions are.")
    if task.repeats > 1:
        report.note(f"repeats: {task.repeats} is left to the evaluation, as samples_per_item.")
    splits = splits_of(task, name, files, options, report)
    documents = Documents(task, name, files, limits, report)
    examples = documents.examples(splits.shots)
    phases = []
    for split, names in splits.phases.items():
        data = f"{phase_name(split)}.jsonl"
        if not write_rows(out / data, documents.items(names, examples)) and not documents.problems.errors:
            raise wrong_file(names[0], "has no rows that make an item")
        documents.problems.raise_any()
        phases.append({"name": phase_name(split), "data": data})
    if not documents.referenced:
        for phase in phases:
            drop_column(out / phase["data"], "references")
    scoring: Any = options.scoring and options.scoring.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if scoring is None and documents.chooses:
        scoring = choice_scoring(task, report)
    elif scoring is None:
        scoring = scoring_of(task, name, options.filter, documents.referenced, report)
    if documents.referenced and "references" not in scoring:
        report.note("Only the first of several targets counts with this scorer.")
    _judge(task, options, bool(examples) and not unlike, report)
    write_manifest(
        out,
        {
            **head(options, title=task.task, tags=["lm-evaluation-harness", *task.tag]),
            "prompt": {"chat": "chat"} if examples or task.description else {"template": "{{ input }}"},
            "generation": {"temperature": 0.0} if documents.chooses else generation_of(task, name, report),
            "phases": phases,
            "scoring": scoring,
        },
    )
    return report


def _judge(task: Task, options: LmEvalImport, has_examples: bool, report: Report) -> None:
    """Whether scores compare with the harness's. `has_examples`: as many as it is asked for, and written as the task says."""
    fixed = task.fewshot_config.samples is not None or task.fewshot_config.sampler == "first_n"
    if task.output_type == "multiple_choice":
        report.comparable, why = (
            False,
            "The harness compares the log-likelihoods of the choices; here the model names one.",
        )
    elif options.scoring is not None:
        report.comparable, why = False, "The request asked for another scorer than the task's."
    elif task.num_fewshot and not has_examples:
        report.comparable, why = False, "The few-shot examples are not there, or not as the task has them."
    elif task.num_fewshot and not fixed:
        why = "The harness draws its few-shot examples at random for each document; here they are the first ones of the split."
        report.comparable = False
    elif not report.comparable:
        why = "The metric is another one."
    else:
        why = "The same documents, prompts, filter and metric, put to a chat endpoint as one message of the user."
    report.comparable_why = why
