"""Samples of OpenAI evals with the basic classes of its registry (openai/evals, evals/elsuite/basic and docs/eval-templates.md)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import head, write_manifest, write_rows
from services.artifacts.importers.datafiles import (
    Files,
    drop_column,
    first_rows,
    listed,
    matching,
    refuse_row,
    rows,
    tables,
)
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, chat_of, scalar_text, target_text
from services.artifacts.yamls import read_yaml
from shared.explain import near
from shared.imports import OpenAIEvalsImport

_CLASSES = {
    "evals.elsuite.basic.match:Match": "match",
    "evals.elsuite.basic.includes:Includes": "includes",
    "evals.elsuite.basic.fuzzy_match:FuzzyMatch": "fuzzy_match",
    "evals.elsuite.basic.json_match:JsonMatch": "json_match",
}
T = TypeVar("T")

_KNOWN_ARGUMENTS = {"samples_jsonl", "few_shot_jsonl", "num_few_shot", "max_tokens", "ignore_case"}
# Example turns were written as system messages with these names before there was a better way.
_NAMED = {"example_user": "user", "example_assistant": "assistant"}


class _Entry:
    """What is evaluated: an entry of the registry, or what stands for one."""

    def __init__(self, name: str, kind: str, samples: str, arguments: Mapping[str, Any]) -> None:
        self.name, self.kind, self.samples, self.arguments = name, kind, samples, arguments


def convert(source: Path, options: OpenAIEvalsImport, out: Path, limits: Limits) -> Report:
    files = files_in(source)
    report = Report()
    entry = _entry(files, options, limits, report)
    problems = Problems()
    examples = _examples(entry, files, limits, problems)
    samples = _Samples(entry, files, limits, problems, examples, report)
    write_rows(out / "samples.jsonl", samples.items())
    problems.raise_any()
    if not samples.referenced:
        drop_column(out / "samples.jsonl", "references")
    generation: dict[str, Any] = {"temperature": 0.0}
    if isinstance(most := entry.arguments.get("max_tokens", 16 if entry.kind == "fuzzy_match" else None), int):
        generation["max_tokens"] = most
    ignore_case = options.ignore_case if options.ignore_case is not None else bool(entry.arguments.get("ignore_case"))
    write_manifest(
        out,
        {
            **head(options, title=entry.name, tags=["openai-evals"]),
            "prompt": {"chat": "chat"},
            "generation": generation,
            "phases": [{"name": "test", "data": "samples.jsonl"}],
            "scoring": _scoring(entry.kind, samples.referenced, ignore_case, report),
        },
    )
    return report


def _entry(files: Files, options: OpenAIEvalsImport, limits: Limits, report: Report) -> _Entry:
    """The entry that is meant. Raises `Invalid` where there is none, or several, or its class is no basic one."""
    problems = Problems()
    documents = {
        name: read_yaml(path, name, limits.max_manifest_bytes, problems, "evals by their names", lenient=True)
        for name, path in files.items()
        if PurePosixPath(name).suffix in (".yaml", ".yml")
    }
    entries = {
        key: (name, value)
        for name, (data, _) in documents.items()
        for key, value in data.items()
        if isinstance(value, dict) and "class" in value
    }
    if not entries:
        return _without_registry(files, options, report)
    key = options.eval or (next(iter(entries)) if len(entries) == 1 else "")
    for document, _ in documents.values():
        # The short name of an eval leads to the entry with its class.
        if key not in entries and isinstance(alias := document.get(key), dict):
            key = str(alias.get("id"))
    if key not in entries:
        known = near(key, entries, "the evals are")
        which = "is needed, since there are several" if options.eval is None else f"no eval is called {options.eval!r}"
        raise wrong_option("eval", f"{which}; {known}")
    name, found = entries[key]
    lines = documents[name][1]
    kind = options.eval_class or _CLASSES.get(str(found["class"]))
    if kind is None:
        message = f"{str(found['class'])[:200]} is not carried over; the classes are {', '.join(_CLASSES)}"
        raise wrong_file(name, lines.told((key, "class"), message), key, "class")
    arguments = found.get("args") or {}
    wanted = arguments.get("samples_jsonl") if isinstance(arguments, dict) else None
    data = _data_file(files, wanted)
    if data is None:
        message = f"samples_jsonl {str(wanted)[:200]!r} is not in the source; there are: {listed(files)}"
        raise wrong_file(name, lines.told((key, "args", "samples_jsonl"), message), key, "args", "samples_jsonl")
    for argument in sorted(set(arguments) - _KNOWN_ARGUMENTS):
        report.drop("arguments", f"The argument {argument} of the eval is left out.")
    return _Entry(key.split(".")[0], kind, data, arguments)


def _without_registry(files: Files, options: OpenAIEvalsImport, report: Report) -> _Entry:
    data = tables(files)
    if options.eval is not None:
        raise wrong_option(
            "eval", f"there is no YAML of the registry with {options.eval!r}; there are: {listed(files)}"
        )
    if len(data) != 1:
        raise wrong_file(
            "source", f"must have one file with samples, or the registry's YAML that names it; it has: {listed(files)}"
        )
    if options.eval_class is None:
        report.note(
            "The class is taken to be match: the answer begins with an ideal one. The option eval_class says another one."
        )
    (name,) = data
    path = PurePosixPath(name)
    title = path.parent.name if path.stem == "samples" and path.parent.name else path.stem
    return _Entry(title, options.eval_class or "match", name, {})


def _data_file(files: Files, wanted: Any) -> str | None:
    """The registry names files from its folder `data`."""
    if not isinstance(wanted, str):
        return None
    plain = wanted.removeprefix("./")
    found = [name for name in files if name == plain or name.endswith(f"/{plain}")] or matching(files, plain)
    return found[0] if len(found) == 1 else None


def _examples(entry: _Entry, files: Files, limits: Limits, problems: Problems) -> list[dict[str, str]]:
    """The few-shot messages that go before the last one of each sample."""
    count = entry.arguments.get("num_few_shot") or 0
    if not isinstance(count, int) or count < 1:
        return []
    name = _data_file(files, entry.arguments.get("few_shot_jsonl"))
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


class _Samples:
    def __init__(
        self,
        entry: _Entry,
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
                yield {**row.values, "chat": chat, "target": ideals[0], "references": ideals[1:]}

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


def _scoring(kind: str, referenced: bool, ignore_case: bool, report: Report) -> dict[str, Any]:
    same: dict[str, Any] = {"references": "references"} if referenced else {}
    if kind == "json_match":
        report.comparable = False
        report.comparable_why = "An answer with more keys than the ideal one is right here, and wrong in the original."
        return {"scorer": "json"}
    if kind == "fuzzy_match":
        report.comparable = False
        report.comparable_why = (
            "The original also takes an answer that is a part of an ideal one, and leaves out articles and punctuation."
        )
        return {"scorer": "contains", "ignore_case": True, **same}
    report.comparable_why = "The same messages at temperature 0, and the same comparison."
    if kind == "includes":
        return {"scorer": "contains", "ignore_case": ignore_case, **same}
    return {"scorer": "contains", "location": "begin", "ignore_case": False, **same}
