"""Tasks of lm-evaluation-harness over local data: the prompt of each document is rendered here, as the harness does it.

doc_to_text, doc_to_target and doc_to_choice are column names, Jinja templates or constants (`ConfigurableTask` in its lm_eval/api/task.py).
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers import choices as multiple
from services.artifacts.importers.bundle import head, phase_name, write_manifest, write_rows
from services.artifacts.importers.datafiles import (
    Files,
    drop_column,
    first_rows,
    listed,
    matching,
    of_split,
    refuse_row,
    rows,
)
from services.artifacts.importers.lm_eval_scoring import choice_scoring, generation_of, scoring_of
from services.artifacts.importers.lm_eval_task import Task, read_task
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_file
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, plain, scalar_text, target_text
from shared.imports import LmEvalImport
from shared.rendering import Source, TemplateError, Templates

_TYPES = ("generate_until", "multiple_choice")
_MAX_LITERAL = 100_000  # characters of a list that a template writes


def convert(source: Path, options: LmEvalImport, out: Path, limits: Limits) -> Report:
    files = files_in(source)
    report = Report()
    name, task, unknown = read_task(files, options, limits)
    if options.num_fewshot is not None:
        task.num_fewshot = options.num_fewshot
    if task.output_type not in _TYPES:
        raise wrong_file(
            name,
            f"output_type {task.output_type} needs log-likelihoods, which a chat endpoint does not give; {' and '.join(_TYPES)} are carried over",
            "output_type",
        )
    for key in unknown:
        report.drop("keys", f"The task's {key} is left out.")
    if task.repeats > 1:
        report.note(f"repeats: {task.repeats} is left to the evaluation, as samples_per_item.")
    phases = _phases(task, name, files, options, report)
    documents = _Documents(task, name, files, limits)
    shots = _shots(task, name, files, options, documents, phases, limits, report)
    entries = []
    for at, (split, names) in enumerate(phases):
        data = f"{phase_name(split)}.jsonl"
        write_rows(out / data, documents.items(names, shots, report))
        entries.append({"name": phase_name(split), "data": data})
        documents.problems.raise_any()
        if at == 0 and not (out / data).stat().st_size:
            raise wrong_file(names[0], "has no rows that make an item")
    if not documents.referenced:
        for entry in entries:
            drop_column(out / entry["data"], "references")
    chat = bool(shots or task.description)
    scoring: Any = options.scoring and options.scoring.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if scoring is None:
        scoring = (
            choice_scoring(task, report)
            if documents.chooses
            else scoring_of(task, name, options.filter, documents.referenced, report)
        )
    if documents.referenced and "references" not in scoring:
        report.note("Only the first of several targets counts with this scorer.")
    _judge(task, options, shots, report)
    write_manifest(
        out,
        {
            **head(options, title=task.task_alias or task.task, tags=["lm-evaluation-harness", *task.tag]),
            "prompt": {"chat": "chat"} if chat else {"template": "{{ input }}"},
            "generation": generation_of(task, report) if not documents.chooses else {"temperature": 0.0},
            "phases": entries,
            "scoring": scoring,
        },
    )
    return report


def _judge(task: Task, options: LmEvalImport, shots: str, report: Report) -> None:
    """Whether scores compare with the harness's."""
    why = "The same documents, prompts, filter and metric, put to a chat endpoint as one user message."
    if task.output_type == "multiple_choice":
        report.comparable = False
        why = "The harness compares the log-likelihoods of the choices; here the model names one."
    elif options.scoring is not None:
        report.comparable = False
        why = "The request asked for another scorer than the task's."
    elif task.num_fewshot and not task.fewshot_config.samples and task.fewshot_config.sampler != "first_n":
        report.comparable = False
        why = "The harness draws its few-shot examples at random for each document; " + (
            "here they are the first ones of the split." if shots else "here there are none."
        )
    elif task.num_fewshot and not shots:
        report.comparable = False
        why = "The few-shot examples are not there."
    elif not report.comparable:
        why = "The metric is another one."
    report.comparable_why = why


