"""The bundle of an environment: from an uploaded zip to a validated manifest and rendered items.

`read_bundle` is for a worker process (see `inspection.py`): it blocks, and what it reads is hostile.
"""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Self, TypeVar

import orjson
import yaml
from pydantic import ValidationError

from services.artifacts.archive import ArchiveLimits, content_version, extract
from services.artifacts.rendering import Source, TemplateError, Templates
from services.artifacts.rows import BadRow, Row, choices_of, id_of, input_text, read_rows, target_text, unit
from shared.errors import FieldError, Invalid, TooLarge
from shared.manifest import ChoiceScoring, Manifest, Phase, Prompt

MANIFEST = "environment.yaml"
_MAX_ERRORS = 20
_MAX_REPEATS = 3  # of one column's absence from one file, so that other errors are seen too
_MAX_NAME = 200  # characters of a name in an error's path
_MAX_MESSAGE = 2000  # characters of an error's message
_MAX_NODES = 100_000  # of the manifest with its aliases written out
_MAX_DEPTH = 64
# What PyYAML's constructors raise, beside its own errors, where an explicit tag does not fit its value.
_MISFITS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)

T = TypeVar("T")
Loc = tuple[str | int, ...]


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
    max_job_bytes: int = 900_000
    """What a job carries of an item, as JSON: the broker takes messages of 1 MB."""
    max_item_bytes: int = 8 * 1024**2
    """An item as JSON, with its metadata: a MongoDB document is at most 16 MB."""
    max_items_bytes: int = 8 * 1024**3
    """All items of all phases, rendered."""
    render_s: float = 2.0
    """CPU time for one item's messages."""
    memory_bytes: int = 3 * 1024**3
    cpu_s: int = 900
    wall_s: float = 1800.0


@dataclass(frozen=True)
class Bundle:
    """A bundle in which everything is right.

    `version` is the content's hash, `phases` are (name, items) in the manifest's order; the items of phase `n` are in
    `items-<n>.jsonl` in the `out` folder. `warnings` are for information.
    """

    version: str
    manifest: Manifest
    overview: str
    phases: list[tuple[str, int]]
    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        manifest = self.manifest.model_dump(mode="json", exclude_unset=True)
        return {**vars(self), "manifest": manifest}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        manifest = Manifest.model_validate(value["manifest"])
        return cls(**{**value, "manifest": manifest, "phases": [(name, items) for name, items in value["phases"]]})


def read_bundle(archive: Path, out: Path, limits: Limits) -> Bundle:
    """Validate the zip `archive`; unpacks it into `out/bundle`, writes `out/items-<phase index>.jsonl`.

    A line of that is `{index, item_id, input, messages: [{role, content}], target, hints, metadata}`: `index` from 0, `input`
    the column as text (chat messages as JSON), `hints` what the scorer needs beside `target`, `metadata` all other columns.

    Raises:
        Invalid: `errors` has up to 20, each `loc` begins with the file within the bundle.
        TooLarge: the archive, what it unpacks to, or the rendered items are over a limit.
    """
    if archive.stat().st_size > limits.max_archive_bytes:
        raise TooLarge(f"bundle is larger than {limits.max_archive_bytes:,} bytes")
    folder = out / "bundle"
    sizes = ArchiveLimits(limits.max_unpacked_bytes, limits.max_file_bytes, limits.max_entries, limits.max_ratio)
    digests = extract(archive, folder, MANIFEST, sizes)
    problems = _Problems()
    manifest = _read_manifest(folder / MANIFEST, limits, problems)
    reading = _Reading(manifest, folder, out, limits, problems, set(digests))
    overview = reading.overview()
    phases = [(phase.name, reading.phase(index, phase)) for index, phase in enumerate(manifest.phases)]
    problems.raise_any()
    unused = sorted(reading.files - reading.used)
    warnings = [f"{name}: nothing in {MANIFEST} refers to it" for name in unused[:20]]
    return Bundle(content_version(digests), manifest, overview, phases, warnings)


class _Problems:
    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, loc: Iterable[str | int], msg: str) -> None:
        """Raises them all as `Invalid` instead of growing beyond the limit."""
        # A hostile bundle chooses its names: neither they nor what lists them may flood an answer.
        loc = [part if isinstance(part, int) else part[:_MAX_NAME] for part in loc]
        msg = msg if len(msg) <= _MAX_MESSAGE else f"{msg[:_MAX_MESSAGE]}..."
        if len(self.errors) == _MAX_ERRORS:
            self.errors.append(FieldError(loc=loc[:1], msg="... and more"))
            self.raise_any()
        self.errors.append(FieldError(loc=loc, msg=msg))

    def raise_any(self) -> None:
        if count := len(self.errors):
            said = f"more than {_MAX_ERRORS} errors" if count > _MAX_ERRORS else f"{count} error{'s' * (count > 1)}"
            first = self.errors[0]
            raise Invalid(f"bundle has {said}: {first['loc'][0]}: {first['msg']}", self.errors)


