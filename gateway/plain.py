"""A JSON body as it was sent, and whether other parts can take it.

Python's parser lets through what JSON is not (NaN, numbers that become infinite, halves of surrogate pairs). Fields that are not
checked by a type, such as the parameters of an engine, would carry it on to a broker or a database that cannot hold it.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from shared.errors import FieldError, Invalid


def not_plain(body: Any) -> Iterator[FieldError]:
    """What in a parsed body is no JSON."""
    left: list[tuple[list[str | int], Any]] = [([], body)]
    while left:
        loc, value = left.pop()
        if isinstance(value, dict):
            if not all(_is_text(name) for name in value):
                yield {"loc": loc, "msg": "has a name with half of a surrogate pair in it"}
                continue
            left.extend(([*loc, name], inner) for name, inner in value.items())
        elif isinstance(value, list):
            left.extend(([*loc, place], inner) for place, inner in enumerate(value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield {"loc": loc, "msg": "must be a finite number"}
        elif isinstance(value, str) and not _is_text(value):
            yield {"loc": loc, "msg": "must not hold half of a surrogate pair"}


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _plain_body(request: Request) -> Any:
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        return None  # FastAPI's own check says what is wrong with it
    if found := list(not_plain(body)):
        raise Invalid("; ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}" for error in found), found)
    return body


PlainBody = Annotated[Any, Depends(_plain_body)]
"""The parsed body; a 422 where it holds what JSON cannot."""
