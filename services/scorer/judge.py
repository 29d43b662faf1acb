"""Putting answers before their judge: a question goes through JOBS to whoever calls the judge, its verdict comes back as a prediction."""

import asyncio
import logging

from services.scorer.judging import Judged, Step, is_asked, own
from services.scorer.lane import Landing
from services.scorer.scorers import Score, wrong
from services.scorer.scorers.score import clip
from services.scorer.workers import OverLimit, Workers
from shared import subjects
from shared.contracts import Job, Outcome, Prediction
from shared.faults import kill_point
from shared.large import LargeMessages
from shared.publisher import NotTaken, Publisher
from shared.scoring import JudgeScoring
from shared.storage.objects import ObjectStoreError

logger = logging.getLogger("assay.scorer")

AGAIN_S = 0.5


class Judge:
    """`workers` render what is asked and read what was said."""

    def __init__(self, workers: Workers, publisher: Publisher, large: LargeMessages) -> None:
        self._workers = workers
        self._publisher = publisher
        self._large = large

    async def score(self, prediction: Prediction) -> Score | Landing | None:
        """The result, or None where the judge is asked first. Raises what `Workers.judge` raises."""
        if not is_asked(prediction):
            return wrong(prediction.target)
        try:
            step = Step.model_validate(await self._workers.judge(prediction))
        except OverLimit as error:
            return landing(Judged(prediction=own(prediction), detail=f"Not judged: {error}"))
        if step.job:
            await self._ask(step.job)
            kill_point("scorer.asked")
            return None
        assert step.judged
        return landing(step.judged)

    async def _ask(self, job: Job) -> None:
        """Until the broker has it: what is acknowledged is stored. A full JOBS is back-pressure, and holds up this lane alone."""
        assert job.judge
        subject, payload = subjects.judge_job(job.judge, job.evaluation), job.model_dump_json(exclude_defaults=True)
        body, headers = payload.encode(), None
        while True:
            try:
                if headers is None and self._large.too_large(body):
                    headers = await self._large.put(subjects.JOBS, job.evaluation, job.message_id(), body)
                    body = b""
                await self._publisher.publish(subject, body, job.message_id(), headers)
            except (NotTaken, ObjectStoreError) as error:
                logger.warning("a question to a judge is not taken: %s; trying again", error)
                await asyncio.sleep(AGAIN_S)
            else:
                return


def landing(judged: Judged) -> Landing:
    """The result of a judged answer: the whole answer is what was compared."""
    prediction = judged.prediction
    if prediction.outcome is not Outcome.SCORED:
        return Landing(prediction, wrong(prediction.target))
    scoring = prediction.scoring
    assert isinstance(scoring, JudgeScoring)
    answer = prediction.output.strip()
    scored = Score(
        prediction=answer if judged.correct else clip(answer),
        target=prediction.target.strip(),
        correct=judged.correct,
        scores={scoring.score_name: judged.score},
        detail=judged.detail,
    )
    return Landing(prediction, scored)
