"""A lane: predictions whose scoring takes its time, taken from a queue of their own.

The broker keeps what waits: little more is asked for than is scored at once, so that the other replicas get their part. Of what was taken,
evaluations have their turns by the time that they have had (see `slots`).
What was taken is kept in progress until it is acknowledged; what a killed replica had taken comes again elsewhere.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.scorer.scorers import Score
from services.scorer.slots import Slots
from shared import subjects
from shared.contracts import Prediction
from shared.provision import SCORER_ACK_WAIT_S
from shared.pull import IN_PROGRESS, Puller
from shared.service import end
from shared.storage.mongo import Document

logger = logging.getLogger("assay.scorer")

HELD = 256
"""Taken and not scored yet: more than the window of most models, so that another evaluation's answers are among them, and little to hold."""

STORING = 256
"""Scored and not stored yet, beyond which nothing new is taken."""


class Landing(NamedTuple):
    """What becomes a result: the evaluated model's prediction, and how it is scored."""

    prediction: Prediction
    score: Score


class Way(NamedTuple):
    """How a lane scores one prediction, and how many at once.

    `score` is not asked for an `infra_error` of the evaluated model's. It gives a `Landing` where it is another prediction that is scored,
    and None where the score comes later, by another message. It raises `ScorerFailed` where the scorer itself fails, each time; any other
    error means that it may work later.
    """

    score: Callable[[Prediction], Awaitable[Score | Landing | None]]
    at_once: int


class Lane:
    """Of each message `to_document` makes a result, or None where nothing is left to do; `store` stores and acknowledges it.

    Both may be cancelled. A message that is not acknowledged is delivered again.
    """

    def __init__(
        self,
        nc: Client,
        name: str,
        way: Way,
        to_document: "Callable[[Lane, Msg], Awaitable[Document | None]]",
        store: "Callable[[Lane, Msg, Document], Awaitable[None]]",
    ) -> None:
        self.score = way.score
        self._nc = nc
        self._to_document = to_document
        self._store = store
        self._under_way: dict[int, tuple[str, asyncio.Task[None]]] = {}  # position -> acknowledgement subject
        self._slots = Slots(way.at_once)
        self._scoring = 0
        self._alive: asyncio.Task[None] | None = None
        self._puller = Puller(
            nc,
            subjects.PREDICTIONS,
            subjects.scorer_consumer(name),
            self._take,
            batch=max(HELD, way.at_once),
            held=lambda: max(self._scoring, len(self._under_way) - STORING),
        )

    async def start(self) -> None:
        self._alive = asyncio.create_task(self._keep_alive())
        await self._puller.start()

    async def stop(self) -> None:
        """Take nothing more and give up what is under way: it comes again elsewhere."""
        await self._puller.stop()
        await end([*(task for _, task in self._under_way.values()), *([self._alive] if self._alive else [])])

    async def reconnected(self) -> None:
        await self._puller.reconnected()

    async def acknowledge(self, message: Msg) -> None:
        await self._puller.acknowledge(message)

    def _take(self, message: Msg) -> None:
        position = message.metadata.sequence.stream
        # A server that forgot that it is in progress delivers it again.
        if position not in self._under_way:
            self._scoring += 1
            self._under_way[position] = (message.reply, asyncio.create_task(self._see_to(position, message)))

    async def _see_to(self, position: int, message: Msg) -> None:
        try:
            try:
                async with self._slots.slot(subjects.evaluation_in(message.subject) or ""):
                    document = await self._to_document(self, message)
            finally:
                self._scoring -= 1
                await self._puller.ask()
            if document is not None:
                await self._store(self, message, document)
        except Exception:
            logger.exception("a prediction on %s is not stored yet", message.subject)
        finally:
            del self._under_way[position]
            await self._puller.ask()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(SCORER_ACK_WAIT_S / 3)
            for reply, _ in list(self._under_way.values()):
                try:
                    await self._nc.publish(reply, IN_PROGRESS)
                except Exception as error:
                    logger.warning("cannot say that scoring is in progress: %s", type(error).__name__)
