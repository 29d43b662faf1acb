"""JSON as files have it: the same value gives the same bytes, and whatever a model wrote can be written."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(value: Any) -> bytes:
    """UTF-8 JSON with the keys in the order given; NaN and infinities become null, lone surrogates U+FFFD."""
    return _dump(value, 0)


def to_sorted_json(value: Any, *, indent: bool = False) -> bytes:
    """The same with sorted keys, for objects whose order nobody fixed."""
    return _dump(value, orjson.OPT_SORT_KEYS | (orjson.OPT_INDENT_2 if indent else 0))


def _dump(value: Any, option: int) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        # A lone surrogate is valid in JSON's escapes, so a model can send one, but it has no UTF-8.
        return orjson.dumps(well_formed(value), option=option)


def well_formed(value: Any) -> Any:
    """The same value with U+FFFD for each lone surrogate in its texts and keys."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {well_formed(key): well_formed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [well_formed(each) for each in value]
    return value
