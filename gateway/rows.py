"""The rows of an evaluation's results: one a test case.

A row is there as soon as its sample 0 is; filters look at sample 0. Every read follows an index: `results` by (evaluation,
index), `items` by (environment, phase, index); what is sorted by latency is few (`order.SORTED_SAMPLES`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.order import GROUPS, Group, Place, Sort
from shared import texts
from shared.api import Result, SampleRow
from shared.contracts import Outcome
from shared.storage.mongo import Database, Document

SPAN = 2000
"""Items that a search looks through at once: what an input contains is asked of `items`, the rest of `results`."""

_FIELDS = (
    "index",
    "sample",
    *(name for name in Result.model_fields if name not in ("index", "sample", "input", "samples")),
)

_TEXTS = ("target", "prediction", "output", "error", "detail")

REVEALING = frozenset({"target", "judge", "detail"})
"""What of a result is not told where targets are hidden: those, and what quotes them, a judge's words or why a scorer found it wrong."""


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
            conditions["correct"] = self.correct
        return conditions


async def find_rows(
    database: Database,
    evaluation: Document,
    wanted: Filter,
    sort: Sort,
    after: Place,
    limit: int,
    clip: int | None = None,
    *,
    targets: bool = True,
) -> list[Result]:
    """Up to `limit` rows after a place in an order, texts of more than `clip` characters cut to that.

    Without `targets` those are neither given nor looked through: a search would find them out letter by letter. Nor is what a judge said,
    which was shown them, nor how a score came about.
    """
    reading = _Reading(database, evaluation, wanted, clip, targets=targets)
    found: list[Document] = []
    for number, group in enumerate(GROUPS[sort]):
        if number >= after.group and len(found) < limit:
            place = after if number == after.group else Place(number)
            found += await reading.group(group, place, limit - len(found))
    indices = [row["index"] for row in found]
    inputs = await reading.inputs({"$in": indices}) if indices else {}
    if evaluation["samples_per_item"] == 1 or not indices:
        rows = [result_of(row, inputs.get(row["index"], "")) for row in found]
    else:
        samples: dict[int, list[Document]] = {index: [] for index in indices}
        query = {"evaluation": evaluation["_id"], "index": {"$in": indices}}
        async for row in database["results"].find(query, reading.fields).sort([("index", 1), ("sample", 1)]):
            samples[row["index"]].append(row)
        rows = [result_of(row, inputs.get(row["index"], ""), samples[row["index"]]) for row in found]
    return rows if clip is None else [clipped(row, clip) for row in rows]


class _Reading:
    """How the rows of one request are asked for."""

    def __init__(
        self, database: Database, evaluation: Document, wanted: Filter, clip: int | None, *, targets: bool
    ) -> None:
        self._database = database
        self._evaluation = evaluation
        self._base = {"evaluation": evaluation["_id"], "sample": 0, **wanted.conditions()}
        self._text = wanted.text
        self._clip = clip
        self._targets = targets
        self.fields: dict[str, Any] | None = None if targets else dict.fromkeys(REVEALING, 0)
        if clip is not None:
            self.fields = {**dict.fromkeys(_FIELDS, 1), **{name: beginning(name, clip) for name in _TEXTS}}
            if not targets:
                self.fields = {name: shown for name, shown in self.fields.items() if name not in REVEALING}

    async def group(self, group: Group, place: Place, limit: int) -> list[Document]:
        """Rows of one group of an order, after a place in it."""
        base = {"$and": [self._base, group.condition]} if group.condition else self._base
        if self._text:
            if group.measure is None:
                return await self._search(base, self._text, place.index, limit)
            base = {"$and": [base, {"$or": await self._containing(self._text, {"$gte": 0})}]}
        query = {"$and": [base, place.following(group)]}
        rows = self._database["results"].find(query, self.fields).sort(group.keys()).limit(limit)
        return await rows.to_list(limit)

    async def _search(self, base: dict[str, Any], text: str, after: int, limit: int) -> list[Document]:
        """Rows with a text in them, looked for span by span so that neither side is ever held as a whole."""
        end = self._evaluation["progress"]["total"] // self._evaluation["samples_per_item"]
        found: list[Document] = []
        for start in range(after + 1, end, SPAN):
            span = {"$gte": start, "$lt": start + SPAN}
            query = {"$and": [base, {"index": span}, {"$or": await self._containing(text, span)}]}
            missing = limit - len(found)
            rows = self._database["results"].find(query, self.fields).sort("index", 1).limit(missing)
            found += await rows.to_list(missing)
            if len(found) == limit:
                break
        return found

    async def _containing(self, text: str, index: dict[str, Any]) -> list[dict[str, Any]]:
        """The conditions of which one must hold for a text to be somewhere in a row."""
        contains = {"$regex": re.escape(text), "$options": "i"}
        by_input = list(await self.inputs(index, contains))
        names = ("item_id", *(("target",) if self._targets else ()), "prediction", "output")
        return [{"index": {"$in": by_input}}, *({name: contains} for name in names)]

    async def inputs(self, index: dict[str, Any], contains: dict[str, str] | None = None) -> dict[int, str]:
        """Inputs by index, all or those that contain something (of which only the index counts)."""
        evaluation = self._evaluation
        query: dict[str, Any] = {"environment": evaluation["environment"], "phase": evaluation["phase"], "index": index}
        shown: Any = 1 if self._clip is None else beginning("input", self._clip)
        if contains:
            query["input"] = contains
            shown = {"$literal": ""}
        rows = self._database["items"].find(query, {"_id": 0, "index": 1, "input": shown})
        return {row["index"]: row["input"] async for row in rows}


def beginning(name: str, length: int) -> dict[str, Any]:
    """A projection of a text's first characters, one more than `length`; what is no text stays as it is."""
    cut = {"$substrCP": [f"${name}", 0, length + 1]}
    return {"$cond": [{"$eq": [{"$type": f"${name}"}, "string"]}, cut, f"${name}"]}


def clipped(row: Result, length: int) -> Result:
    """The same row with each of its texts cut to a length, an ellipsis where something is missing."""
    row.input, row.output = texts.clip(row.input, length), texts.clip(row.output, length)
    row.target, row.prediction, row.error, row.detail = (
        None if text is None else texts.clip(text, length)
        for text in (row.target, row.prediction, row.error, row.detail)
    )
    for verdict in row.judge:
        verdict.output = texts.clip(verdict.output, length)
    for sample in row.samples or ():
        sample.output = texts.clip(sample.output, length)
        sample.prediction = None if sample.prediction is None else texts.clip(sample.prediction, length)
    return row


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