def _phases(task: Task, name: str, files: Files, options: LmEvalImport, report: Report) -> list[tuple[str, list[str]]]:
    """The splits that are evaluated, with their files: the test split first, else the validation split, as in the harness."""
    splits = [split for split in (task.test_split, task.validation_split) if split]
    split = splits[0] if splits else task.training_split
    if split is None:
        raise wrong_file(
            name, "test_split is missing, and so is validation_split: which split is evaluated?", "test_split"
        )
    found = _files_of(task, name, split, files, options)
    if not found:
        wanted = _wanted(task, split, options)
        of = (
            f" of {task.dataset_path} from the Hub" if task.dataset_path not in ("json", "csv", "parquet", None) else ""
        )
        named = "" if wanted is None else f" ({', '.join(str(one)[:100] for one in wanted)})"
        raise wrong_file(
            name,
            f"the data of the split {split!r}{of}{named} is not in the source: send it beside the task, as {split}.jsonl, .json, .csv or "
            f".parquet, or name its file with the option data; there are: {listed(files)}",
            "dataset_path",
        )
    phases = [(split, found)]
    for other in dict.fromkeys(splits[1:]):
        if other == split:
            continue
        if more := _files_of(task, name, other, files, options):
            phases.append((other, more))
        else:
            report.drop("phases", f"The split {other} has no data here.")
    return phases


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
        return of_split(files, split)
    folder = str(PurePosixPath(name).parent)
    found = [matching(files, one, folder) if isinstance(one, str) else [] for one in wanted]
    return list(dict.fromkeys(one for names in found for one in names)) if all(found) else []


class _Value:
    """doc_to_text and its like: a column's name, a constant, or a template."""

    def __init__(self, key: str, value: Any, name: str, columns: Iterable[str], limits: Limits) -> None:
        self.column = value if isinstance(value, str) and value in columns else None
        self.constant = value if not isinstance(value, str) else None
        self._end = ""
        if self.column is None and self.constant is None:
            # Jinja drops one line end at a template's end, which the harness keeps.
            self._end = "\n" if value.endswith("\n") else ""
            try:
                self._template = Templates(
                    [Source([name, key], "user", value)], time_limit_s=limits.render_s, max_bytes=limits.max_job_bytes
                )
            except TemplateError as error:
                raise wrong_file(name, f"{key}: {error.msg}", key) from error

    def of(self, row: Row) -> Any:
        """Raises `TemplateError`."""
        if self.column is not None:
            return row.values.get(self.column)
        if self.constant is not None:
            return self.constant
        return self._template.render(row.values, list(row.values))[0]["content"] + self._end


