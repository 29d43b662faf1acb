"""One test case of an evaluation in full."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from gateway.difference import difference
from gateway.rows import REVEALING, beginning
from shared import texts
from shared.api import Case, CaseSample, DifferencePart
from shared.contracts import Outcome
from shared.errors import NotFound
from shared.storage.mongo import Database, Document

_TEXTS = ("prediction", "output", "reasoning", "error", "detail")
_FIELDS = tuple(name for name in CaseSample.model_fields if name not in ("difference", "cut"))


async def find_case(
    database: Database, evaluation: Document, index: int, samples: int, clip: int | None, *, targets: bool = True
) -> Case:
    """The item and its first samples by index; raises `NotFound` where it has no result yet.

    Without `targets` nothing is told that the gold answer could be taken from: other columns of the data neither, nor what quotes it.
    """
    query = {"evaluation": evaluation["_id"], "index": index}
    fields: dict[str, Any] = dict.fromkeys((*_FIELDS, "target", "item_id"), 1)
    if clip is not None:
        fields |= {name: beginning(name, clip) for name in (*_TEXTS, "target")}
    if not targets:
        fields = {name: shown for name, shown in fields.items() if name not in REVEALING}
    rows = await database["results"].find(query, fields).sort("sample", 1).limit(samples).to_list(samples)
    item = await database["items"].find_one(
        {"environment": evaluation["environment"], "phase": evaluation["phase"], "index": index}
    )
    if item is None or not rows:
        raise NotFound(f"this evaluation has no result of a test case {index}")
    cut: list[str] = []
    case = Case(
        item_id=item["item_id"],
        index=index,
        messages=[
            {"role": message["role"], "content": _clip(message["content"], clip, f"messages.{at}", cut)}
            for at, message in enumerate(item["messages"])
        ],
        gold=_clip(item["target"], clip, "gold", cut) if targets else None,
        target=None if rows[0].get("target") is None else _clip(rows[0]["target"], clip, "target", cut),
        metadata={name: _short(value, clip) for name, value in (item.get("metadata") or {}).items()} if targets else {},
        total=len(rows) if len(rows) < samples else await database["results"].count_documents(query),
        # In a thread: a comparison of long texts takes tens of milliseconds.
        samples=await asyncio.to_thread(lambda: [_sample(row, clip) for row in rows]),
        cut=cut,
    )
    return case


def _sample(row: Document, clip: int | None) -> CaseSample:
    cut: list[str] = []
    found = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    found |= {name: _clip(found[name], clip, name, cut) for name in _TEXTS if name in found}
    found |= {name: datetime.fromtimestamp(found[name], UTC) for name in ("started_at", "landed_at") if name in found}
    found["judge"] = [
        {**verdict, "output": _clip(verdict["output"], clip, f"judge.{at}", cut)}
        for at, verdict in enumerate(row.get("judge") or ())
    ]
    return CaseSample(**{"output": "", **found, "difference": _difference(row), "cut": cut})


def _difference(row: Document) -> list[DifferencePart] | None:
    target, prediction = row.get("target"), row.get("prediction")
    if (
        row["outcome"] != Outcome.SCORED
        or row.get("judge")
        or not target
        or prediction is None
        or target.strip() == prediction.strip()
    ):
        return None
    return difference(target, prediction)


def _clip(text: str, length: int | None, name: str, cut: list[str]) -> str:
    if length is None or len(text) <= length:
        return text
    cut.append(name)
    return texts.clip(text, length)


def _short(value: Any, length: int | None) -> Any:
    """A column of the data, as JSON where it is too long to be given as it is."""
    if length is None:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return texts.clip(text, length) if len(text) > length else value
