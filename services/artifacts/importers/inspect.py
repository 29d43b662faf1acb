"""Sample files of Inspect, as `json_dataset` and `csv_dataset` read them (UKGovernmentBEIS/inspect_ai, src/inspect_ai/dataset)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers import choices as multiple
from services.artifacts.importers.bundle import head, phase_name, write_manifest, write_rows
from services.artifacts.importers.datafiles import Files, drop_column, matching, refuse_row, rows, tables
from services.artifacts.importers.datafiles import listed as names_of
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, chat_of, scalar_text
from shared.imports import InspectImport

_NEEDS = ("sandbox", "files", "setup")  # of a sample: an environment that it is solved in


def convert(source: Path, options: InspectImport, out: Path, limits: Limits) -> Report:
    files = files_in(source)
    report = Report()
    samples = _Samples(options, files, limits, report)
    phases = _phases(options, files)
    for file in phases.values():
        samples.survey(file)
    scorer = options.scorer or ("choice" if samples.choices else "match")
    if options.scorer is None:
        report.note(f"The scorer is guessed from the samples: {scorer}. The option scorer says another one.")
    if scorer == "choice" and not samples.choices:
        raise wrong_option("scorer", "choice needs samples with choices, and no sample has any")
    entries = []
    for name, file in phases.items():
        data = f"{name}.jsonl"
        write_rows(out / data, samples.items(file, scorer))
        samples.problems.raise_any()
        entries.append({"name": name, "data": data, "fields": {"id": "id"} if samples.ids else {}})
        if not samples.referenced:
            drop_column(out / data, "references")
    scoring = _scoring(options, scorer, samples.referenced, report)
    prompt: dict[str, Any] = {"chat": "chat"} if samples.chats else {"template": "{{ input }}"}
    write_manifest(
        out,
        {
            **head(options, title=Path(next(iter(phases.values()))).stem.replace("_", " "), tags=["inspect"]),
            "prompt": prompt,
            "generation": options.generation.model_dump(mode="json", exclude_unset=True),
            "phases": entries,
            "scoring": scoring,
        },
    )
    return report


def _phases(options: InspectImport, files: Files) -> dict[str, str]:
    """Phase -> file."""
    data = tables(files)
    if options.phases is not None:
        phases = {}
        for phase, wanted in options.phases.items():
            found = matching(data, wanted)
            if len(found) != 1:
                raise wrong_option(f"phases.{phase}", f"there is no data file {wanted!r}; there are: {names_of(data)}")
            phases[phase_name(phase)] = found[0]
        return phases
    if not data:
        raise wrong_file("source", f"has no file with samples (.json, .jsonl or .csv); it has: {names_of(files)}")
    return {phase_name(Path(name).stem): name for name in data}


class _Samples:
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
        for key in _NEEDS:
            if values.get(key):
                self._report.comparable = False
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
                self._report.comparable = False
                self._report.drop(
                    "samples with several right choices", "Samples with several right choices are left out."
                )
                return None
            choices = self._column(row, fields.choices, _choices)
            index = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".find(targets[0])
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


def _scoring(options: InspectImport, scorer: str, referenced: bool, report: Report) -> dict[str, Any]:
    """The Assay scorer that does what Inspect's does, and where it does not quite."""
    same: dict[str, Any] = {"references": "references"} if referenced else {}
    scoring: dict[str, Any]
    why = "The same samples, and the same comparison with the whole answer."
    match scorer:
        case "includes":
            scoring = {"scorer": "contains", "ignore_case": options.ignore_case, **same}
        case "match" if options.numeric:
            scoring, report.comparable = {"scorer": "numeric"}, False
            why = "Inspect compares numbers to five significant digits, and takes the one at a place of the answer; here the last one must be equal."
            if referenced:
                report.note("Only the first of several targets counts with this scorer.")
        case "match" if options.location != "exact":
            scoring = {
                "scorer": "contains",
                "location": options.location,
                "ignore_case": options.ignore_case,
                "ignore_punctuation": True,
                **same,
            }
        case "match":
            scoring, report.comparable = {"scorer": "exact_match", "ignore_case": options.ignore_case, **same}, False
            why = "Inspect also leaves out punctuation at the ends of the answer and the target."
        case "exact":
            scoring, report.comparable = (
                {"scorer": "exact_match", "ignore_case": True, "ignore_punctuation": True, **same},
                False,
            )
            why = "Inspect also leaves out the articles a, an and the."
        case "f1":
            scoring, report.comparable = {"scorer": "f1", **same}, False
            why = "Inspect reads numbers in the texts as numbers; here they are words."
        case "pattern":
            if options.pattern is None:
                raise wrong_option("pattern", "is needed for the scorer pattern")
            scoring = {
                "scorer": "regex",
                "pattern": options.pattern,
                "which": "first",
                "ignore_case": options.ignore_case,
                **same,
            }
        case _:
            scoring, report.comparable = {"scorer": "choice", "choices": "choices"}, False
            why = "Inspect takes only answers in the form 'ANSWER: B', which its prompt asks for; here any usual wording of a letter counts."
    report.comparable_why = why if report.comparable_why == "" else report.comparable_why
    if not report.comparable and any(report.dropped.get(key) for key in _NEEDS):
        report.comparable_why = f"Samples need what is left out. {why}"
    return scoring
