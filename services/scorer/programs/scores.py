"""The scores that a program has written: `scores.json`, else `scores.txt`, with every mistake named by file and key."""

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared.contracts import FileEntry
from shared.errors import AssayError
from shared.manifest import Column

JSON, TEXT = "scores.json", "scores.txt"
_MAX_BYTES = 1024**2
_MAX_KEYS = 1000
_MAX_KEY = 200


class ProgramFailed(AssayError):
    """The evaluation fails, and it is the program's doing: the message is for the environment's author.

    `files` are those of the evaluation nevertheless: what the program said and wrote until then.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.files: list[FileEntry] = []


class Written(NamedTuple):
    """`aside` says by key what is there instead of a number."""

    scores: dict[str, float]
    aside: dict[str, str]


def read_scores(folder: Path, columns: Collection[str]) -> Written:
    """The program's scores in its own order, all finite; and what stands beside them. Raises `ProgramFailed`.

    Numbers may be texts, as Codabench takes them. What is no number and has a key that is none of `columns`, such as a model's name,
    is set aside, as Codabench passes over it, where there is a score for at least one of them. Lines of `scores.txt` are `key: value`,
    the space being optional as in CodaLab.
    """
    for name, parse in ((JSON, _from_json), (TEXT, _from_text)):
        file = folder / name
        if file.is_symlink() or not file.is_file():
            continue
        if file.stat().st_size > _MAX_BYTES:
            raise ProgramFailed(f"{name} of the scoring program is larger than {_MAX_BYTES:,} bytes")
        try:
            pairs = parse(file.read_bytes().decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ProgramFailed(
                f"{name} of the scoring program is not UTF-8: byte at position {error.start + 1}"
            ) from error
        except _Wrong as error:
            raise ProgramFailed(f"{name} of the scoring program {error}") from error
        return _checked(name, pairs, columns)
    raise ProgramFailed(f"the scoring program wrote neither {JSON} nor {TEXT} into /app/output")


class Matched(NamedTuple):
    """`unmatched` are keys of the program that no column has, `missing` columns' keys that neither it nor Assay has."""

    unmatched: list[str]
    missing: list[str]
    main: str | None


def match_columns(scores: Collection[str], columns: Sequence[Column], own: Collection[str]) -> Matched:
    """How a program's keys fit the leaderboard's columns. `own` are the metrics that Assay has by itself.

    `main` is the key that ranks, of the first column that is neither hidden nor computed: where that is `overall_score`, which the
    program does not give, the program's first one.
    """
    plain = [column for column in columns if column.computed is None]
    keys = [column.key for column in plain]
    first = next((column.key for column in plain if not column.hidden), keys[0] if keys else "overall_score")
    if first == "overall_score" and first not in scores:
        first = next(iter(scores))
    unmatched = [key for key in scores if key not in keys and not (key == first and "overall_score" in keys)]
    missing = [key for key in keys if key not in scores and key not in own]
    return Matched(unmatched, missing, first if first in scores or first in own else None)


class _Wrong(Exception):
    """Completes "scores.json of the scoring program ..."."""


Pairs = list[tuple[str, Any]]


def _from_json(text: str) -> Pairs:
    try:
        # Pairs, since an object would hide a key that is given twice.
        value = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise _Wrong(f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"is not JSON that can be read: {type(error).__name__}") from error
    if not isinstance(value, _Pairs):
        raise _Wrong(f'must be an object such as {{"accuracy": 0.5}}, and is {_kind(value)}')
    return value


class _Pairs(Pairs):
    """An object of JSON."""


def _from_text(text: str) -> Pairs:
    if text.lstrip().startswith("{"):
        return _from_flow(text)
    pairs: Pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#") or line == "---":
            continue
        key, colon, value = line.rpartition(":")
        if not colon or not key.strip():
            raise _Wrong(f"has {line[:80]!r} in line {number}; a line must look like 'accuracy: 0.5'")
        pairs.append((key.strip().strip("\"'"), value.strip().strip("\"'")))
    return pairs


def _from_flow(text: str) -> Pairs:
    """An object in one piece, which Codabench takes too, since it reads YAML."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _Wrong(f"is not YAML: {(str(error).splitlines() or [''])[0]}") from error
    if not isinstance(value, dict):
        raise _Wrong(f"must have lines such as 'accuracy: 0.5', and is {_kind(value)}")
    return [(str(key), each) for key, each in value.items()]


def _checked(name: str, pairs: Pairs, columns: Collection[str]) -> Written:
    where = f"{name} of the scoring program"
    if not pairs:
        raise ProgramFailed(f"{where} has no scores in it")
    if len(pairs) > _MAX_KEYS:
        raise ProgramFailed(f"{where} has {len(pairs):,} keys; at most {_MAX_KEYS:,} are taken")
    scores: dict[str, float] = {}
    aside: dict[str, str] = {}
    fits = any(key in columns for key, _ in pairs)
    for key, value in pairs:
        shown = key if len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]}..."
        if not key.strip() or len(key) > _MAX_KEY or not key.isprintable():
            raise ProgramFailed(
                f"{where} has the key {shown!r}; a key is a text of 1 to {_MAX_KEY} printable characters"
            )
        if key in scores or key in aside:
            raise ProgramFailed(f"{where} has the key {shown!r} twice")
        if fits and key not in columns and not _looks_like_a_number(value):
            aside[key] = _kind(value)
        else:
            scores[key] = _number(value, f"{where}: {shown!r}")
    return Written(scores, aside)


def _looks_like_a_number(value: Any) -> bool:
    """NaN does, too: it is what a division by zero left, and not something else that the program wanted to say."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    except OverflowError:
        return True
    return True


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ProgramFailed(f"{what} is {_kind(value)}; a score is one number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except ValueError as error:
        raise ProgramFailed(f"{what} is the text {str(value)[:80]!r}; a score is a number") from error
    if not math.isfinite(number):
        raise ProgramFailed(f"{what} is {number}; a score must be a finite number")
    return number


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case _Pairs() | dict():
            return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"
