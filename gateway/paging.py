"""Cursors of lists: the sort key of the last row, as base64url JSON. Opaque to clients."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Query

from shared.errors import BadRequest

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="How many rows a page has at most.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before; leave out for the first page.")]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(*key: int | str | datetime) -> str:
    """A cursor from the sort key of a row. A datetime keeps its milliseconds, which is what MongoDB keeps of it."""
    plain = [(value - _EPOCH) // timedelta(milliseconds=1) if isinstance(value, datetime) else value for value in key]
    data = json.dumps(plain, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The sort key in a cursor, with values of these kinds (`int`, `str`, `datetime`); raises `BadRequest` for any other."""
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(key, list) or len(key) != len(kinds):
            raise ValueError("not a key of this list")
        return tuple(_value(value, kind) for value, kind in zip(key, kinds, strict=True))
    except (ValueError, OverflowError, RecursionError, binascii.Error) as error:
        raise BadRequest("cursor is not one that this list gave; start without it") from error


def _value(value: Any, kind: type) -> Any:
    plain = str if kind is str else int
    if type(value) is not plain:
        raise ValueError("wrong kind of value")
    if isinstance(value, str):
        value.encode()  # half a surrogate pair is no text that could be asked for
        return value
    if not -(2**63) <= value < 2**63:
        raise ValueError("out of range")
    return _EPOCH + timedelta(milliseconds=value) if kind is datetime else value


def cut(rows: Sequence[T], limit: int, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """A page and its `next` out of up to `limit + 1` rows: the one too many says that there is a next page."""
    page = list(rows[:limit])
    return page, key(page[-1]) if len(rows) > limit else None


def older_than(cursor: str | None) -> dict[str, Any]:
    """The condition on documents after a cursor `encode(created_at, _id)`, newest first."""
    if cursor is None:
        return {}
    created_at, identity = decode(cursor, datetime, str)
    return {"$or": [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": identity}}]}
