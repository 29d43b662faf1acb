"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): what the orchestrator is given to recognise a repeat by."""

import hashlib
import json
from typing import Annotated, Any, TypedDict

from fastapi import Header

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key and body give the first answer again; the same key with another body is a 409.",
    ),
]


class Repeat(TypedDict):
    """Goes with a command that creates."""

    key: str
    hash: str


def repeat_of(route: str, key: str | None, body_hash: str) -> Repeat | None:
    """`route` keeps the keys of different calls apart."""
    return None if key is None else {"key": f"{route}:{key}", "hash": body_hash}


def hash_of(body: Any) -> str:
    """sha256 in hex of a JSON body, whatever the order of its members and its white space."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