def _near(name: str, known: Iterable[str], what: str) -> str:
    """The end of a message on an unknown name."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    there = f"{what} {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
    return f"did you mean {near[0]!r}? {there[0].upper()}{there[1:]}" if near else there


def _read_manifest(path: Path, limits: Limits, problems: _Problems) -> Manifest:
    if path.stat().st_size > limits.max_manifest_bytes:
        problems.add([MANIFEST], f"is larger than {limits.max_manifest_bytes:,} bytes")
        problems.raise_any()
    try:
        data, lines = _parse_yaml(path.read_bytes().decode("utf-8-sig"))
        return Manifest.model_validate(data)
    except UnicodeDecodeError as error:
        problems.add([MANIFEST], f"is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start + 1}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problems.add([MANIFEST], f"{at}{error.problem or error.context}")
    except yaml.YAMLError as error:
        problems.add([MANIFEST], f"is not YAML: {str(error).splitlines()[0]}")
    except RecursionError:
        problems.add([MANIFEST], f"is nested deeper than {_MAX_DEPTH} levels")
    except ValidationError as error:
        for loc, msg in _explained(error, data):
            # What is missing has no line of its own, but what it is missing from has.
            line = next((lines[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in lines), None)
            problems.add([MANIFEST, *loc], msg if line is None else f"line {line}: {msg}")
    problems.raise_any()
    raise AssertionError("every way here adds a problem")


def _parse_yaml(text: str) -> tuple[dict[str, Any], dict[Loc, int]]:
    """The mapping that `text` holds, and the line of each path in it. Raises `yaml.YAMLError`."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise yaml.YAMLError("it must be a mapping with slug, title, prompt, phases and scoring")
        lines: dict[Loc, int] = {}
        _index(node, (), lines, Counter())
        return loader.construct_document(node), lines
    except _MISFITS as error:
        raise yaml.YAMLError(f"a value does not fit its type: {error}") from error
    finally:
        loader.dispose()