class _Documents:
    """Items out of documents. What is wrong with them is in `problems`."""

    def __init__(self, task: Task, name: str, files: Files, limits: Limits) -> None:
        self.task, self.name, self.files, self.limits = task, name, files, limits
        self.problems = Problems()
        self.chooses = task.output_type == "multiple_choice"
        self.referenced = False
        self._values: dict[str, _Value] = {}
        if self.chooses and task.doc_to_choice is None:
            raise wrong_file(name, "doc_to_choice is missing, which a multiple_choice task needs", "doc_to_choice")

    def items(self, names: list[str], shots: str, report: Report) -> Iterator[dict[str, Any]]:
        for file, row in rows(self.files, names, self.limits, self.problems):
            if (item := self._item(file, row, report)) is not None:
                yield self._asked(item, row, shots)

    def example(self, file: str, row: Row) -> str | None:
        """A few-shot example: question, delimiter, answer."""
        text, target = self._read(file, row, "doc_to_text"), self._read(file, row, "doc_to_target")
        if text is None or target is None:
            return None
        if self.chooses:
            choices = self._choices(file, row)
            index = None if choices is None else self._index(target, choices)
            if choices is None or index is None:
                refuse_row(
                    self.problems, file, row, None, "is no example: its doc_to_target is none of its doc_to_choice"
                )
                return None
            lettered = multiple.are_letters(choices)
            text = text if lettered else f"{text}\n\n{multiple.lettered(choices)}\n\n{multiple.ASK}\n"
            target = choices[index] if lettered else multiple.target_of(index, choices)
        elif isinstance(target, list):
            target = target[0] if target else ""
        return f"{scalar_text(text)}{self.task.target_delimiter}{scalar_text(target)}"

    def _read(self, file: str, row: Row, key: str) -> Any:
        if key not in self._values:
            self._values[key] = _Value(key, getattr(self.task, key), self.name, row.values, self.limits)
        try:
            value = self._values[key].of(row)
        except TemplateError as error:
            raise wrong_file(self.name, f"{key}: {error.msg} (with {file}, row {row.line})", key) from error
        if value is None:
            refuse_row(self.problems, file, row, self._values[key].column, f"{key} gives nothing")
        return value

    def _item(self, file: str, row: Row, report: Report) -> dict[str, Any] | None:
        text, target = self._read(file, row, "doc_to_text"), self._read(file, row, "doc_to_target")
        if text is None or target is None:
            return None
        item: dict[str, Any] = {"doc": row.values}
        try:
            item["input"] = scalar_text(text)
            if not self.chooses:
                targets = _targets(target)
                item["target"] = targets[0]
                if len(targets) > 1:
                    self.referenced = True
                item["references"] = targets[1:]
                return item
        except ValueError as error:
            refuse_row(self.problems, file, row, None, f"doc_to_text or doc_to_target {error}")
            return None
        choices = self._choices(file, row)
        if choices is None:
            return None
        if isinstance(target, list) or (isinstance(target, str) and target.startswith("[")):
            report.drop("items with several right choices", "Items with several right choices are left out.")
            return None
        index = self._index(target, choices)
        try:
            if index is None:
                raise ValueError(f"gives {str(target)[:100]!r}, which is none of the choices")
            item |= {"choices": choices, "target": multiple.target_of(index, choices)}
        except ValueError as error:
            refuse_row(self.problems, file, row, None, f"doc_to_target {error}")
            return None
        if not multiple.are_letters(choices):
            report.note("The choices are listed under the question by letters, which the harness does not do.")
            item["input"] += f"\n\n{multiple.lettered(choices)}\n\n{multiple.ASK}"
        return item

    def _asked(self, item: dict[str, Any], row: Row, shots: str) -> dict[str, Any]:
        if not (shots or self.task.description):
            return item
        system = []
        if self.task.description:
            description = self._read(self.name, row, "description")
            system = [{"role": "system", "content": str(description)}]
        return {**item, "chat": [*system, {"role": "user", "content": shots + item["input"]}]}

    def _choices(self, file: str, row: Row) -> list[str] | None:
        if isinstance(self.task.doc_to_choice, list | dict):
            found: Any = self.task.doc_to_choice
            found = list(found.values()) if isinstance(found, dict) else found
        else:
            found = self._read(file, row, "doc_to_choice")
            found = _literal(found) if isinstance(found, str) else found
        if found is None:
            return None
        try:
            return multiple.choice_texts(found)
        except ValueError as error:
            refuse_row(self.problems, file, row, None, f"doc_to_choice {error}")
            return None

    @staticmethod
    def _index(target: Any, choices: list[str]) -> int | None:
        text = str(target).strip() if isinstance(target, str | int) else ""
        if text in choices and not isinstance(target, int):
            return choices.index(text)
        return int(text) if text.isdecimal() and len(text) < 3 and int(text) < len(choices) else None


def _targets(value: Any) -> list[str]:
    """All gold answers of a document; a list may be written by a template. Raises `ValueError`."""
    if isinstance(value, str):
        value = _literal(value)
    found = [target_text(one) for one in (value if isinstance(value, list) else [value])]
    if not found:
        raise ValueError("gives an empty list")
    return found


def _literal(text: str) -> Any:
    """The list that a text writes as Python does; else the text."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]") and len(stripped) <= _MAX_LITERAL):
        return text
    try:
        return plain(ast.literal_eval(stripped))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _shots(
    task: Task,
    name: str,
    files: Files,
    options: LmEvalImport,
    documents: _Documents,
    phases: list[tuple[str, list[str]]],
    limits: Limits,
    report: Report,
) -> str:
    """What stands before each question: the few-shot examples, which are the same for all."""
    if not task.num_fewshot:
        return ""
    if task.fewshot_config.samples is not None:
        examples = [(name, Row(at, values)) for at, values in enumerate(task.fewshot_config.samples, 1)]
    else:
        split = task.shots_split
        names = [] if split is None else _files_of(task, name, split, files, options)
        if split in dict(phases) or not names:
            report.drop(
                "few-shot examples",
                f"The {task.num_fewshot} few-shot examples are left out: "
                + (
                    f"{split} is the split that is evaluated."
                    if split in dict(phases)
                    else f"the split {split} has no data here."
                ),
                task.num_fewshot,
            )
            return ""
        problems = documents.problems
        examples = [(names[0], row) for row in first_rows(files, names, task.num_fewshot, limits, problems)]
    texts = [documents.example(file, row) for file, row in examples[: task.num_fewshot]]
    documents.problems.raise_any()
    if len(texts) < task.num_fewshot:
        report.note(f"There are only {len(texts)} of {task.num_fewshot} few-shot examples.")
    return "".join(f"{text}{task.fewshot_delimiter}" for text in texts)
