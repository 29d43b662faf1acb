"""A round of an evaluation whose predictions have all landed: its numbers, and what is said when they are there or cannot be."""

import logging
from collections.abc import AsyncIterator

from pydantic import TypeAdapter

from services.scorer.metrics import Metrics
from services.scorer.passes import Passes
from services.scorer.programs.run import Programs
from services.scorer.programs.scores import ProgramFailed
from services.scorer.programs.turns import Turns
from services.scorer.sandbox import NoSandbox
from services.scorer.scorers import main_metric
from services.scorer.workers import Workers
from shared import subjects
from shared.contracts import Step
from shared.faults import kill_point
from shared.scoring import CodeScoring, ProgramScoring, Scoring
from shared.service import Service
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.scorer")

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)

READ_BATCH = 2000
"""Results read at once for the metrics: Motor's hop to its thread costs more than a row."""

PROGRAM_BATCH = 500
"""Results read at once for a program: with their outputs, which may be long."""


class Rounds:
    def __init__(
        self, service: Service, database: Database, workers: Workers, programs: Programs, turns: Turns
    ) -> None:
        self._service = service
        self._database = database
        self._workers = workers
        self._programs = programs
        self._turns = turns

    async def all_landed(self, step: Step) -> None:
        """LIFECYCLE `landed`: compute the round's metrics, store them, and pass the evaluation on to artifacts.

        A scoring program may take hours. Others' numbers do not wait for it: many of these steps are under way at a time.
        """
        if not await self._is_scored(step):
            evaluation = await self._database["evaluations"].find_one({"_id": step.evaluation})
            if evaluation is None:
                logger.error("evaluation %s is to be scored, and is not there", step.evaluation)
                return
            scoring: Scoring = _SCORING.validate_python(evaluation["scoring"])
            if isinstance(scoring, ProgramScoring):
                await self._turns.take(step, lambda: self._run_program(step, evaluation, scoring))
                return
            await self._store(step, {"metrics": await self._metrics(evaluation, scoring)})
        await self._say(step, "scored")

    async def refuse(self, step: Step, error: str) -> None:
        """The metrics cannot be computed, however often one tries: the evaluation fails with the reason."""
        await self._store(step, {"error": error})

    async def _run_program(self, step: Step, evaluation: Document, scoring: ProgramScoring) -> None:
        if not await self._is_scored(step):
            metrics = await self._metrics(evaluation, scoring)
            results = self._results(evaluation, {}, PROGRAM_BATCH)
            try:
                scored = await self._programs.run(step, evaluation, scoring, metrics, results)
            except (ProgramFailed, NoSandbox) as error:
                files = error.files if isinstance(error, ProgramFailed) else []
                await self._store(step, {"error": str(error), "files": [file.model_dump() for file in files]})
                await self._say(step, "refused")
                return
            kill_point("scorer.program_done")
            await self._store(step, scored)
        await self._say(step, "scored")

    async def _is_scored(self, step: Step) -> bool:
        return await self._database["scores"].find_one({"_id": _id(step)}, {"_id": 1}) is not None

    async def _store(self, step: Step, found: Document) -> None:
        document = {"evaluation": step.evaluation, "round": step.round, **found}
        await self._database["scores"].replace_one({"_id": _id(step)}, document, upsert=True)

    async def _say(self, step: Step, verb: str) -> None:
        kill_point(f"scorer.{verb}")
        await self._service.js.publish(
            subjects.lifecycle(step.evaluation, verb),
            step.model_dump_json().encode(),
            timeout=5,
            headers={"Nats-Msg-Id": f"{_id(step)}:{verb}"},
        )

    async def _metrics(self, evaluation: Document, scoring: Scoring) -> Document:
        judge, samples = evaluation.get("judge_settings") or {}, evaluation["samples_per_item"]
        metrics = Metrics(
            evaluation["progress"]["total"],
            price=evaluation["model_settings"].get("price"),
            judged=evaluation.get("judge") is not None,
            judge_price=judge.get("price"),
            passes=Passes(samples) if samples > 1 and isinstance(scoring.for_items, CodeScoring) else None,
        )
        texts = {"output": 0, "error": 0, "judge.output": 0, "judge.error": 0}
        async for batch in self._results(evaluation, texts, READ_BATCH):
            for document in batch:
                metrics.add(document)
        sums = metrics.statistics
        corpus = await self._workers.corpus(sums, scoring.for_items) if sums else None
        return metrics.finish(main_metric(scoring), corpus)

    async def _results(self, evaluation: Document, projection: Document, size: int) -> AsyncIterator[list[Document]]:
        """In the order of (index, sample)."""
        cursor = self._database["results"].find({"evaluation": evaluation["_id"]}, projection or None)
        cursor.sort([("index", 1), ("sample", 1)]).batch_size(size)
        while batch := await cursor.to_list(size):
            yield batch


def _id(step: Step) -> str:
    return f"{step.evaluation}:{step.round}"
