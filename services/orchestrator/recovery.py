"""What an owner looks at to know how things stand, in the queues and in `results`, and what it clears away.

The order matters everywhere: a job leaves JOBS only when its prediction is in PREDICTIONS, and that only when its result is in
`results`. So whoever looks at them in this order overlooks nothing.
"""

import logging
from collections import Counter
from itertools import chain

from nats.js import JetStreamContext
from pydantic import TypeAdapter

from services.orchestrator import broker, samples
from shared import parking, subjects
from shared.contracts import position_in
from shared.scoring import Scoring
from shared.storage.mongo import Database, Document

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)

logger = logging.getLogger("assay.orchestrator")

JUDGE_QUESTIONS = 2
"""A judge is asked at most so often about an answer: pairwise in both orders."""


def predictions(evaluation: Document) -> str:
    """The subject of an evaluation's predictions."""
    scoring: Scoring = _SCORING.validate_python(evaluation["scoring"])
    return subjects.prediction(evaluation["_id"], scoring.lane)


def job_subjects(evaluation: Document) -> dict[str, str]:
    """Subjects of an evaluation's jobs in JOBS, with the models that are asked: its own, and its judge."""
    found = {subjects.job(evaluation["model"], evaluation["_id"]): evaluation["model"]}
    if judge := evaluation.get("judge"):
        found[subjects.judge_job(judge, evaluation["_id"])] = judge
    return found


def _queues(evaluation: Document) -> list[tuple[str, str]]:
    """Streams and subjects in which an evaluation's samples wait, in the order in which they pass them.

    An answer that is judged passes PREDICTIONS again with each verdict, of which there are at most `JUDGE_QUESTIONS`.
    """
    answered = (subjects.PREDICTIONS, predictions(evaluation))
    own, *judged = job_subjects(evaluation)
    again = [((subjects.JOBS, subject), answered) for subject in judged] * JUDGE_QUESTIONS
    return [(subjects.JOBS, own), answered, *chain.from_iterable(again)]


async def dispatched(database: Database, js: JetStreamContext, evaluation: Document) -> int:
    """How far dispatch had come in round 0, as a position: see `samples` for why this tells."""
    position = 0
    for stream, subject in _queues(evaluation):
        position = max(position, await broker.furthest(js, stream, subject, evaluation["samples_per_item"]))
    return max(position, await samples.furthest_result(database, evaluation))


async def waiting(js: JetStreamContext, evaluation: Document) -> int:
    """How many messages of the evaluation the queues hold; 0 only where none is on its way. To be asked before `results` is counted."""
    found: Counter[str] = Counter()
    for stream, subject in _queues(evaluation):
        found[subject] = max(found[subject], await broker.count_messages(js, stream, subject))
    return found.total()


async def at_judge(js: JetStreamContext, evaluation: Document) -> int:
    """How many answers of an evaluation that is judged wait for a verdict."""
    subject = subjects.judge_job(evaluation["judge"], evaluation["_id"])
    return await broker.count_messages(js, subjects.JOBS, subject)


def adds_up(sent: int, done: int, total: int, waiting: int) -> bool:
    """Whether the queues hold exactly what is out by the hints. Then no hint was lost, and `results` need not be counted.

    A count reads every result of the evaluation (1.6 µs of mongod's each, measured): at a million, slow calls would cause one that
    takes seconds every two seconds.
    """
    return done < total and 0 < waiting == sent - done


async def bury_ghosts(js: JetStreamContext, evaluation: Document) -> bool:
    """Remove jobs that will never be delivered; whether there were any. What they leave missing is sent again."""
    ghosts: list[int] = []
    for subject, model_id in job_subjects(evaluation).items():
        ghosts += await broker.left_below_floor(js, model_id, subject)
    if ghosts:
        logger.warning("%s: %d jobs below the acknowledgement floor are removed", evaluation["_id"], len(ghosts))
        await broker.delete(js, subjects.JOBS, ghosts)
    return bool(ghosts)


async def parked(js: JetStreamContext, evaluation: Document) -> dict[tuple[int, int], list[str]]:
    """Why messages of the present round's samples were parked, by (index, sample)."""
    reasons: dict[tuple[int, int], list[str]] = {}
    async for entry, _ in parking.parked(js, scope=evaluation["_id"]):
        position = position_in(entry.message_id)
        if position and position.round == evaluation["round"]:
            reasons.setdefault((position.index, position.sample), []).append(entry.reason)
    return reasons


async def sweep(js: JetStreamContext, evaluation: Document) -> None:
    """Every sample has its result, so what the queues still hold of this evaluation is void: ghosts and repeats."""
    for stream, subject in _queues(evaluation):
        if await broker.count_messages(js, stream, subject):
            await broker.delete(js, stream, await broker.left(js, stream, subject))
