"""The rows of an evaluation's results: one a test case, in the order of the items.

A row is there as soon as its sample 0 is; filters look at sample 0. Every read follows an index: `results` by (evaluation,
index), `items` by (environment, phase, index).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.api import Result, SampleRow
from shared.contracts import Outcome
from shared.storage.mongo import Database, Document

SPAN = 2000
"""Items that a search looks through at once: what an input contains is asked of `items`, the rest of `results`."""


@dataclass(frozen=True)
class Filter:
    outcomes: Sequence[Outcome] = ()
    correct: bool | None = None
    text: str | None = None
    """A substring, whatever its case, of item_id, input, target, prediction or output."""

    def conditions(self) -> dict[str, Any]:
        """What can be asked of `results` alone, but for `text`."""
        conditions: dict[str, Any] = {}
        if self.outcomes:
            conditions["outcome"] = {"$in": [str(outcome) for outcome in self.outcomes]}
        if self.correct is not None:
            conditions["correct"] = True if self.correct else {"$ne": True}
        return conditions


async def find_rows(database: Database, evaluation: Document, wanted: Filter, after: int, limit: int) -> list[Result]:
    """Up to `limit` rows of items after an index."""
    base = {"evaluation": evaluation["_id"], "sample": 0, **wanted.conditions()}
    if wanted.text:
        found = await _search(database, evaluation, base, wanted.text, after, limit)
    else:
        rows = database["results"].find({**base, "index": {"$gt": after}}).sort("index", 1).limit(limit)
        found = await rows.to_list(limit)
    indices = [row["index"] for row in found]
    inputs = await _inputs(database, evaluation, {"$in": indices}) if indices else {}
    if evaluation["samples_per_item"] == 1 or not indices:
        return [result_of(row, inputs.get(row["index"], "")) for row in found]
    samples: dict[int, list[Document]] = {index: [] for index in indices}
    query = {"evaluation": evaluation["_id"], "index": {"$in": indices}}
    async for row in database["results"].find(query).sort([("index", 1), ("sample", 1)]):
        samples[row["index"]].append(row)
    return [result_of(row, inputs.get(row["index"], ""), samples[row["index"]]) for row in found]


async def _search(
    database: Database, evaluation: Document, base: dict[str, Any], text: str, after: int, limit: int
) -> list[Document]:
    """Rows with a text in them, looked for span by span so that neither side is ever held as a whole."""
    contains = {"$regex": re.escape(text), "$options": "i"}
    end = evaluation["progress"]["total"] // evaluation["samples_per_item"]
    found: list[Document] = []
    for start in range(after + 1, end, SPAN):
        span = {"$gte": start, "$lt": start + SPAN}
        by_input = list(await _inputs(database, evaluation, span, contains))
        fields = [{name: contains} for name in ("item_id", "target", "prediction", "output")]
        query = {**base, "index": span, "$or": [{"index": {"$in": by_input}}, *fields]}
        missing = limit - len(found)
        found += await database["results"].find(query).sort("index", 1).limit(missing).to_list(missing)
        if len(found) == limit:
            break
    return found


async def _inputs(
    database: Database, evaluation: Document, index: dict[str, Any], contains: dict[str, str] | None = None
) -> dict[int, str]:
    """Inputs by index, all or those that contain something."""
    query: dict[str, Any] = {"environment": evaluation["environment"], "phase": evaluation["phase"], "index": index}
    if contains:
        query["input"] = contains
    rows = database["items"].find(query, {"_id": 0, "index": 1, "input": 1})
    return {row["index"]: row["input"] async for row in rows}


def result_of(row: Document, item_input: str, samples: list[Document] | None = None) -> Result:
    """A row from sample 0 and, where an item has several, all its samples: each score is the mean of those that have it."""
    fields = {name: row[name] for name in Result.model_fields if row.get(name) is not None}
    result = Result(**{**fields, "target": row.get("target"), "input": item_input})
    if samples is not None:
        result.scores = mean_scores([sample.get("scores") or {} for sample in samples])
        result.samples = [
            SampleRow(
                sample=sample["sample"],
                prediction=sample.get("prediction"),
                output=sample.get("output") or "",
                correct=sample.get("correct"),
                outcome=sample["outcome"],
            )
            for sample in samples
        ]
    return result


def mean_scores(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over the samples that have it."""
    names = sorted({name for entry in scores for name in entry})
    values = {name: [entry[name] for entry in scores if name in entry] for name in names}
    return {name: math.fsum(found) / len(found) for name, found in values.items()}
