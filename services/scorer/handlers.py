"""What the scorer does with predictions that arrive, and when all of an evaluation's have landed."""

import asyncio
import logging
import time
from typing import Any

from nats.aio.msg import Msg
from pydantic import TypeAdapter, ValidationError

from services.scorer.landing import land, result
from services.scorer.metrics import Metrics
from services.scorer.scorers import check_target, main_metric
from shared import subjects
from shared.contracts import Landed, Prediction, Step
from shared.faults import kill_point
from shared.manifest import Scoring
from shared.pull import IN_PROGRESS, Batches, Puller
from shared.service import Service
from shared.storage.mongo import OUTAGES, Database, Document

logger = logging.getLogger("assay.scorer")

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)

BATCH = 256
"""Results in one bulk write: a journalled bulk of 256 takes about 8 ms (measured), a tenth of what single writes would."""

LINGER_S = 0.025
"""A bulk that would be small waits so long for more. The model's window is wide enough for it."""

READ_BATCH = 2000
"""Results read at once for the metrics: Motor's hop to its thread costs more than a row."""


class Scorer:
    def __init__(self, service: Service, database: Database) -> None:
        self._service = service
        self._database = database
        self._batches = Batches(BATCH, LINGER_S)
        self._puller = Puller(
            service.nc, subjects.PREDICTIONS, subjects.SCORER_CONSUMER, self._batches.put, batch=4 * BATCH
        )

    async def start(self) -> None:
        await self._puller.start()

    async def stop(self) -> None:
        """Take nothing more; what was taken and is not acknowledged comes again elsewhere."""
        await self._puller.stop()

    async def reconnected(self) -> None:
        await self._puller.reconnected()

    async def land_batches(self) -> None:
        """For ever: score, store, say, acknowledge. In that order: what is acknowledged is stored."""
        while True:
            messages = await self._batches.get()
            documents: list[Document] = []
            now = time.time()
            for message in messages:
                try:
                    documents.append(result(Prediction.model_validate_json(message.data), now))
                except ValidationError:
                    logger.error("a prediction on %s cannot be read and is dropped", message.subject)
            hints = await self._store(messages, documents)
            kill_point("scorer.written")
            for hint in hints:
                await self._service.nc.publish(subjects.landed(hint.evaluation), hint.model_dump_json().encode())
            for message in messages:
                await self._puller.acknowledge(message)

    async def _store(self, messages: list[Msg], documents: list[Document]) -> list[Landed]:
        """Until MongoDB has them: nothing is acknowledged that is not stored."""
        while True:
            try:
                return await land(self._database, documents)
            except OUTAGES as error:
                logger.warning("cannot store results: %s; trying again", type(error).__name__)
                for message in messages:
                    await self._service.nc.publish(message.reply, IN_PROGRESS)
                await asyncio.sleep(0.5)

    async def all_landed(self, step: Step) -> None:
        """LIFECYCLE `landed`: compute the round's metrics, store them, and pass the evaluation on to artifacts."""
        scores_id = f"{step.evaluation}:{step.round}"
        if not await self._database["scores"].find_one({"_id": scores_id}, {"_id": 1}):
            evaluation = await self._database["evaluations"].find_one({"_id": step.evaluation})
            if evaluation is None:
                logger.error("evaluation %s is to be scored, and is not there", step.evaluation)
                return
            metrics = await self._metrics(evaluation)
            await self._database["scores"].replace_one(
                {"_id": scores_id},
                {"evaluation": step.evaluation, "round": step.round, "metrics": metrics},
                upsert=True,
            )
        kill_point("scorer.scored")
        await self._service.js.publish(
            subjects.lifecycle(step.evaluation, "scored"),
            step.model_dump_json().encode(),
            timeout=5,
            headers={"Nats-Msg-Id": f"{scores_id}:scored"},
        )

    async def refuse(self, step: Step, error: str) -> None:
        """The metrics cannot be computed, however often one tries: the evaluation fails with the reason."""
        await self._database["scores"].replace_one(
            {"_id": f"{step.evaluation}:{step.round}"},
            {"evaluation": step.evaluation, "round": step.round, "error": error},
            upsert=True,
        )

    async def _metrics(self, evaluation: Document) -> Document:
        metrics = Metrics(evaluation["progress"]["total"])
        cursor = self._database["results"].find({"evaluation": evaluation["_id"]}, {"output": 0, "error": 0})
        cursor.sort([("index", 1), ("sample", 1)]).batch_size(READ_BATCH)
        while batch := await cursor.to_list(READ_BATCH):
            for document in batch:
                metrics.add(document)
        scoring: Scoring = _SCORING.validate_python(evaluation["scoring"])
        return metrics.finish(main_metric(scoring))

    async def check_targets(self, body: dict[str, Any]) -> list[str | None]:
        """Command `scorer.targets.check` {scoring, items: [{target, hints}]}: why each cannot be used, or null."""
        scoring: Scoring = _SCORING.validate_python(body["scoring"])
        return [check_target(item["target"], scoring, item["hints"]) for item in body["items"]]
