"""What is wrong with data that a model refused, in words for whoever wrote the data."""

import difflib
import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

Loc = tuple[str | int, ...]


def near(name: str, known: Iterable[str], what: str) -> str:
    """The end of a message on an unknown name."""
    known = sorted(known)
    alike = {other.casefold(): other for other in reversed(known)}
    close = [alike[found] for found in difflib.get_close_matches(name.casefold(), alike, n=1)]
    there = f"{what} {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
    return f"did you mean {close[0]!r}? {there[0].upper()}{there[1:]}" if close else there


def explained(error: ValidationError, data: Any, schema: dict[str, Any]) -> list[tuple[Loc, str]]:
    """Path and message of each error; alternatives that were tried for one value make one message.

    `data` is what the model was given, `schema` the model's JSON Schema, whose root is the model itself or a union of models by a tag.
    """
    messages: dict[Loc, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        loc = _real_path(one["loc"], data, schema, keep_last=one["type"] == "missing")
        msg = _plainly(one, data, loc, schema)
        match one["type"]:
            case "extra_forbidden":
                msg = f"unknown key {loc[-1]!r}; {near(str(loc[-1]), _keys_at(schema, one['loc'][:-1]), 'the keys here are')}"
            case "missing":
                msg = f"{loc[-1]} is missing"
            case "union_tag_invalid" | "union_tag_not_found":
                key, tag = one["ctx"]["discriminator"].strip("'"), one["ctx"].get("tag")
                known = _schema_at(schema, one["loc"])["discriminator"]["mapping"]
                loc = (*loc, key)
                msg = f"{key} is missing; {key} is one of {', '.join(known)}"
                if tag is not None:
                    msg = f"unknown {key} {tag!r}; {near(tag, known, f'the {key}s are')}"
        messages.setdefault(loc, []).append(msg)
    return [(loc, " or: ".join(msgs)) for loc, msgs in messages.items()]


def _plainly(error: ErrorDetails, data: Any, loc: Loc, schema: dict[str, Any]) -> str:
    """Pydantic's message in the words of somebody who writes a file, with what would be right."""
    ctx: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "string_type":
            return "must be a text" + ("; put it in quotes" if isinstance(_at(data, loc), int | float | date) else "")
        case "string_pattern_mismatch":
            about = _schema_at(schema, error["loc"]).get("description")
            return f"must be {about}" if about else f"must match {ctx['pattern']}"
        case "string_too_short":
            return (
                "must not be empty" if ctx["min_length"] == 1 else f"must have at least {ctx['min_length']} characters"
            )
        case "string_too_long":
            return f"must have at most {ctx['max_length']:,} characters"
        case "too_short":
            return f"must have at least {_entries(ctx['min_length'])}"
        case "too_long":
            return f"must have at most {_entries(ctx['max_length'])}"
        case "list_type" | "tuple_type":
            return "must be a list, such as [a, b]"
        case "dict_type" | "model_type" | "model_attributes_type":
            node = _schema_at(schema, error["loc"])
            keys = [node["discriminator"]["propertyName"]] if "discriminator" in node else [*node.get("properties", {})]
            return "must be a mapping" + (f" with {', '.join(keys)}" if keys else "")
        case "literal_error":
            known = [part.strip("' ") for part in re.split(r",| or ", ctx["expected"])]
            value = _at(data, loc)
            return (
                near(value, known, "must be one of") if isinstance(value, str) else f"must be one of {', '.join(known)}"
            )
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case "float_type" | "float_parsing":
            return "must be a number"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            limit = next(iter(ctx.values()))
            return f"must be {_BOUNDS[error['type']]} {limit:,g}"
        case kind if kind.startswith(("datetime_", "date_")):
            return "must be a time such as 2026-01-31 or 2026-01-31T18:00:00Z"
    return error["msg"].removeprefix("Value error, ")


_BOUNDS = {
    "greater_than_equal": "at least",
    "greater_than": "more than",
    "less_than_equal": "at most",
    "less_than": "less than",
}


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


def _real_path(loc: Loc, data: Any, schema: dict[str, Any], keep_last: bool) -> Loc:
    """`loc` without what pydantic puts in to name an alternative of a union: `("scoring", "numeric", "tolerance")`."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if part in _schema_at(schema, loc[:position]).get("discriminator", {}).get("mapping", {}):
            continue
        if part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part]
        elif keep_last and position == len(loc) - 1:
            path.append(part)
    return tuple(path)


def _schema_at(schema: dict[str, Any], loc: Loc) -> dict[str, Any]:
    """The part of a JSON Schema that pydantic's `loc` leads to."""

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        if "anyOf" in node:  # an optional value, or one that may be written as a text
            others = [option for option in node["anyOf"] if option.get("type") not in ("null", "string")]
            node = {
                **(others or node["anyOf"])[0],
                **({"description": node["description"]} if "description" in node else {}),
            }
        return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    node = schema
    for part in loc:
        if isinstance(part, int):
            node = resolve(node.get("items", {}))
        elif "discriminator" in node:
            found = node["discriminator"]["mapping"].get(part)
            node = resolve({"$ref": found}) if found else {}  # a scorer that another package brings
        else:
            node = resolve(node.get("properties", {}).get(part, {}))
    return node


def _keys_at(schema: dict[str, Any], loc: Loc) -> list[str]:
    return list(_schema_at(schema, loc).get("properties", {}))
