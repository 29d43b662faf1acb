"""What is wrong with data that a model refused, in words for whoever wrote the data."""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

Loc = tuple[str | int, ...]


def near(name: str, known: Iterable[str], what: str) -> str:
    """The end of a message on an unknown name."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    there = f"{what} {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
    return f"did you mean {close[0]!r}? {there[0].upper()}{there[1:]}" if close else there


def explained(error: ValidationError, data: Any, schema: dict[str, Any]) -> list[tuple[Loc, str]]:
    """Path and message of each error; alternatives that were tried for one value make one message.

    `data` is what the model was given, `schema` the model's JSON Schema, whose root is the model itself or a union of models by a tag.
    """
    messages: dict[Loc, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        loc = _real_path(one["loc"], data, keep_last=one["type"] == "missing")
        msg = one["msg"].removeprefix("Value error, ")
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


def _schema_at(schema: dict[str, Any], loc: Loc) -> dict[str, Any]:
    """The part of a JSON Schema that pydantic's `loc` leads to."""

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        if "anyOf" in node:  # an optional value, or one that may be written as a text
            node = next(option for option in node["anyOf"] if option.get("type") not in ("null", "string"))
        return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    node = schema
    for part in loc:
        if isinstance(part, int):
            node = resolve(node["items"])
        elif "discriminator" in node:
            node = resolve({"$ref": node["discriminator"]["mapping"][part]})
        elif part in node.get("properties", {}):
            node = resolve(node["properties"][part])
    return node


def _keys_at(schema: dict[str, Any], loc: Loc) -> list[str]:
    return list(_schema_at(schema, loc).get("properties", {}))
