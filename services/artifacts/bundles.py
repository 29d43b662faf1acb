"""The bundle of an environment: from an uploaded zip to a validated manifest and rendered items.

`read_bundle` is for a worker process (see `inspection.py`): it blocks, and what it reads is hostile.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import orjson

from services.artifacts.ids import Ids
from services.artifacts.manifests import MANIFEST, read_manifest
from services.artifacts.patterns import check_patterns
from services.artifacts.problems import Problems, quote
from services.artifacts.programs import ProgramCheck
from services.artifacts.rows import (
    BadRow,
    Row,
    chat_of,
    choices_of,
    id_of,
    input_text,
    json_text,
    read_rows,
    references_of,
    target_text,
    unit,
)
from services.artifacts.rubric import Rubric
from services.artifacts.schema import check_schema
from shared.errors import Invalid, TooLarge
from shared.explain import near
from shared.manifest import Manifest, Phase, Prompt
from shared.rendering import Source, TemplateError, Templates
from shared.scoring import ChoiceScoring, JsonScoring, JudgeScoring, ProgramScoring, Scored, WithReferences
from shared.unpacking import ArchiveLimits, content_version, extract, inner_path

_FOR_PEOPLE = {"README.md", "LICENSE", "generate.py"}
"""Files that a bundle may well have though nothing refers to them."""
_MAX_REPEATS = 3  # of one column's absence from one file, so that other errors are seen too

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a bundle may cost. Sizes in bytes, times in seconds; the last four hold for the worker process as a whole."""

    max_archive_bytes: int = 512 * 1024**2
    max_unpacked_bytes: int = 4 * 1024**3
    max_file_bytes: int = 4 * 1024**3
    max_entries: int = 10_000
    max_ratio: float = 300
    max_manifest_bytes: int = 1024**2
    max_overview_bytes: int = 1024**2
    max_line_bytes: int = 16 * 1024**2
    max_items: int = 5_000_000
    """Items of one phase."""
    max_job_bytes: int = 4 * 1024**2
    """What a job carries of an item, as JSON: its result, with an answer of 4 MiB beside it, must fit a document of 16 MB."""
    max_item_bytes: int = 8 * 1024**2
    """An item as JSON, with its metadata: a MongoDB document is at most 16 MB."""
    max_items_bytes: int = 8 * 1024**3
    """All items of all phases, rendered."""
    render_s: float = 2.0
    """CPU time for one item's messages."""
    memory_bytes: int = 3 * 1024**3
    cpu_s: int = 500
    wall_s: float = 540.0
    """Below the 600 s for which the gateway waits for a registration, so that it gets to say why there is none."""


@dataclass(frozen=True)
class Bundle:
    """A bundle in which everything is right.

    `version` is the content's hash, `phases` are (name, items) in the manifest's order, `items_sha256` (hex) what those hold; the items of
    phase `n` are in `items-<n>.jsonl` in the `out` folder. `program` is the scoring program's `{command, image}`, where there is
    one. `warnings` are for information.
    """

    version: str
    manifest: Manifest
    overview: str
    phases: list[tuple[str, int]]
    items_sha256: list[str]
    warnings: list[str]
    program: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        manifest = self.manifest.model_dump(mode="json", exclude_unset=True)
        return {**vars(self), "manifest": manifest}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        manifest = Manifest.model_validate(value["manifest"])
        return cls(**{**value, "manifest": manifest, "phases": [(name, items) for name, items in value["phases"]]})


def read_bundle(archive: Path, out: Path, limits: Limits) -> Bundle:
    """Validate the zip `archive`; unpacks it into `out/bundle`, writes `out/items-<phase index>.jsonl`.

    A line of that is `{line, index, item_id, input, messages: [{role, content}], target, hints, metadata}`: `index` from 0, `line`
    where it is in its file (see `Row`), `input` the column as text (chat messages as JSON), `hints` what the scorer needs beside
    `target`, `metadata` all other columns.

    Raises:
        Invalid: `errors` has up to 20, each `loc` begins with the file within the bundle.
        TooLarge: the archive, what it unpacks to, or the rendered items are over a limit.
    """
    if archive.stat().st_size > limits.max_archive_bytes:
        raise TooLarge(f"bundle is larger than {limits.max_archive_bytes:,} bytes")
    folder = out / "bundle"
    sizes = ArchiveLimits(limits.max_unpacked_bytes, limits.max_file_bytes, limits.max_entries, limits.max_ratio)
    digests = extract(archive, folder, MANIFEST, sizes)
    try:
        return _read(archive, folder, out, digests, sizes, limits)
    except Invalid as problem:
        quote(problem.errors, folder)
        raise


