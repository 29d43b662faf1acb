"""The test cases of a task, out of its input data.

A table (JSONL, CSV, TSV, Parquet, or JSON with an array of objects) gives an item a row. Without one, text files give an item a file,
or one text file alone an item a line. Everything else needs the option `items`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.artifacts.bundles import Limits
from services.artifacts.importers import columns
from services.artifacts.importers.bundle import write_rows
from services.artifacts.importers.codabench.competition import Source, Task
from services.artifacts.importers.columns import Seen
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import TABLES, archive_limits, files_in, rows_of, wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.rows import SUFFIXES
from shared.imports import CodabenchImport, TableFields
from shared.unpacking import extract, inner_path

_ROW = "input"
"""The column that holds a whole row, where no column is the question."""

_ADD_A_FILE = f"Add a file to the bundle with a row for each test case ({', '.join(TABLES)}) and give its path"

_IGNORED = ("readme", "license", "metadata", ".gitkeep")


@dataclass(frozen=True)
class Items:
    """`data` is a file of the environment, `fields` its columns as in the manifest."""

    data: str
    fields: dict[str, str]
    columns: tuple[str, ...]
    from_files: bool


def find_items(
    bundle: Source, task: Task, options: CodabenchImport, out: Path, limits: Limits, report: Report
) -> Items:
    """Write the task's items; raises `Invalid` that says what to give where nothing can be made into items."""
    where, label = _where(bundle, task, options, out, limits)
    files = {label: where} if where.is_file() else {f"{label}/{at}": path for at, path in _asked(where).items()}
    tables = {name: path for name, path in files.items() if path.suffix in SUFFIXES}
    arrays = {name: path for name, path in files.items() if path.suffix == ".json" and _is_array(path)}
    tables |= arrays if not tables and len(arrays) == 1 else {}
    if len(tables) > 1:
        there = ", ".join(list(tables)[:20])
        raise wrong_option(
            "items", f"is needed: task {task.index} has several tables ({there}); which one has the test cases?"
        )
    target = f"items-{task.index}"
    if tables:
        name, path = next(iter(tables.items()))
        return _from_table(path, name, target, options, out, limits, report)
    texts = _texts(files, limits)
    if not texts:
        there = ", ".join(list(files)[:20]) or label
        raise wrong_option(
            "items", f"is needed: nothing in {there} (task {task.index}) can be put to a model. {_ADD_A_FILE}"
        )
    return _from_texts(texts, label, target, options, out, report)


def _where(bundle: Source, task: Task, options: CodabenchImport, out: Path, limits: Limits) -> tuple[Path, str]:
    """What holds the items, a folder or a file, and what it is called in the bundle."""
    folder = _input_folder(bundle, task, out, limits) if task.input_data is not None else None
    label = inner_path(task.input_data or "")
    if options.items is None:
        if folder is None:
            raise wrong_option(
                "items",
                f"is needed: task {task.index} has no input_data, so there is nothing to put to a model. {_ADD_A_FILE}",
            )
        return folder, label
    inside = files_in(folder) if folder is not None else {}
    if options.items in inside:
        return inside[options.items], f"{label}/{options.items}"
    path = bundle.at(options.items)
    if path is None or (path.is_file() and path.suffix == ".zip"):
        there = ", ".join([*inside, *bundle.files][:20])
        msg = f"there is no file or folder {options.items!r} in task {task.index}'s input_data or the bundle; there is {there}"
        raise wrong_option("items", msg)
    return path, inner_path(options.items)


def _input_folder(bundle: Source, task: Task, out: Path, limits: Limits) -> Path:
    path = bundle.part(task, "input_data")
    if path.is_dir():
        return path
    folder = out.with_name(f"input-{task.index}")
    extract(path, folder, (), archive_limits(limits))
    return folder


