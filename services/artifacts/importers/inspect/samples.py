"""Records of Inspect's sample files as items (`record_to_sample` in its src/inspect_ai/dataset/_util.py)."""

import json
from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers import choices as multiple
from services.artifacts.importers.datafiles import Files, refuse_row, rows
from services.artifacts.importers.report import Report
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, chat_of, scalar_text
from shared.imports import InspectImport

NEEDS = ("sandbox", "files", "setup")
"""Of a sample: what it is solved in."""


class Samples:
    """Records of a dataset as samples. `survey` reads what all of a dataset must know, `items` writes."""

    def __init__(self, options: InspectImport, files: Files, limits: Limits, report: Report) -> None:
        self._options, self._files, self._limits, self._report = options, files, limits, report
        self.problems = Problems()
        self.chats = options.system is not None
        self.choices = False
        self.ids = False
        self.referenced = False

    def survey(self, file: str) -> None:
        fields = self._options.fields
        for _, row in rows(self._files, [file], self._limits, Problems()):
            self.chats |= not isinstance(row.values.get(fields.input), str)
            self.choices |= row.values.get(fields.choices) is not None
            self.ids |= row.values.get(fields.id) is not None
            target = row.values.get(fields.target)
            self.referenced |= isinstance(target, list) and len(target) > 1

    def items(self, file: str, scorer: str) -> Iterator[dict[str, Any]]:
        for name, row in rows(self._files, [file], self._limits, self.problems):
            try:
                if (item := self._item(row, scorer)) is not None:
                    yield item
            except _Wrong as wrong:
                refuse_row(self.problems, name, row, wrong.column, wrong.message)

    def _item(self, row: Row, scorer: str) -> dict[str, Any] | None:
        fields, values = self._options.fields, row.values
        for key in NEEDS:
            if values.get(key):
                self._report.drop(
                    key, f"Samples come with {key}, which is left out: there is nothing that they are set up in."
                )
        text = self._column(row, fields.input, _input)
        targets = self._column(row, fields.target, _targets)
        item: dict[str, Any] = {"metadata": self._metadata(row)}
        if self.ids:
            item["id"] = self._column(row, fields.id, scalar_text)
        if scorer == "choice":
            if len(targets) > 1 or (len(targets[0]) > 1 and targets[0].isupper() and targets[0].isalpha()):
                self._report.drop(
                    "samples with several right choices", "Samples with several right choices are left out."
                )
                return None
            choices = self._column(row, fields.choices, _choices)
            index = ascii_uppercase.find(targets[0])
            if index < 0 or len(targets[0]) != 1:
                raise _Wrong(
                    fields.target,
                    f"column {fields.target!r} holds {targets[0][:100]!r}; the letter of a choice is needed",
                )
            try:
                item |= {"choices": choices, "target": multiple.target_of(index, choices)}
            except ValueError as error:
                raise _Wrong(fields.target, f"column {fields.target!r} {error}") from error
            text = _with_choices(text, choices)
        else:
            item |= {"target": targets[0], "references": targets[1:]}
        if self.chats:
            chat = [{"role": "user", "content": text}] if isinstance(text, str) else text
            if self._options.system is not None:
                chat = [{"role": "system", "content": self._options.system}, *chat]
            item["chat"] = chat
        item["input"] = text
        return item

    def _column(self, row: Row, column: str, read: Any) -> Any:
        if row.values.get(column) is None:
            there = ", ".join(row.values)
            raise _Wrong(column, f"column {column!r} is missing; the columns are {there}")
        try:
            return read(row.values[column])
        except ValueError as error:
            raise _Wrong(column, f"column {column!r} {error}") from error

    def _metadata(self, row: Row) -> Any:
        names = self._options.fields.metadata
        if names is not None:
            return {name: row.values.get(name) for name in names}
        found = row.values.get("metadata") or {}
        if isinstance(found, str):
            try:
                return json.loads(found)
            except (ValueError, RecursionError) as error:
                raise _Wrong("metadata", "column 'metadata' holds a text that is not JSON") from error
        return found


class _Wrong(Exception):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column, self.message = column, message


def _input(value: Any) -> str | list[dict[str, str]]:
    """Text, or chat messages whose content may be a list of text parts. Raises `ValueError`."""
    if not isinstance(value, list):
        return scalar_text(value)
    messages = []
    for message in value:
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            parts = message["content"]
            if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
                raise ValueError(
                    "holds a message with something other than text (an image, a sound), which is not carried over"
                )
            message = {**message, "content": "\n".join(part["text"] for part in parts)}
        messages.append(message)
    return chat_of(messages)


def _targets(value: Any) -> list[str]:
    targets = [scalar_text(one) for one in (value if isinstance(value, list) else [value])]
    if not targets or not all(target.strip() for target in targets):
        raise ValueError("is empty")
    return targets


def _choices(value: Any) -> list[str]:
    """A list; or a text with commas, else blanks between them, as `read_choices` has it."""
    if isinstance(value, str):
        value = [one.strip() for one in value.split(",")] if "," in value else value.split()
    return multiple.choice_texts(value)


def _with_choices(text: str | list[dict[str, str]], choices: list[str]) -> str | list[dict[str, str]]:
    """The question with its choices, and what to answer with, in the last message of the user."""
    asked = f"\n\n{multiple.lettered(choices)}\n\n{multiple.ASK}"
    if isinstance(text, str):
        return text + asked
    last = max((at for at, message in enumerate(text) if message["role"] == "user"), default=len(text) - 1)
    return [
        {**message, "content": message["content"] + asked} if at == last else message for at, message in enumerate(text)
    ]
