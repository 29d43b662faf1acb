"""Datasets of the Hugging Face Hub: files as they are stored there, or as fetched by `services.artifacts.datasets_server`."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers import table
from services.artifacts.importers.bundle import head, phase_name, write_manifest, write_rows
from services.artifacts.importers.datafiles import Files, listed, of_config, of_split, refuse_row, rows, tables
from services.artifacts.importers.presets import PRESETS, BadColumn, Preset
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.rows import Row, scalar_text
from shared.imports import HuggingFaceImport, TableImport
from shared.rendering import Source, TemplateError, Templates

Chat = list[dict[str, str]]


def convert(source: Path, options: HuggingFaceImport, out: Path, limits: Limits) -> Report:
    files = tables(files_in(source))
    if not files:
        raise wrong_file(
            "source", f"has no data files (.parquet, .jsonl, .json or .csv); it has: {listed(files_in(source))}"
        )
    if options.preset is None:
        return _as_table(source, options, files, out, limits)
    for option in ("fields", "prompt", "scoring"):
        if getattr(options, option) is not None:
            raise wrong_option(
                option, f"does not go with a preset, which has its own; leave out one of {option} and preset"
            )
    return _Benchmark(
        PRESETS[options.preset], options, of_config(files, options.config or PRESETS[options.preset].config), limits
    ).write(out)


def _as_table(source: Path, options: HuggingFaceImport, files: Files, out: Path, limits: Limits) -> Report:
    """Without a preset, a dataset is a table whose one phase is the split."""
    if options.num_fewshot:
        raise wrong_option("num_fewshot", "needs a preset, which knows how an example is written")
    split = options.split or ("test" if of_split(files, "test") else None)
    names = _split_files(of_config(files, options.config), split) if split else sorted(files)
    if split is None and len(names) > 1:
        raise wrong_option("split", f"is needed: which of these is evaluated? {listed(files)}")
    name = phase_name(split or PurePosixPath(names[0]).stem)
    whole = f"{name}.jsonl"
    problems = Problems()
    chosen = source.with_name("split")
    chosen.mkdir()
    write_rows(chosen / whole, (row.values for _, row in rows(files, names, limits, problems)))
    problems.raise_any()
    shutil.rmtree(source)
    chosen.rename(source)
    shared = options.model_dump(
        include={"slug", "description", "tags", "generation", "prompt", "scoring"}, exclude_unset=True, by_alias=True
    )
    title = options.title or (options.dataset or whole).rpartition("/")[2]
    asked = TableImport.model_validate({"format": "table", "title": title, "phases": {name: whole}, **shared})
    if options.fields is not None:
        asked.fields = options.fields
    return table.convert(source, asked, out, limits)


def _split_files(files: Files, split: str) -> list[str]:
    if found := of_split(files, split):
        return found
    if len(files) == 1:
        return list(files)
    raise wrong_option("split", f"no file is named after the split {split!r}; there are: {listed(files)}")


class _Benchmark:
    """A preset over its files."""

    def __init__(self, preset: Preset, options: HuggingFaceImport, files: Files, limits: Limits) -> None:
        self._preset, self._options, self._files, self._limits = preset, options, files, limits
        self._problems = Problems()
        self._template = Templates(
            [Source(["preset"], "user", preset.template)], time_limit_s=limits.render_s, max_bytes=limits.max_job_bytes
        )
        self._examples: dict[Any, Chat] = {}

    def write(self, out: Path) -> Report:
        preset, options = self._preset, self._options
        report = Report(comparable=preset.comparable, comparable_why=preset.why)
        split = options.split or preset.split
        names = _split_files(self._files, split)
        if options.num_fewshot:
            self._examples = self._read_examples(split, report)
        elif preset.shots:
            report.note(f"Without examples; the usual number is {preset.shots} (num_fewshot).")
        data = f"{phase_name(split)}.jsonl"
        if not write_rows(out / data, self._items(names)) and not self._problems.errors:
            raise wrong_file(names[0], "has no rows")
        self._problems.raise_any()
        write_manifest(
            out,
            {
                **head(
                    options,
                    title=preset.title,
                    tags=["huggingface"],
                    description=f"{options.dataset or preset.dataset}, {split}",
                ),
                "prompt": {"chat": "chat"} if self._examples else {"template": preset.template},
                "generation": options.generation.model_dump(mode="json", exclude_unset=True),
                "phases": [{"name": phase_name(split), "data": data, "fields": dict(preset.fields)}],
                "scoring": dict(preset.scoring),
            },
        )
        return report

    def _items(self, names: list[str]) -> Iterator[dict[str, Any]]:
        for name, row in rows(self._files, names, self._limits, self._problems):
            if (item := self._read(name, row)) is None:
                continue
            if not self._examples:
                yield item
            elif (asked := self._asked(name, row, item)) is not None:
                group = item.get(self._preset.group) if self._preset.group else None
                if group in self._examples:
                    yield {**item, "chat": [*self._examples[group], {"role": "user", "content": asked}]}
                else:
                    refuse_row(
                        self._problems, name, row, self._preset.group, f"there are no few-shot examples for {group!r}"
                    )

    def _read(self, name: str, row: Row) -> dict[str, Any] | None:
        try:
            return self._preset.read(row.values)
        except BadColumn as bad:
            refuse_row(self._problems, name, row, bad.column, f"column {bad.column!r} {bad.msg}")
            return None

    def _asked(self, name: str, row: Row, item: dict[str, Any]) -> str | None:
        try:
            return self._template.render(item, list(item))[0]["content"]
        except TemplateError as error:
            refuse_row(self._problems, name, row, None, f"does not fit the preset: {error.msg}")
            return None

    def _read_examples(self, evaluated: str, report: Report) -> dict[Any, Chat]:
        """The first rows of the few-shot split as turns, by their group."""
        preset, options = self._preset, self._options
        if preset.answer is None or preset.fewshot_split is None:
            raise wrong_option(
                "num_fewshot",
                "is 0 for this preset: the field asks it without examples, or with ones that are not in the data",
            )
        split = options.fewshot_split or preset.fewshot_split
        names = of_split(self._files, split)
        if split == evaluated or not names:
            what = (
                "is the split that is evaluated"
                if split == evaluated
                else f"has no file; there are: {listed(self._files)}"
            )
            raise wrong_option("fewshot_split", f"{split} {what}")
        found: dict[Any, list[Chat]] = defaultdict(list)
        for name, row in rows(self._files, names, self._limits, self._problems):
            if (item := self._read(name, row)) is None or (asked := self._asked(name, row, item)) is None:
                continue
            group = item.get(preset.group) if preset.group else None
            if len(found[group]) < options.num_fewshot:
                answer = scalar_text(item[preset.answer])
                found[group].append([{"role": "user", "content": asked}, {"role": "assistant", "content": answer}])
            elif preset.group is None:
                break
        self._problems.raise_any()
        fewest = min((len(turns) for turns in found.values()), default=0)
        if fewest < options.num_fewshot:
            raise wrong_option(
                "num_fewshot",
                f"is {options.num_fewshot}, and {split} has {fewest} rows{' of one ' + preset.group if preset.group else ''}",
            )
        report.note(
            f"{options.num_fewshot} examples, the first rows of {split}, go before each question as turns of the chat."
        )
        return {group: [message for turn in turns for message in turn] for group, turns in found.items()}
