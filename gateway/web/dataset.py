"""`/evaluations/{ref}/dataset`: the misses as a fine-tuning dataset, its first rows, and what to do with them next."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Request
from pymongo.errors import PyMongoError
from starlette.responses import Response

from gateway.parts import Parts, PartsOf
from gateway.web.evaluation import frame
from gateway.web.files import DATASET
from gateway.web.render import page
from gateway.web.scores import COUNTING_S
from shared import texts
from shared.api import Evaluation
from shared.contracts import ACTIVE
from shared.errors import Unavailable
from shared.storage.objects import Objects, ObjectStoreError

router = APIRouter(include_in_schema=False)

SHOWN = 5
MOST_BYTES = 4 * 1024 * 1024
"""Of the file's beginning: lines may be long, and the page shows only the first ones."""

TEXT_CHARS = 4_000


@dataclass(frozen=True)
class Row:
    """A line of the dataset as the page shows it: texts are cut; `gold` is the last message, `rejected` what the model said."""

    item_id: str
    messages: list[tuple[str, str]]
    gold: str
    rejected: str | None


@router.get("/evaluations/{reference}/dataset")
async def show_dataset(reference: str, request: Request, parts: PartsOf) -> Response:
    values = await frame(parts, reference)
    evaluation: Evaluation = values["evaluation"]
    file = next((file for file in evaluation.files if file.name == DATASET), None)
    rows: list[Row] = []
    if file and file.size:
        rows = await first_rows(parts.objects, await key_of(parts, evaluation))
    # Where there is no file yet there will be one, unless the environment wants none or the evaluation has ended without.
    wanted = file is not None or await wants_dataset(parts, evaluation)
    return page(
        request,
        "evaluation_dataset.html",
        tab="dataset",
        **values,
        file=file,
        rows=rows,
        count=await count_of(parts, evaluation) if file and file.size else 0,
        wanted=wanted,
        text_chars=TEXT_CHARS,
    )


async def key_of(parts: Parts, evaluation: Evaluation) -> str:
    """Under which key the object store has the dataset."""
    document = await parts.database["evaluations"].find_one({"_id": evaluation.id}, {"files": 1})
    files = (document or {}).get("files", [])
    return cast(str, next(file["key"] for file in files if file["name"] == DATASET))


async def wants_dataset(parts: Parts, evaluation: Evaluation) -> bool:
    version = f"{evaluation.environment}@{evaluation.environment_version}"
    found = await parts.database["environments"].find_one({"_id": version}, {"manifest.dataset": 1, "phases": 1}) or {}
    hidden = any(phase["name"] == evaluation.phase and phase.get("hide_targets") for phase in found.get("phases", []))
    return not hidden and bool((found.get("manifest") or {}).get("dataset", True))


async def count_of(parts: Parts, evaluation: Evaluation) -> int | None:
    """How many lines the dataset has, or None where that is not known yet."""
    if evaluation.status in ACTIVE:
        return None
    try:
        found = await parts.counting.of(evaluation, COUNTING_S)
    except PyMongoError:
        return None
    return found.misses if found else None


async def first_rows(objects: Objects, key: str) -> list[Row]:
    """The first lines of the file, as far as they lie within `MOST_BYTES`; raises `Unavailable` where it cannot be read."""
    data = b""
    try:
        async with aclosing(cast(AsyncGenerator[bytes, None], objects.stream(key))) as chunks:
            async for chunk in chunks:
                data += chunk
                if data.count(b"\n") >= SHOWN or len(data) >= MOST_BYTES:
                    break
    except ObjectStoreError as error:
        raise Unavailable(f"the dataset cannot be read: {error}") from error
    whole, _, _ = data.rpartition(b"\n")
    return [row_of(json.loads(line)) for line in whole.split(b"\n")[:SHOWN] if line]


def row_of(line: dict[str, Any]) -> Row:
    """A line in the form that `dataset.jsonl` has; one of another form is shown as far as it agrees."""
    messages = [
        (str(message.get("role", "")), clip(message.get("content")))
        for message in line.get("messages") or []
        if isinstance(message, dict)
    ]
    metadata = line.get("metadata") or {}
    rejected = metadata.get("rejected")
    return Row(
        str(metadata.get("item_id", "")),
        messages[:-1],
        messages[-1][1] if messages else "",
        None if rejected is None else clip(rejected),
    )


def clip(value: Any) -> str:
    return texts.clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), TEXT_CHARS)