def _asked(folder: Path) -> dict[str, Path]:
    return {name: path for name, path in files_in(folder).items() if not path.name.lower().startswith(_IGNORED)}


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _from_table(
    path: Path, name: str, target: str, options: CodabenchImport, out: Path, limits: Limits, report: Report
) -> Items:
    problems = Problems()
    seen = Seen()
    for row in rows_of(path, name, limits, problems):
        seen.add(row)
    problems.raise_any()
    if not seen.rows:
        raise wrong_file(name, "has no rows")
    fields = columns.chosen(
        TableFields(**options.fields.model_dump()), seen.columns, report, needs_input=options.prompt is None,
        needs_target=False, guess_target=False, guess_choices=False, of=name,
    )  # fmt: skip
    mapping = {part: column for part in ("id", "input", "target") if (column := getattr(fields, part)) is not None}
    if fields.input is None:
        report.note(f"An item's input is its whole row, since no column of {name} was named as the question.")
        data = f"{target}.jsonl"
        column = _ROW if _ROW not in seen.columns else f"{_ROW}_row"
        write_rows(out / data, _whole_rows(path, name, column, limits))
        return Items(data, {**mapping, "input": column}, (*seen.columns, column), False)
    if path.suffix == ".json":
        data = f"{target}.jsonl"
        write_rows(out / data, (row.values for row in rows_of(path, name, limits, Problems())))
    else:
        data = f"{target}{path.suffix}"
        os.link(path, out / data)
    return Items(data, mapping, tuple(seen.columns), False)


def _whole_rows(path: Path, name: str, column: str, limits: Limits) -> Iterator[dict[str, Any]]:
    for row in rows_of(path, name, limits, Problems()):
        yield {**row.values, column: orjson.dumps(row.values).decode()}


def _texts(files: dict[str, Path], limits: Limits) -> dict[str, str]:
    """The files, if all of them are text: name -> content."""
    texts: dict[str, str] = {}
    for name, path in files.items():
        if path.stat().st_size > limits.max_line_bytes:
            return {}
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            return {}
        if "\0" in text:
            return {}
        texts[name] = text
    return texts


def _from_texts(
    texts: dict[str, str], label: str, target: str, options: CodabenchImport, out: Path, report: Report
) -> Items:
    for field in ("id", "input", "target"):
        if getattr(options.fields, field) is not None:
            raise wrong_option(f"fields.{field}", "is of no use: the test cases are text files, which have no columns")
    data = f"{target}.jsonl"
    if len(texts) == 1:
        name, text = next(iter(texts.items()))
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            raise wrong_file(name, "is empty")
        report.note(f"Each line of {name} is an item.")
        write_rows(out / data, ({"input": line} for line in lines))
        return Items(data, {"input": "input"}, ("input",), False)
    empty = next((name for name, text in texts.items() if not text.strip()), None)
    if empty is not None:
        raise wrong_file(empty, "is empty, so there is nothing to put to a model; leave it out")
    inner = [name.removeprefix(f"{label}/") for name in texts]
    stems = [Path(name).with_suffix("").as_posix() for name in inner]
    ids = stems if len(set(stems)) == len(stems) else inner
    report.note(f"Each of the {len(texts)} input files is an item, its id the file's name.")
    rows = ({"id": id_, "input": text, "file": name} for id_, (name, text) in zip(ids, texts.items(), strict=True))
    write_rows(out / data, rows)
    return Items(data, {"id": "id", "input": "input"}, ("id", "input", "file"), True)


def prompt_of(found: Sequence[Items], options: CodabenchImport, report: Report) -> dict[str, Any]:
    if options.prompt is not None:
        return options.prompt.model_dump(mode="json", exclude_none=True)
    report.note(
        "The prompt is the input as it is: a competition has none. Give `prompt` to say what is asked, and how to answer."
    )
    inputs = {items.fields["input"] for items in found}
    if len(inputs) == 1:
        return {"template": columns.template_of(TableFields(input=inputs.pop()), choices=None)}
    if any("input" in items.columns and items.fields["input"] != "input" for items in found):
        raise wrong_option(
            "prompt", f"is needed: the tasks' questions are in different columns ({', '.join(sorted(inputs))})"
        )
    return {"template": "{{ input }}"}
