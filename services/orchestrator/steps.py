"""Asking other services for the steps of an evaluation: submission, metrics, files."""

import time

from nats.js import JetStreamContext

from services.orchestrator.broker import PUBLISH_TIMEOUT_S
from shared import subjects
from shared.contracts import Step
from shared.faults import kill_point
from shared.storage.mongo import Document

AGAIN_S = 20.0
"""A step asked for and not done after this is asked for again."""


class Steps:
    """What an evaluation's owner has asked for. What was done is in MongoDB; see `shared.contracts.Step`."""

    def __init__(self, js: JetStreamContext, document: Document) -> None:
        self._js = js
        self._document = document
        self._asked: tuple[str, float] = ("", 0.0)
        self._times = 0

    async def ask(self, verb: str) -> None:
        """Ask for a step, and again where it is not done in time."""
        asked, asked_at = self._asked
        if asked == verb and time.monotonic() - asked_at < AGAIN_S:
            return
        self._times = self._times + 1 if asked == verb else 0
        step = Step(evaluation=self._document["_id"], round=self._document["round"])
        await self._js.publish(
            subjects.lifecycle(step.evaluation, verb),
            step.model_dump_json().encode(),
            timeout=PUBLISH_TIMEOUT_S,
            headers={"Nats-Msg-Id": f"{step.evaluation}:{step.round}:{verb}:{self._document['epoch']}:{self._times}"},
        )
        self._asked = (verb, time.monotonic())
        kill_point(f"orchestrator.asked_{verb}")