def _read(
    archive: Path, folder: Path, out: Path, digests: Mapping[str, str], sizes: ArchiveLimits, limits: Limits
) -> Bundle:
    problems = Problems()
    manifest = read_manifest(folder / MANIFEST, limits.max_manifest_bytes, problems)
    check_patterns(manifest, problems)
    reading = _Reading(manifest, folder, out, limits, problems, set(digests))
    overview = reading.overview()
    check = ProgramCheck(archive, MANIFEST, digests, out, sizes, problems)
    program = check.read(manifest, manifest.scoring) if isinstance(manifest.scoring, ProgramScoring) else None
    phases = [reading.phase(index, phase) for index, phase in enumerate(manifest.phases)]
    problems.raise_any()
    unused = sorted(name for name in reading.files - reading.used - check.used if name not in _FOR_PEOPLE)
    warnings = [f"{name}: nothing in {MANIFEST} refers to it" for name in unused[:20]]
    counts = [(phase.name, items) for phase, (items, _) in zip(manifest.phases, phases, strict=True)]
    sha256s = [sha256 for _, sha256 in phases]
    version = content_version(digests)
    return Bundle(version, manifest, overview, counts, sha256s, warnings, None if program is None else vars(program))


def _sources(prompt: Prompt) -> list[Source]:
    """The templates of the messages; none where each item brings its chat."""
    if prompt.messages is not None:
        return [Source(["prompt", "messages", n, "content"], m.role, m.content) for n, m in enumerate(prompt.messages)]
    if prompt.template is None:
        return []
    system = [Source(["prompt", "system"], "system", prompt.system)] if prompt.system else []
    return [*system, Source(["prompt", "template"], "user", prompt.template)]


def _as_it_is(value: Any) -> Any:
    if value is None:
        raise ValueError("holds null; the scorer needs a value")
    return value


def _hint(scoring: Scored, column: str) -> Callable[[Any], Any]:
    """How a column that the scorer needs is read."""
    if isinstance(scoring, ChoiceScoring):
        return choices_of
    return references_of if isinstance(scoring, WithReferences) else _as_it_is