def _index(node: yaml.Node, loc: Loc, lines: dict[Loc, int], seen: Counter[str]) -> None:
    """Fill `lines`, and refuse what would be read wrongly in silence (a key given twice) or what explodes (aliases of aliases)."""

    def refuse(msg: str, node: yaml.Node) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=msg, problem_mark=node.start_mark)

    seen["nodes"] += 1
    if seen["nodes"] > _MAX_NODES:
        refuse(f"more than {_MAX_NODES:,} values, with aliases written out", node)
    if len(loc) > _MAX_DEPTH:
        refuse(f"nested deeper than {_MAX_DEPTH} levels, or within itself", node)
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _index(child, (*loc, index), lines, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            if not key.tag.endswith((":str", ":merge")):
                refuse("a key must be text; put it in quotes", key)
            _index(key, loc, lines, seen)
            if key.value in keys:
                refuse(f"the key {key.value!r} is given twice", key)
            keys.add(key.value)
            lines.setdefault((*loc, key.value), key.start_mark.line + 1)
            _index(child, (*loc, key.value), lines, seen)
    elif node.tag.endswith(":float") and node.value.lower().lstrip("+-") in (".inf", ".nan"):
        refuse("a number must be finite", node)
    elif any("\ud800" <= letter <= "\udfff" for letter in node.value):
        refuse("half of a surrogate pair is not Unicode text", node)


def _explained(error: ValidationError, data: Any) -> list[tuple[Loc, str]]:
    """Path and message of each error; alternatives that were tried for one value make one message."""
    messages: dict[Loc, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        loc = _real_path(one["loc"], data, keep_last=one["type"] == "missing")
        msg = one["msg"].removeprefix("Value error, ")
        match one["type"]:
            case "extra_forbidden":
                msg = f"unknown key {loc[-1]!r}; {_near(str(loc[-1]), _keys_at(one['loc'][:-1]), 'the keys here are')}"
            case "missing":
                msg = f"{loc[-1]} is missing"
            case "union_tag_invalid" | "union_tag_not_found":
                key, tag = one["ctx"]["discriminator"].strip("'"), one["ctx"].get("tag")
                known = _schema_at(one["loc"])["discriminator"]["mapping"]
                loc = (*loc, key)
                msg = f"{key} is missing; {key} is one of {', '.join(known)}"
                if tag is not None:
                    msg = f"unknown {key} {tag!r}; {_near(tag, known, f'the {key}s are')}"
        messages.setdefault(loc, []).append(msg)
    return [(loc, " or: ".join(msgs)) for loc, msgs in messages.items()]


def _real_path(loc: Loc, data: Any, keep_last: bool) -> Loc:
    """`loc` without what pydantic puts in to name an alternative of a union: `("scoring", "numeric", "tolerance")`."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part]
        elif keep_last and position == len(loc) - 1:
            path.append(part)
    return tuple(path)


def _schema_at(loc: Loc) -> dict[str, Any]:
    """The part of the manifest's JSON Schema that pydantic's `loc` leads to."""
    schema = Manifest.model_json_schema()

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        if "anyOf" in node:  # an optional value
            node = next(option for option in node["anyOf"] if option.get("type") != "null")
        return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    node = schema
    for part in loc:
        if isinstance(part, int):
            node = resolve(node["items"])
        elif "discriminator" in node:
            node = resolve({"$ref": node["discriminator"]["mapping"][part]})
        else:
            node = resolve(node["properties"][part])
    return node


def _keys_at(loc: Loc) -> list[str]:
    return list(_schema_at(loc)["properties"])


def _sources(prompt: Prompt) -> list[Source]:
    if prompt.messages is not None:
        return [Source(["prompt", "messages", n, "content"], m.role, m.content) for n, m in enumerate(prompt.messages)]
    system = [Source(["prompt", "system"], "system", prompt.system)] if prompt.system else []
    return [*system, Source(["prompt", "template"], "user", prompt.template or "")]


class _Reading:
    """Reads what the manifest refers to. What is wrong is noted, and the rest is read on."""

    def __init__(
        self, manifest: Manifest, folder: Path, out: Path, limits: Limits, problems: _Problems, files: set[str]
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
        try:
            self.templates = Templates(
                _sources(manifest.prompt), time_limit_s=limits.render_s, max_bytes=limits.max_job_bytes
            )
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

    def phase(self, index: int, phase: Phase) -> int:
        """Write the phase's items; gives how many there are."""
        path = self._file(phase.data, ["phases", index, "data"])
        if path is None:
            return 0
        with (self.out / f"items-{index}.jsonl").open("wb") as target:
            items = _PhaseItems(self, phase, path)
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
        return items.count

    def _file(self, name: str, loc: list[str | int]) -> Path | None:
        # Only what was unpacked is looked up, so no path leads out of the bundle.
        relative = unicodedata.normalize("NFC", name).removeprefix("./")
        if relative not in self.files:
            hint = _near(relative, self.files - {MANIFEST}, "the bundle has")
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

    def __init__(self, reading: _Reading, phase: Phase, path: Path) -> None:
        self.reading = reading
        self.phase = phase
        self.unit = unit(path)
        self.count = 0
        self._ids: dict[str, int] = {}
        self._absent: Counter[str] = Counter()
        self._renders = True

    def refuse(self, line: int | None, column: str | None, msg: str) -> None:
        loc = [part for part in (self.phase.data, line, column) if part is not None]
        self.reading.problems.add(loc, msg if line is None else f"{self.unit} {line}: {msg}")

    def read(self, row: Row) -> bytes | None:
        """The item as a line of JSON; None where something is wrong with it, which is then noted."""
        index, self.count = self.count, self.count + 1
        fields, scoring = self.phase.fields, self.reading.manifest.scoring
        item_id = str(index + 1) if fields.id is None else self._id(row, fields.id)
        text = self._column(row, fields.input, "fields.input", input_text)
        target = self._column(row, fields.target, "fields.target", target_text)
        hints: dict[str, list[str] | None] = {}
        if isinstance(scoring, ChoiceScoring):
            hints[scoring.choices] = self._column(row, scoring.choices, "scoring.choices", choices_of)
        if item_id is None or text is None or target is None or None in hints.values():
            return None
        named = {"id": item_id, "input": row.values[fields.input], "target": target}
        messages = self._messages(row, named)
        if messages is None:
            return None
        parts = {fields.id, fields.input, fields.target, *hints}
        item = {
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
                there = ", ".join(row.values)
                self.refuse(row.line, column, f"column {column!r} ({meant_by}) is missing; the columns are {there}")
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
        first = self._ids.setdefault(item_id, row.line)
        if first != row.line:
            self.refuse(
                row.line,
                column,
                f"the id {item_id!r} is that of {self.unit} {first} too; ids must differ within a phase",
            )
            return None
        return item_id

    def _messages(self, row: Row, named: dict[str, Any]) -> list[dict[str, str]] | None:
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
                most = f"at most {limits.max_job_bytes:,} fit a message"
                self.refuse(line, None, f"the prompt, target and choices have {size:,} bytes as JSON; {most}")
                return None
        return whole
