"""Finding what a path or a filter names."""

import re
from typing import Any

from shared.errors import FieldError, Invalid, NotFound
from shared.storage.mongo import Database, Document

_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}(@[0-9a-f]{1,64})?")
_NUMBER = re.compile(r"[0-9]{1,18}")


async def find_evaluation(database: Database, reference: str, projection: dict[str, int] | None = None) -> Document:
    """An evaluation by its id or its number."""
    key: dict[str, Any] = {"number": int(reference)} if _NUMBER.fullmatch(reference) else {"_id": reference}
    document = await database["evaluations"].find_one(key, projection)
    if document is None:
        raise NotFound(f"there is no evaluation {reference}")
    return document


async def find_environment(database: Database, reference: str) -> Document:
    """An environment version by `slug@version`, or the latest one by its slug."""
    document = None
    if _ENVIRONMENT.fullmatch(reference):
        key = {"_id" if "@" in reference else "slug": reference}
        document = await database["environments"].find_one(key, sort=[("created_at", -1), ("_id", -1)])
    if document is None:
        raise NotFound(f"there is no environment {reference}")
    return document


async def find_model(database: Database, model_id: str) -> Document:
    document = await database["models"].find_one({"_id": model_id})
    if document is None:
        raise NotFound(f"there is no model {model_id}")
    return document


async def versions_of(database: Database, slug: str) -> list[Document]:
    """`version`, `created_at` and `phases` of every version, newest first."""
    fields = {"version": 1, "created_at": 1, "phases": 1}
    return [
        row
        async for row in database["environments"].find({"slug": slug}, fields, sort=[("created_at", -1), ("_id", -1)])
    ]


def environment_filter(reference: str) -> dict[str, str]:
    """The condition on evaluations for `slug` or `slug@version`; raises `Invalid` for what is neither."""
    if not _ENVIRONMENT.fullmatch(reference):
        error: FieldError = {"loc": ["environment"], "msg": "must be a slug or slug@version"}
        raise Invalid(f"environment {error['msg']}", [error])
    return {"environment" if "@" in reference else "slug": reference}


def phase_of(environment: Document, name: str | None) -> Document:
    """A phase of an environment version by name, or its first; raises `Invalid` that lists the phases there are."""
    phases: list[Document] = environment["phases"]
    for phase in phases:
        if name is None or phase["name"] == name:
            return phase
    there_are = ", ".join(phase["name"] for phase in phases)
    error: FieldError = {"loc": ["phase"], "msg": f"{environment['slug']} has no phase {name}; there are {there_are}"}
    raise Invalid(error["msg"], [error])