class _Reading:
    """Reads what the manifest refers to. What is wrong is noted, and the rest is read on."""

    def __init__(
        self, manifest: Manifest, folder: Path, out: Path, limits: Limits, problems: Problems, files: set[str]
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.out = out
        self.limits = limits
        self.problems = problems
        self.files = files
        self.used = {MANIFEST}
        self.written = 0
        self.templates: Templates | None = None
        self.rubric = Rubric(manifest.scoring, problems) if isinstance(manifest.scoring, JudgeScoring) else None
        if isinstance(manifest.scoring.for_items, JsonScoring):
            check_schema(manifest.scoring.for_items, problems)
        try:
            if sources := _sources(manifest.prompt):
                self.templates = Templates(sources, time_limit_s=limits.render_s, max_bytes=limits.max_job_bytes)
        except TemplateError as error:
            problems.add([MANIFEST, *error.loc], error.msg)

    def overview(self) -> str:
        """The overview's text; empty where the manifest names none."""
        if self.manifest.overview is None:
            return ""
        path = self._file(self.manifest.overview, ["overview"])
        if path is None:
            return ""
        if path.stat().st_size > self.limits.max_overview_bytes:
            self.problems.add([self.manifest.overview], f"is larger than {self.limits.max_overview_bytes:,} bytes")
            return ""
        try:
            return path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.problems.add([self.manifest.overview], f"is not UTF-8: byte at position {error.start + 1}")
            return ""

    def phase(self, index: int, phase: Phase) -> tuple[int, str]:
        """Write the phase's items; gives how many there are, and the sha256 (hex) of what they hold."""
        path = self._file(phase.data, ["phases", index, "data"])
        if path is None:
            return 0, ""
        with (self.out / f"items-{index}.jsonl").open("wb") as target:
            items = _PhaseItems(self, phase, path, Ids(self.out / f"ids-{index}.sqlite"))
            for row in read_rows(path, self.limits.max_line_bytes):
                if items.count == self.limits.max_items:
                    self.problems.add([phase.data], f"has more than {self.limits.max_items:,} items")
                    break
                if isinstance(row, BadRow):
                    items.count += 1
                    items.refuse(row.line, None, row.msg)
                else:
                    self._write(items.read(row), target)
        if not items.count:
            self.problems.add([phase.data], "has no items")
        return items.count, items.digest.hexdigest()

    def _file(self, name: str, loc: list[str | int]) -> Path | None:
        # Only what was unpacked is looked up, so no path leads out of the bundle.
        relative = inner_path(name)
        if relative not in self.files:
            hint = near(relative, self.files - {MANIFEST}, "the bundle has")
            self.problems.add([MANIFEST, *loc], f"there is no file {name!r} in the bundle; {hint}")
            return None
        self.used.add(relative)
        return self.folder / relative

    def _write(self, line: bytes | None, target: IO[bytes]) -> None:
        if line is None or self.problems.errors:
            return
        self.written += target.write(line)
        if self.written > self.limits.max_items_bytes:
            raise TooLarge(f"the items with their prompts are larger than {self.limits.max_items_bytes:,} bytes")


class _PhaseItems:
    """Makes items of one data file's rows. `count` is how many there were, good and bad."""

    def __init__(self, reading: _Reading, phase: Phase, path: Path, ids: Ids) -> None:
        self.reading = reading
        self.phase = phase
        self.unit = unit(path)
        self.count = 0
        self.digest = hashlib.sha256()
        self._ids = ids
        self._absent: Counter[str] = Counter()
        self._renders = True

    def refuse(self, line: int | None, column: str | None, msg: str) -> None:
        loc = [part for part in (self.phase.data, line, column) if part is not None]
        self.reading.problems.add(loc, msg if line is None else f"{self.unit} {line}: {msg}")

    def read(self, row: Row) -> bytes | None:
        """The item as a line of JSON; None where something is wrong with it, which is then noted."""
        index, self.count = self.count, self.count + 1
        fields, scoring = self.phase.fields, self.reading.manifest.scoring.for_items
        item_id = str(index + 1) if fields.id is None else self._id(row, fields.id)
        text = self._column(row, fields.input, "fields.input", input_text)
        if scoring.needs_target or row.values.get(fields.target) is not None:
            convert = json_text if isinstance(scoring, JsonScoring) else target_text
            target = self._column(row, fields.target, "fields.target", convert)
        else:
            target = ""
        hints = {
            column: self._column(row, column, "scoring", _hint(scoring, column)) for column in scoring.item_columns
        }
        if item_id is None or text is None or target is None or any(hint is None for hint in hints.values()):
            return None
        named = {"id": item_id, "input": row.values[fields.input], "target": target}
        messages = self._messages(row, named)
        if self.reading.rubric:
            where = f"{self.phase.data}, {self.unit} {row.line}"
            self.reading.rubric.check({"input": text, **hints}, target, where)
        if messages is None:
            return None
        parts = {fields.id, fields.input, fields.target, self.reading.manifest.prompt.chat, *hints}
        item = {
            "line": row.line,
            "index": index,
            "item_id": item_id,
            "input": text,
            "messages": messages,
            "target": target,
            "hints": hints,
            "metadata": {name: value for name, value in row.values.items() if name not in parts},
        }
        return self._as_line(row.line, item)

    def _column(self, row: Row, column: str, meant_by: str, convert: Callable[[Any], T]) -> T | None:
        if column not in row.values:
            self._absent[column] += 1
            if self._absent[column] <= _MAX_REPEATS:
                there = near(column, row.values, "the columns are")
                self.refuse(row.line, column, f"column {column!r} ({meant_by}) is missing; {there}")
            return None
        try:
            return convert(row.values[column])
        except ValueError as error:
            self.refuse(row.line, column, f"column {column!r} {error}")
            return None

    def _id(self, row: Row, column: str) -> str | None:
        item_id = self._column(row, column, "fields.id", id_of)
        if item_id is None:
            return None
        first = self._ids.first(item_id, row.line)
        if first != row.line:
            self.refuse(
                row.line,
                column,
                f"the id {item_id!r} is that of {self.unit} {first} too; ids must differ within a phase",
            )
            return None
        return item_id

    def _messages(self, row: Row, named: dict[str, Any]) -> list[dict[str, str]] | None:
        if (chat := self.reading.manifest.prompt.chat) is not None:
            return self._column(row, chat, "prompt.chat", chat_of)
        if self.reading.templates is None or not self._renders:
            return None
        try:
            # A column wins over the field of the same name: the template sees all columns as they are.
            return self.reading.templates.render({**named, **row.values}, list(row.values))
        except TemplateError as error:
            # Once a file: a wrong template fails on every row, and an endless one takes its whole time on each.
            self._renders = False
            self.reading.problems.add(
                [MANIFEST, *error.loc], f"{error.msg} (with {self.phase.data}, {self.unit} {row.line})"
            )
            return None

    def _as_line(self, line: int, item: dict[str, Any]) -> bytes | None:
        limits = self.reading.limits
        whole = orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)
        if len(whole) > limits.max_item_bytes:
            most = f"at most {limits.max_item_bytes:,} are allowed"
            self.refuse(line, None, f"the item has {len(whole):,} bytes as JSON; {most}")
            return None
        if len(whole) > limits.max_job_bytes:
            size = len(orjson.dumps({name: item[name] for name in ("item_id", "messages", "target", "hints")}))
            if size > limits.max_job_bytes:
                most = f"at most {limits.max_job_bytes:,} are taken"
                self.refuse(line, None, f"the prompt, target and choices have {size:,} bytes as JSON; {most}")
                return None
        # Without `line`, which stands first: the same items are the same whatever file they came in.
        self.digest.update(whole[whole.index(b",") :])
        return whole
