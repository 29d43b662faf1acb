"""Plain tables (CSV, TSV, JSONL, Parquet, a JSON array) as an environment: a phase a file, columns by a mapping or by their names."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.artifacts.bundles import Limits
from services.artifacts.importers import columns
from services.artifacts.importers.bundle import head, phase_name, write_in_place, write_manifest
from services.artifacts.importers.columns import Seen
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import TABLES, files_in, rows_of, wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.rows import SUFFIXES, Row, unit
from shared.explain import near
from shared.imports import TableFields, TableImport


class _Rewriting(NamedTuple):
    """Rows get their choices, by `fields`, as a list in the column `choices`."""

    fields: TableFields
    choices: str


def convert(source: Path, options: TableImport, out: Path, limits: Limits) -> Report:
    """Files stay as they are where they can; a JSON array, or choices that are in several columns, become JSONL."""
    report = Report(
        comparable_why="Items, prompt and scorer are what the request says; there is no original to compare with."
    )
    phases = _phases(files_in(source), options, report)
    problems = Problems()
    seen = Seen()
    for name, path in phases.values():
        of_file = Seen()
        for row in rows_of(path, name, limits, problems):
            of_file.add(row)
            seen.add(row)
        if not of_file.rows and not problems.errors:
            problems.add([name], "has no rows")
        columns.check_header(path, name, of_file.columns)
    problems.raise_any()
    needs_target = options.scoring is None or options.scoring.needs_target
    scorer = None if options.scoring is None else options.scoring.scorer
    fields = columns.chosen(
        options.fields, seen.columns, report, needs_target=needs_target, guess_choices=scorer in (None, "choice")
    )
    if options.scoring is not None:
        scoring = options.scoring.model_dump(mode="json", exclude_unset=True)
        if scoring["scorer"] == "choice" and "choices" not in scoring and fields.choices is None:
            raise wrong_option(
                "fields.choices", "is needed by the scorer 'choice': the column with the list of choices"
            )
    else:
        scoring = columns.guessed_scoring(fields, seen, report)
    rewritten = fields.choices is not None and not (isinstance(fields.choices, str) and fields.choices in seen.lists)
    choices = _new_column(seen, fields) if rewritten else fields.choices
    assert choices is None or isinstance(choices, str)
    if scoring["scorer"] == "choice":
        scoring.setdefault("choices", choices)
    if options.prompt is not None:
        prompt = options.prompt.model_dump(mode="json", exclude_none=True)
    else:
        prompt = {"template": columns.template_of(fields, choices=choices)}
        report.note("The prompt is the input" + (" with its choices by letter." if choices else " as it is."))
    data = {
        name: _write(path, name, out, _Rewriting(fields, choices) if rewritten and choices else None, limits)
        for name, path in phases.values()
    }
    written = [{"name": phase, "data": data[name], "fields": _mapping(fields)} for phase, (name, _) in phases.items()]
    title = next(iter(phases.values()))[0].rpartition("/")[2].rpartition(".")[0]
    write_manifest(
        out,
        {
            **head(options, title=title.replace("_", " ")),
            "prompt": prompt,
            "generation": options.generation.model_dump(mode="json", exclude_unset=True),
            "phases": written,
            "scoring": scoring,
        },
    )
    return report


def _mapping(fields: TableFields) -> dict[str, str]:
    return {part: column for part in ("id", "input", "target") if (column := getattr(fields, part)) is not None}


def _phases(files: dict[str, Path], options: TableImport, report: Report) -> dict[str, tuple[str, Path]]:
    """Phase name -> (file, its path)."""
    tables = {name: path for name, path in files.items() if path.suffix in TABLES}
    if options.phases is not None:
        for phase, name in options.phases.items():
            if name not in tables:
                hint = near(name, tables, "the tables are") if tables else f"a table ends in {', '.join(TABLES)}"
                raise wrong_option(f"phases.{phase}", f"there is no table {name!r}; {hint}")
        return {phase: (name, tables[name]) for phase, name in options.phases.items()}
    if not tables:
        there = ", ".join(list(files)[:20]) or "nothing"
        raise wrong_file(
            next(iter(files), "bundle"),
            f"there is no table: send a file that ends in {', '.join(TABLES)}; there is {there}",
        )
    if left := len(files) - len(tables):
        report.drop("files", f"{left} file{'s' * (left > 1)} that is no table was left out.", left)
    phases: dict[str, tuple[str, Path]] = {}
    for name, path in tables.items():
        phase = phase_name(path.stem)
        if phase in phases:
            raise wrong_option("phases", f"is needed: both {phases[phase][0]} and {name} would be the phase {phase!r}")
        phases[phase] = (name, path)
    return phases


def _new_column(seen: Seen, fields: TableFields) -> str:
    """The column for the choices of rows that are written anew: one that is free, or theirs."""
    name = "choices"
    while name in seen.columns and name != fields.choices:
        name += "_"
    return name


def _write(path: Path, name: str, out: Path, rewriting: _Rewriting | None, limits: Limits) -> str:
    """The data file in the bundle: the same one, or its rows as JSONL. Gives its name there."""
    data = name if rewriting is None and path.suffix in SUFFIXES else f"{name}.jsonl"
    (out / data).parent.mkdir(parents=True, exist_ok=True)
    if data == name:
        shutil.move(path, out / name)
        return name
    problems = Problems()
    write_in_place(out / data, _rewritten(path, name, rewriting, limits, problems))
    problems.raise_any()
    return data


def _rewritten(
    path: Path, name: str, rewriting: _Rewriting | None, limits: Limits, problems: Problems
) -> Iterator[Row]:
    for row in rows_of(path, name, limits, problems):
        if rewriting is None:
            yield row
            continue
        source = rewriting.fields.choices
        assert source is not None
        try:
            yield Row(row.line, {**row.values, rewriting.choices: columns.merged_choices(row.values, source)})
        except ValueError as error:
            column = source if isinstance(source, str) else source[0]
            problems.add([name, row.line, column], f"{unit(path)} {row.line}: column {column!r} {error}")
