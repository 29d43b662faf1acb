"""Samples of OpenAI evals as items: chat messages and ideal answers."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from services.artifacts.bundles import Limits
from services.artifacts.importers.datafiles import Files, first_rows, listed, refuse_row, rows
from services.artifacts.importers.openai_evals.registry import Entry, data_file
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_file
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, chat_of, scalar_text, target_text

# Example turns were written as system messages with these names before there was a better way.
_NAMED = {"example_user": "user", "example_assistant": "assistant"}

T = TypeVar("T")


def examples_of(entry: Entry, files: Files, limits: Limits, problems: Problems) -> list[dict[str, str]]:
    """The few-shot messages that go before the last one of each sample."""
    count = entry.arguments.get("num_few_shot") or 0
    if not isinstance(count, int) or count < 1:
        return []
    name = data_file(files, entry.arguments.get("few_shot_jsonl"))
    if name is None:
        raise wrong_file(
            "source",
            f"few_shot_jsonl {str(entry.arguments.get('few_shot_jsonl'))[:200]!r} is not there; there are: {listed(files)}",
        )
    messages = []
    for row in first_rows(files, [name], count, limits, problems):
        try:
            messages += chat_of([_renamed(one) for one in row.values.get("sample") or []])
        except ValueError as error:
            refuse_row(problems, name, row, "sample", f"column 'sample' {error}")
    return messages


class Samples:
    def __init__(
        self,
        entry: Entry,
        files: Files,
        limits: Limits,
        problems: Problems,
        examples: list[dict[str, str]],
        report: Report,
    ) -> None:
        self._entry, self._files, self._limits, self._problems = entry, files, limits, problems
        self._examples, self._report = examples, report
        self.referenced = False

    def items(self) -> Iterator[dict[str, Any]]:
        for name, row in rows(self._files, [self._entry.samples], self._limits, self._problems):
            chat, ideals = self._read(name, row, "input", self._chat), self._read(name, row, "ideal", self._ideals)
            if chat is not None and ideals is not None:
                others = {key: value for key, value in row.values.items() if key != "ideal"}
                yield {**others, "chat": chat, "target": ideals[0], "references": ideals[1:]}

    def _read(self, name: str, row: Row, column: str, read: Callable[[Any], T]) -> T | None:
        if row.values.get(column) is None:
            there = ", ".join(row.values)
            refuse_row(self._problems, name, row, column, f"column {column!r} is missing; the columns are {there}")
            return None
        try:
            return read(row.values[column])
        except ValueError as error:
            refuse_row(self._problems, name, row, column, f"column {column!r} {error}")
            return None

    def _chat(self, value: Any) -> list[dict[str, str]]:
        if not isinstance(value, list):
            return [*self._examples, {"role": "user", "content": scalar_text(value)}]
        if any(isinstance(one, dict) and one.get("name") for one in value):
            self._report.note(
                "Messages lose their names; those of example_user and example_assistant become turns of a conversation."
            )
        chat = chat_of([_renamed(one) for one in value])
        return [*chat[:-1], *self._examples, chat[-1]]

    def _ideals(self, value: Any) -> list[str]:
        ideals = [target_text(one) for one in (value if isinstance(value, list) else [value])]
        if not ideals:
            raise ValueError("is empty")
        if len(ideals) > 1:
            self.referenced = self._entry.kind != "json_match"
            if not self.referenced:
                self._report.comparable = False
                self._report.drop(
                    "ideal answers", "Of several ideal answers only the first counts, which is JSON.", len(ideals) - 1
                )
        return ideals


def _renamed(message: Any) -> Any:
    if isinstance(message, dict) and message.get("role") == "system" and message.get("name") in _NAMED:
        return {**message, "role": _NAMED[message["name"]]}
    return message
