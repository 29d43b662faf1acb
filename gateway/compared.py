"""Evaluations beside each other, out of MongoDB: which can be compared, how many items they differ on, and which."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.differences import MOST, Counts, counting, patterns, spans, taking
from gateway.lookups import find_evaluation
from shared.contracts import Outcome
from shared.errors import FieldError, Invalid
from shared.storage.mongo import Database, Document

SEARCH_S = 5.0
"""How long one page may look for differences; where they are so rare, the next page goes on from there."""

COUNT_S = 5.0
"""How long counting may take: enough for some hundred thousand items, and of more the first ones are counted."""

OUTPUT_CHARACTERS = 2000
"""Of each text of a row: a page of outputs of a megabyte each would be no page."""

_FIELDS = {"outbox": 0, "files": 0, "scoring": 0}


@dataclass(frozen=True)
class Text:
    """The beginning of a text, and how many characters follow it."""

    text: str
    left_out: int


@dataclass(frozen=True)
class Answer:
    """What one evaluation made of an item. `prediction` is None where no answer could be taken from the output."""

    correct: bool
    outcome: Outcome
    prediction: Text | None
    output: Text
    error: str | None


@dataclass(frozen=True)
class Row:
    """An item, with the answers in the order of the evaluations."""

    index: int
    item_id: str
    input: Text
    target: Text | None
    answers: list[Answer]


def wrong(message: str, field: str = "evaluations") -> Invalid:
    error: FieldError = {"loc": [field], "msg": message}
    return Invalid(message, [error])


async def find_compared(database: Database, references: Sequence[str]) -> list[Document]:
    """Evaluations by ids or numbers, in the order given and each once; raises `NotFound`, or `Invalid` where they cannot be compared."""
    found: dict[str, Document] = {}
    for reference in references[: 4 * MOST]:
        document = await find_evaluation(database, reference, _FIELDS)
        found.setdefault(document["_id"], document)
    documents = list(found.values())
    if len(documents) < 2:
        raise wrong("Choose at least two evaluations of one environment and phase.")
    if len(documents) > MOST:
        raise wrong(f"At most {MOST} evaluations can be compared at once; {len(documents)} were chosen.")
    first = documents[0]
    for document in documents[1:]:
        if (document["slug"], document["phase"]) != (first["slug"], first["phase"]):
            ran = [f"#{one['number']} ran {one['slug']}, phase {one['phase']}" for one in (first, document)]
            raise wrong(f"Only evaluations of one environment and phase can be compared: {'; '.join(ran)}.")
    return documents


def items_in_all(evaluations: Sequence[Document]) -> int:
    """How many items all of them have: the first ones of the phase."""
    return min(int(one["progress"]["total"]) // int(one["samples_per_item"]) for one in evaluations)


async def count_patterns(database: Database, evaluations: Sequence[Document], count_s: float = COUNT_S) -> Counts:
    """How many items have each pattern, span by span: what mongod holds at once is a span's, however many items there are."""
    deadline = time.monotonic() + count_s
    found: Counter[int] = Counter()
    looked_at = 0
    for start, stop in spans(0, items_in_all(evaluations)):
        stages = [*_patterns(evaluations, start, stop), *counting()]
        async for row in database["results"].aggregate(stages):
            found[row["_id"]] += row["items"]
        looked_at = stop
        if time.monotonic() > deadline:
            break
    return Counts(len(evaluations), found, looked_at)


async def find_differing(
    database: Database,
    evaluations: Sequence[Document],
    wanted: Sequence[int],
    after: int,
    limit: int,
    search_s: float = SEARCH_S,
    *,
    targets: bool = True,
) -> tuple[list[Row], int | None]:
    """Up to `limit` items after an index that have a wanted pattern, and the index after which to go on, if there may be more."""
    end, deadline = items_in_all(evaluations), time.monotonic() + search_s
    found: list[int] = []
    following: int | None = None
    for start, stop in spans(max(after + 1, 0), end):
        stages = [*_patterns(evaluations, start, stop), *taking(wanted, limit + 1 - len(found))]
        found += [row["index"] async for row in database["results"].aggregate(stages)]
        if len(found) > limit:
            found, following = found[:limit], found[limit - 1]
            break
        if time.monotonic() > deadline and stop < end:
            following = stop - 1
            break
    return await _rows(database, evaluations, found, targets=targets), following


def _patterns(evaluations: Sequence[Document], start: int, end: int) -> list[dict[str, Any]]:
    same_items = len({one["version"] for one in evaluations}) == 1
    return patterns([one["_id"] for one in evaluations], start, end, same_items=same_items)


async def _rows(
    database: Database, evaluations: Sequence[Document], indices: Sequence[int], *, targets: bool
) -> list[Row]:
    first = evaluations[0]
    of_items = {"environment": first["environment"], "phase": first["phase"], "index": {"$in": list(indices)}}
    inputs = {
        row["index"]: _text(row["input"]) or Text("", 0)
        async for row in database["items"].find(of_items, {"_id": 0, "index": 1, "input": _beginning("$input")})
    }
    ids = [one["_id"] for one in evaluations]
    of_results = {"evaluation": {"$in": ids}, "index": {"$in": list(indices)}, "sample": 0}
    fields = {name: _beginning(f"${name}") for name in ("target", "prediction", "output", "error")}
    kept = dict.fromkeys(("evaluation", "index", "item_id", "correct", "outcome"), 1)
    found: dict[int, dict[str, Document]] = {index: {} for index in indices}
    async for row in database["results"].find(of_results, {"_id": 0, **kept, **fields}):
        found[row["index"]][row["evaluation"]] = row
    return [
        Row(
            index,
            found[index][ids[0]]["item_id"],
            inputs.get(index, Text("", 0)),
            _text(found[index][ids[0]]["target"]) if targets else None,
            [_answer(found[index][identity]) for identity in ids],
        )
        for index in indices
    ]


def _beginning(field: str) -> dict[str, Any]:
    """The beginning of a text and what is left out of it, cut where it is stored; null for what is no text."""
    length = {"$max": [0, {"$subtract": [{"$strLenCP": field}, OUTPUT_CHARACTERS]}]}
    text = {"text": {"$substrCP": [field, 0, OUTPUT_CHARACTERS]}, "left_out": length}
    return {"$cond": [{"$eq": [{"$type": field}, "string"]}, text, None]}


def _text(beginning: dict[str, Any] | None) -> Text | None:
    return Text(beginning["text"], beginning["left_out"]) if beginning else None


def _answer(row: Document) -> Answer:
    error = _text(row["error"])
    return Answer(
        correct=bool(row["correct"]),
        outcome=Outcome(row["outcome"]),
        prediction=_text(row["prediction"]),
        output=_text(row["output"]) or Text("", 0),
        error=error.text if error else None,
    )
