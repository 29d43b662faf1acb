"""The manifest of a bundle: from hostile YAML to a validated `Manifest`, each error with its line."""

from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import ValidationError

from services.artifacts.problems import Problems, near
from shared.manifest import Manifest

MANIFEST = "environment.yaml"
_MAX_NODES = 100_000  # of the manifest with its aliases written out
_MAX_DEPTH = 64
# What PyYAML's constructors raise, beside its own errors, where an explicit tag does not fit its value.
_MISFITS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)

Loc = tuple[str | int, ...]


def read_manifest(path: Path, max_bytes: int, problems: Problems) -> Manifest:
    """The manifest of a bundle. What is wrong with it is added to `problems`, each with its line, which are then raised as `Invalid`."""
    if path.stat().st_size > max_bytes:
        problems.add([MANIFEST], f"is larger than {max_bytes:,} bytes")
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
                msg = f"unknown key {loc[-1]!r}; {near(str(loc[-1]), _keys_at(one['loc'][:-1]), 'the keys here are')}"
            case "missing":
                msg = f"{loc[-1]} is missing"
            case "union_tag_invalid" | "union_tag_not_found":
                key, tag = one["ctx"]["discriminator"].strip("'"), one["ctx"].get("tag")
                known = _schema_at(one["loc"])["discriminator"]["mapping"]
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
