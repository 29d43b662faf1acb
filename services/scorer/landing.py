"""From predictions to results: score a batch, write it in one bulk, say what was new.

Results are keyed `evaluation:index:sample`. Within a round the first one wins; a later round replaces only an `infra_error`
of a lower one. So a batch may come again after a death at any point, and changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from pymongo.errors import BulkWriteError

from services.scorer.scorers import Score, score
from shared.contracts import Landed, Outcome, Prediction
from shared.storage.mongo import DUPLICATE_KEY, Database, Document


def result(prediction: Prediction, landed_at: float) -> Document:
    """The document of one sample that is scored at once. `landed_at` is Unix time in seconds."""
    scored = score(prediction.output, prediction.target, prediction.scoring, prediction.hints)
    return document_of(prediction, scored, landed_at)


def document_of(prediction: Prediction, scored: Score, landed_at: float) -> Document:
    # An answer that is empty or was never given is not right, whatever an empty text would score.
    counts = prediction.outcome is Outcome.SCORED
    document = {
        "_id": prediction.key(),
        "evaluation": prediction.evaluation,
        "index": prediction.index,
        "sample": prediction.sample,
        "round": prediction.round,
        "item_id": prediction.item_id,
        "target": scored.target,
        "prediction": scored.prediction if counts else None,
        "output": prediction.output,
        "correct": scored.correct if counts or scored.correct is None else False,
        "scores": scored.scores if counts else {},
        "outcome": prediction.outcome.value,
        "error": prediction.error,
        "finish_reason": prediction.finish_reason,
        "usage": dict(prediction.usage) if prediction.usage else None,
        "attempts": prediction.attempts,
        "started_at": prediction.started_at,
        "latency_ms": prediction.latency_ms,
        "ttft_ms": prediction.ttft_ms,
        "landed_at": landed_at,
    }
    # Rare, so that a plain result does not carry their names.
    if prediction.judging is not None:
        document["judge"] = [verdict.model_dump() for verdict in prediction.judging.verdicts]
    if scored.detail is not None:
        document["detail"] = scored.detail
    if prediction.reasoning:
        document["reasoning"] = prediction.reasoning
    if scored.statistics is not None:
        document["statistics"] = scored.statistics
    return document


async def land(database: Database, documents: Sequence[Document]) -> list[Landed]:
    """Store a batch, journalled, and return by evaluation and round what was new in it."""
    first = [document for document in documents if document["round"] == 0]
    new: list[Document] = []
    if first:
        # Inserts, of which those fail that are there already: an upsert each costs mongod four times as much.
        try:
            await database["results"].insert_many(first, ordered=False)
            new.extend(first)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(failure["code"] != DUPLICATE_KEY for failure in failures):
                raise
            present = {failure["index"] for failure in failures}
            new.extend(document for at, document in enumerate(first) if at not in present)
    for document in documents:
        if document["round"] > 0:
            # Redriven ones are few, and each must tell for itself whether it replaced a stale one.
            stale = {"_id": document["_id"], "outcome": Outcome.INFRA_ERROR, "round": {"$lt": document["round"]}}
            replaced = await database["results"].replace_one(stale, document)
            if replaced.modified_count:
                new.append(document)
    return _hints(new)


def _hints(new: list[Document]) -> list[Landed]:
    outcomes: dict[tuple[str, int], Counter[Outcome]] = defaultdict(Counter)
    correct: Counter[tuple[str, int]] = Counter()
    for document in new:
        key = (document["evaluation"], document["round"])
        outcomes[key][Outcome(document["outcome"])] += 1
        correct[key] += bool(document["correct"])
    return [
        Landed(evaluation=evaluation, round=round_, outcomes=dict(counts), correct=correct[evaluation, round_])
        for (evaluation, round_), counts in outcomes.items()
    ]
