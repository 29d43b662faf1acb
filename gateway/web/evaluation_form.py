"""The Evaluate form: what its fields hold, as the body of `POST /v1/evaluations`, and errors of that body at their fields."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import ImmutableMultiDict

from gateway.plain import not_plain
from shared.api import EvaluationCreate
from shared.errors import FieldError, Invalid, Problem, from_validation

NUMBERS: dict[str, Callable[[str], int | float]] = {"limit": int, "samples_per_item": int, "priority": int}
PARAMS: dict[str, Callable[[str], int | float]] = {"temperature": float, "max_tokens": int, "top_p": float, "seed": int}
FIELDS = ("phase", "judge", *NUMBERS, *PARAMS, "stop", "other")


@dataclass(frozen=True)
class Given:
    """What somebody has filled in. `texts` has every name of `FIELDS`; what is empty is left to the environment."""

    models: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=lambda: dict.fromkeys(FIELDS, ""))


def read(form: ImmutableMultiDict[str, Any]) -> Given:
    """From a form, or from a page's address: there, ids may also stand in one `models` with commas between them."""
    ids = [part.strip() for value in form.getlist("models") if isinstance(value, str) for part in value.split(",")]
    texts = {name: value if isinstance(value := form.get(name, ""), str) else "" for name in FIELDS}
    return Given(list(dict.fromkeys(filter(None, ids))), texts)


def body_of(given: Given, environment: str) -> tuple[EvaluationCreate, dict[str, Any]]:
    """The body, checked and as it would have been sent; raises `Invalid` for all that is wrong in it."""
    errors: list[FieldError] = []
    body: dict[str, Any] = {"environment": environment, "models": given.models}
    for name in ("phase", "judge"):
        if given.texts[name]:
            body[name] = given.texts[name]
    body |= _numbers(given, NUMBERS, errors)
    body["params"] = _other(given.texts["other"], errors) | _numbers(given, PARAMS, errors)
    if stop := [line for line in given.texts["stop"].splitlines() if line]:
        body["params"]["stop"] = stop
    errors += not_plain(body)
    if not given.models:
        errors.append({"loc": ["models"], "msg": "choose at least one model"})
    if not errors:
        try:
            return EvaluationCreate.model_validate(body), body
        except ValidationError as error:
            errors = from_validation(error.errors())
    raise Invalid("; ".join(f"{field_of(error)}: {error['msg']}" for error in errors), errors)


def _numbers(
    given: Given, wanted: dict[str, Callable[[str], int | float]], errors: list[FieldError]
) -> dict[str, int | float]:
    found = {}
    for name, kind in wanted.items():
        if text := given.texts[name].strip():
            try:
                found[name] = kind(text)
            except ValueError:
                errors.append({"loc": [name], "msg": f"must be a {'whole ' if kind is int else ''}number"})
    return found


def _other(text: str, errors: list[FieldError]) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    errors.append({"loc": ["other"], "msg": 'must be a JSON object, such as {"top_k": 20}'})
    return {}


def field_of(error: FieldError) -> str:
    """The field that an error is about; "" for none of them."""
    names = [str(part) for part in error["loc"]]
    if names[:1] == ["params"]:
        names = names[1:]
        if names and names[0] not in FIELDS:
            return "other"
    return names[0] if names and names[0] in (*FIELDS, "models") else ""


def messages(problem: Problem | None) -> dict[str, str | None]:
    """What is wrong with each field, None where nothing is."""
    found: dict[str, str | None] = dict.fromkeys((*FIELDS, "models"))
    for error in problem.errors if problem else []:
        if name := field_of(error):
            found[name] = f"{found[name]}; {error['msg']}" if found[name] else error["msg"]
    return found
