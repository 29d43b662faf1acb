"""Ending samples without a call: as `infra_error` with `attempts: 0` and the reason, which a redrive then calls again.

It goes through PREDICTIONS like any other, so that the scorer stays the one writer of results and the first result wins. All of
it may be repeated: an owner that dies in the middle leaves to the next one what is in the document.
"""

import logging

from nats.js import JetStreamContext

from services.orchestrator import broker, recovery, samples
from shared import subjects
from shared.contracts import Job, Outcome, Prediction, given_up
from shared.faults import kill_point
from shared.large import LargeMessages
from shared.publisher import Publisher
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

AT_ONCE = 2000
"""Samples ended and not landed yet: nothing grows with the size of the evaluation."""


def ended(job: Job, reasons: dict[tuple[int, int], str]) -> samples.Outgoing:
    """The prediction of a sample that is never called, with its reason out of those by (index, sample)."""
    fields = job.model_dump(exclude={"messages", "params"})
    prediction = Prediction(**fields, outcome=Outcome.INFRA_ERROR, error=reasons[job.index, job.sample])
    return samples.Outgoing(prediction.model_dump_json(exclude_defaults=True).encode(), prediction.message_id())


class Ending:
    """Ends everything of the present round that has no result, some of it with each `step`."""

    def __init__(
        self,
        database: Database,
        js: JetStreamContext,
        publisher: Publisher,
        large: LargeMessages,
        evaluation: Document,
    ) -> None:
        self._database = database
        self._js = js
        self._publisher = publisher
        self._large = large
        self._evaluation = evaluation
        self._told = False
        self._after = 0
        self._steps = 0

    async def step(self, reason: str) -> None:
        """Nothing is ended while a job or a prediction of it may still be on its way through the queues."""
        evaluation = self._evaluation
        if not self._told:
            # Predictors drop what they hold of it up to this round; what they call just now may still come and count.
            cancelled = await self._js.key_value(subjects.KV_CANCELLED)
            await cancelled.put(evaluation["_id"], given_up(evaluation["round"]))
            self._told = True
        for subject in recovery.job_subjects(evaluation):
            while positions := await broker.left(self._js, subjects.JOBS, subject):
                await broker.delete(self._js, subjects.JOBS, positions)
        kill_point("orchestrator.giving_up")
        if await recovery.waiting(self._js, evaluation):
            return
        absent = await samples.missing(self._database, evaluation, AT_ONCE, self._after)
        if absent:
            await self.end(dict.fromkeys(absent, reason))
            self._after = absent[-1][0]
        else:
            self._after = 0

    async def end(self, reasons: dict[tuple[int, int], str]) -> None:
        """End these samples (index, sample), each with its reason."""
        self._steps += 1
        evaluation = self._evaluation
        dispatch = evaluation["epoch"] * 1000 + self._steps
        jobs = await samples.Listed(self._database, evaluation, [*reasons], dispatch).take(len(reasons))
        ends = [ended(Job.model_validate_json(job.payload), reasons) for job in jobs]
        subject = recovery.predictions(evaluation)
        await broker.publish_samples(
            self._publisher, self._large, subjects.PREDICTIONS, subject, evaluation["_id"], ends
        )
        logger.info("%s: %d samples end without a call", evaluation["_id"], len(ends))
