"""The json scorer: the JSON value in an answer, whether it fits a schema, and how many of its fields are the target's.

The value is the whole answer, or else the last object or list in it that can be read, be it in a fenced block or between words; one of
the target's kind comes before another. Fields are named by JSON Pointers (RFC 6901) or, at the top level, by their names. They are
equal as JSON values are (1 equals 1.0, true is no number), numbers within the tolerance. Schemas are `jsonschema`'s, Draft 2020-12
unless `$schema` says another, and nothing is fetched for them. For worker processes: a schema's pattern may take for ever.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from services.scorer.scorers.score import Score
from shared.scoring import JsonScoring

MAX_TRIED = 1000
"""Places in an answer at which a value may begin, and none does."""

MAX_NAMED = 10
"""Fields that are named as wrong."""


class NoJson(ValueError):
    """There is no value that can be read."""


def score(output: str, target: str, scoring: JsonScoring, hints: Mapping[str, Any]) -> Score:
    """`scores` has `valid` (1 where it fits the schema), `fields` (the share of them that are right; 1 without a target) and `score`: the
    share of fields, or 0 where it does not fit.
    """
    nothing = {"score": 0.0, "valid": 0.0, "fields": 0.0}
    wanted, shown = None, target.strip()
    try:
        if shown:
            wanted = _read(target)
            shown = _written(wanted)
        found = value_in(output, wanted)
        problem = _misfit(found, scoring)
        wrong = wrong_fields(found, wanted, scoring) if shown else {}
        prediction = _written(found)
    except NoJson as error:
        return Score(None, shown, False, nothing, str(error))
    except RecursionError:
        return Score(None, shown, False, nothing, "The JSON in the answer is nested too deeply.")
    share = 1 - sum(wrong.values()) / len(wrong) if wrong else 1.0
    scores = {"score": 0.0 if problem else share, "valid": float(not problem), "fields": share}
    correct = problem is None and share >= scoring.threshold
    return Score(
        prediction, shown, correct, scores, _why(problem, [name for name, is_wrong in wrong.items() if is_wrong])
    )


def check_target(target: str, scoring: JsonScoring, hints: Mapping[str, Any]) -> str | None:
    if not target.strip():
        if scoring.json_schema is None:
            return "the target is empty, and there is no scoring.schema either: give one of them"
        return "the target is empty, and scoring.fields names some of it" if scoring.fields else None
    try:
        wanted = _read(target)
    except ValueError as error:
        return f"the target is not JSON: {error}"
    except RecursionError:
        return "the target is nested too deeply"
    if scoring.fields is None and wanted == {}:
        return "the target has no fields to be compared"
    for field in scoring.fields or ():
        try:
            _at(wanted, field)
        except LookupError:
            return f"the target has no field {field!r}, which scoring.fields names"
    try:
        problem = _misfit(wanted, scoring)
    except RecursionError:
        return "scoring.schema refers to itself without end"
    except Unresolvable as error:
        return f"scoring.schema refers to what is not in it: {error.ref}"
    return f"the target does not fit scoring.schema: {problem}" if problem else None


def value_in(text: str, wanted: Any = None) -> Any:
    """The JSON value of an answer, see above. Raises `NoJson`, and RecursionError where it is nested too deeply."""
    text = text.strip()
    try:
        return _read(text)
    except ValueError:
        pass
    found: list[Any] = []
    place, tried, deep = 0, 0, False
    while tried < MAX_TRIED and (place := _next(text, place)) >= 0:
        try:
            value, place = _DECODER.raw_decode(text, place)
            found.append(value)
        except ValueError:
            place, tried = place + 1, tried + 1
        except RecursionError:
            place, tried, deep = place + 1, tried + 100, True
    if not found:
        if deep:
            raise RecursionError
        raise NoJson("There is no JSON in the answer.")
    return next((value for value in reversed(found) if type(value) is type(wanted)), found[-1])


def wrong_fields(found: Any, wanted: Any, scoring: JsonScoring) -> dict[str, bool]:
    """Of each field of the target that counts, whether the answer has it wrong."""
    names = scoring.fields or (list(map(_pointer, wanted)) if isinstance(wanted, dict) else [""])
    return {name: not _has(found, _at(wanted, name), name, scoring.tolerance) for name in names}


def _has(found: Any, value: Any, name: str, tolerance: float) -> bool:
    try:
        return equal(_at(found, name), value, tolerance)
    except LookupError:
        return False


def equal(left: Any, right: Any, tolerance: float = 0) -> bool:
    """Whether two JSON values are the same; numbers may differ by `tolerance`."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right or (tolerance > 0 and _distance(left, right) <= tolerance)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[name], right[name], tolerance) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(equal(*pair, tolerance) for pair in zip(left, right, strict=True))
    return type(left) is type(right) and bool(left == right)


def _distance(left: float, right: float) -> float:
    try:
        # Half of the last digit of a double: 0.3 is as far from 0.1 as it is written.
        return round(abs(left - right), 12)
    except OverflowError:  # an integer beyond what a double holds
        return abs(int(left) - int(right))


def _written(value: Any) -> str:
    """With sorted keys: in what order they come makes no difference, and so none is shown."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _at(value: Any, name: str) -> Any:
    """What a JSON Pointer, or a name at the top level, leads to. Raises LookupError."""
    if not name:
        return value
    if not name.startswith("/"):
        if not isinstance(value, dict):
            raise LookupError(name)
        return value[name]
    for part in name[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdecimal():
            value = value[int(key)]
        else:
            raise LookupError(name)
    return value


def _misfit(value: Any, scoring: JsonScoring) -> str | None:
    """Why a value does not fit the schema, or None."""
    if scoring.json_schema is None:
        return None
    error: ValidationError | None = best_match(_validator(json.dumps(scoring.json_schema)).iter_errors(value))
    if error is None:
        return None
    where = "".join(map(_pointer, map(str, error.absolute_path)))
    return f"{error.message[:300]} (at {where})" if where else error.message[:300]


@lru_cache(maxsize=8)
def _validator(schema: str) -> Validator:
    loaded = json.loads(schema)
    validator: Validator = validator_for(loaded, default=Draft202012Validator)(loaded, registry=Registry())
    return validator


def _why(problem: str | None, wrong: list[str]) -> str | None:
    said = [f"It does not fit the schema: {problem}."] if problem else []
    if wrong:
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        named = ", ".join(name.removeprefix("/") or "the whole value" for name in wrong[:MAX_NAMED])
        said.append(f"Wrong or missing: {named}{more}.")
    return " ".join(said) or None


def _next(text: str, start: int) -> int:
    """Where the next object or list may begin, or -1."""
    places = [place for bracket in "{[" if (place := text.find(bracket, start)) >= 0]
    return min(places, default=-1)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def _read(text: str) -> Any:
    """Raises ValueError."""
    return _DECODER.decode(text)
