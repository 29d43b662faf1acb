"""Documents of a task made into items: rendered as `ConfigurableTask` in the harness's lm_eval/api/task.py does it.

doc_to_text, doc_to_target and doc_to_choice are column names, Jinja templates or constants.
"""

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, meta

from services.artifacts.bundles import Limits
from services.artifacts.importers import choices as multiple
from services.artifacts.importers.datafiles import Files, first_rows, refuse_row, rows
from services.artifacts.importers.lm_eval.task import Task
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_file
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, plain, scalar_text, target_text
from shared.rendering import Source, TemplateError, Templates

_MAX_LITERAL = 100_000  # characters of a list that a template writes


class _Value:
    """What one key of the task makes of a document."""

    def __init__(self, key: str, value: Any, name: str, columns: Iterable[str], limits: Limits) -> None:
        self.column = value if isinstance(value, str) and value in columns else None
        self._constant = value if not isinstance(value, str) else None
        if self.column is None and self._constant is None:
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
        if self._constant is not None:
            return self._constant
        return self._template.render(row.values, list(row.values))[0]["content"] + self._end


class Documents:
    """Items out of documents. What is wrong with them is in `problems`; `referenced`: some have several gold answers."""

    def __init__(self, task: Task, name: str, files: Files, limits: Limits, report: Report) -> None:
        self.task, self._name, self._files, self._limits, self._report = task, name, files, limits, report
        self.problems = Problems()
        self.chooses = task.output_type == "multiple_choice"
        self.referenced = False
        self._values: dict[str, _Value] = {}
        self._telling = _columns_in(task.doc_to_target) | _columns_in(task.doc_to_choice)
        # Where the right choice is always the first one, or the last, letters would give it away.
        self._reorders = str(task.doc_to_target).strip().isdecimal()
        if self.chooses and task.doc_to_choice is None:
            raise wrong_file(name, "doc_to_choice is missing, which a multiple_choice task needs", "doc_to_choice")

    def examples(self, names: list[str]) -> str:
        """What stands before each question: the few-shot examples, each with the delimiter after it."""
        task = self.task
        if task.num_fewshot and task.fewshot_config.samples is not None:
            found = [(self._name, Row(at, values)) for at, values in enumerate(task.fewshot_config.samples, 1)]
        else:
            found = [
                (names[0], row) for row in first_rows(self._files, names, task.num_fewshot, self._limits, self.problems)
            ]
        texts = []
        for file, row in found[: task.num_fewshot]:
            if (item := self._item(file, row)) is not None:
                target = scalar_text(item["target"])
                texts.append(
                    f"{item['input']}{'' if task.gen_prefix else task.target_delimiter}{target}{task.fewshot_delimiter}"
                )
        self.problems.raise_any()
        if (names or task.fewshot_config.samples) and len(texts) < task.num_fewshot:
            self._report.note(f"There are only {len(texts)} of {task.num_fewshot} few-shot examples.")
        return "".join(texts)

    def items(self, names: list[str], examples: str) -> Iterator[dict[str, Any]]:
        for file, row in rows(self._files, names, self._limits, self.problems):
            if (item := self._item(file, row)) is not None:
                yield self._asked(item, row, examples)

    def _asked(self, item: dict[str, Any], row: Row, examples: str) -> dict[str, Any]:
        if not (examples or self.task.description):
            return item
        chat = [{"role": "user", "content": examples + item["input"]}]
        if self.task.description:
            chat.insert(0, {"role": "system", "content": str(self._read(self._name, row, "description"))})
        return {**item, "chat": chat}

    def _item(self, file: str, row: Row) -> dict[str, Any] | None:
        """`input`, `target`, and `choices` or `references`; None where something is wrong, which is then noted."""
        text, target = self._read(file, row, "doc_to_text"), self._read(file, row, "doc_to_target")
        if text is None or target is None:
            return None
        try:
            item: dict[str, Any] = {"input": scalar_text(text)}
        except ValueError as error:
            refuse_row(self.problems, file, row, None, f"doc_to_text {error}")
            return None
        try:
            made = self._choice(file, row, item["input"], target) if self.chooses else self._answers(target)
        except ValueError as error:
            refuse_row(self.problems, file, row, None, f"doc_to_target {error}")
            return None
        if made is None:
            return None
        item |= made
        # A column that the gold answer is made of would tell it to those who may not see it.
        item["doc"] = {name: value for name, value in row.values.items() if name not in self._telling}
        if self.task.gen_prefix:
            self._report.note("gen_prefix ends the user's message; in a chat of the harness the answer begins with it.")
            item["input"] += f"{self.task.target_delimiter}{self._read(file, row, 'gen_prefix')}"
        return item

    def _answers(self, value: Any) -> dict[str, Any]:
        """All gold answers; a list may be written by a template. Raises `ValueError`."""
        if isinstance(value, str):
            value = _literal(value)
        found = [scalar_text(one) for one in (value if isinstance(value, list) else [value])]
        found = list(dict.fromkeys(one for one in found if one.strip())) or [target_text("")]
        self.referenced |= len(found) > 1
        return {"target": found[0], "references": found[1:]}

    def _choice(self, file: str, row: Row, text: str, target: Any) -> dict[str, Any] | None:
        """Raises `ValueError`."""
        if isinstance(target, list) or (isinstance(target, str) and target.startswith("[")):
            self._report.drop("items with several right choices", "Items with several right choices are left out.")
            return None
        choices = self._choices(file, row)
        if choices is None:
            return None
        index = _index(target, choices)
        if index is None:
            raise ValueError(f"gives {str(target)[:100]!r}, which is none of the choices")
        if multiple.are_letters(choices):
            return {"choices": choices, "target": multiple.target_of(index, choices)}
        self._report.note("The choices are listed under the question by letters, which the harness does not do.")
        if self._reorders:
            self._report.note(
                "The right choice always stands at the same place in the data, so each item's choices are put into another order."
            )
            choices, index = multiple.reordered(text, choices, index)
        asked = f"{text}\n\n{multiple.lettered(choices)}\n\n{multiple.ASK}"
        return {"choices": choices, "target": multiple.target_of(index, choices), "input": asked}

    def _choices(self, file: str, row: Row) -> list[str] | None:
        found: Any = self.task.doc_to_choice
        if isinstance(found, dict):
            found = list(found.values())
        elif isinstance(found, str):
            found = self._read(file, row, "doc_to_choice")
            found = _literal(found) if isinstance(found, str) else found
        if found is None:
            return None
        try:
            return multiple.choice_texts(found)
        except ValueError as error:
            refuse_row(self.problems, file, row, None, f"doc_to_choice {error}")
            return None

    def _read(self, file: str, row: Row, key: str) -> Any:
        if key not in self._values:
            self._values[key] = _Value(key, getattr(self.task, key), self._name, row.values, self._limits)
        try:
            value = self._values[key].of(row)
        except TemplateError as error:
            raise wrong_file(self._name, f"{key}: {error.msg} (with {file}, row {row.line})", key) from error
        if value is None:
            refuse_row(self.problems, file, row, self._values[key].column, f"{key} gives nothing")
        return value


def _columns_in(value: Any) -> set[str]:
    """The columns that a key of the task may read: the one that it names, or those in its template."""
    if not isinstance(value, str):
        return set()
    try:
        return {value} | meta.find_undeclared_variables(Environment(autoescape=True).parse(value))
    except (TemplateSyntaxError, RecursionError):  # told where it is rendered
        return {value}


def _index(target: Any, choices: list[str]) -> int | None:
    """Which choice a target means: its text, else its index."""
    text = str(target).strip() if isinstance(target, str | int) else ""
    if text in choices and not isinstance(target, int):
        return choices.index(text)
    return int(text) if text.isdecimal() and len(text) < 3 and int(text) < len(choices) else None


def _literal(text: str) -> Any:
    """The list that a text writes as Python does; else the text."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]") and len(stripped) <= _MAX_LITERAL):
        return text
    try:
        return plain(ast.literal_eval(stripped))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
