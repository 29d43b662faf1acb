"""What the scorer does with predictions that arrive, and when all of an evaluation's have landed."""

import asyncio
import logging
import time
from collections.abc import Mapping

from nats.aio.msg import Msg
from pydantic import TypeAdapter, ValidationError
from pymongo.errors import PyMongoError

from services.scorer.landing import document_of, land, result
from services.scorer.lane import Landing, Lane, Way
from services.scorer.scorers import wrong
from services.scorer.workers import ScorerFailed
from shared import subjects
from shared.contracts import Landed, Outcome, Prediction
from shared.errors import AssayError
from shared.faults import kill_point
from shared.large import LargeMessages
from shared.parking import in_short, park
from shared.pull import IN_PROGRESS, Batches, Puller
from shared.scoring import ExactMatchScoring, Scoring
from shared.service import Service
from shared.storage.mongo import Database, Document, in_words, is_unstorable
from shared.storage.objects import ObjectMissing, ObjectStoreError

logger = logging.getLogger("assay.scorer")

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)

BATCH = 256
"""Results in one bulk write: a journalled bulk of 256 takes about 8 ms (measured), a tenth of what single writes would."""

LINGER_S = 0.025
"""A bulk that would be small waits so long for more. The model's window is wide enough for it."""

AGAIN_S = 1.0
"""Pause where something is away that a score needs, so that what is delivered again does not spin."""


class Unscorable(AssayError):
    """Scoring this prediction fails, each time."""


class Unstorable(AssayError):
    """MongoDB can never hold its result."""


BAD = (ValidationError, Unscorable, Unstorable)
"""Evidence that a message is itself bad, and not some part away."""


class Scorer:
    """`ways`: how the lanes score that this replica works on, by name; what needs no more than the answer is scored at once."""

    def __init__(
        self,
        service: Service,
        database: Database,
        large: LargeMessages,
        ways: Mapping[str, Way],
    ) -> None:
        self._service = service
        self._database = database
        self._large = large
        self._scored: Batches[tuple[Document, asyncio.Future[None]]] = Batches(BATCH, LINGER_S)
        self._batches: Batches[Msg] = Batches(BATCH, LINGER_S)
        self._puller = Puller(
            service.nc, subjects.PREDICTIONS, subjects.SCORER_CONSUMER, self._batches.put, batch=4 * BATCH
        )
        lanes = [Lane(service.nc, name, way, self._scored_document, self._land_scored) for name, way in ways.items()]
        self._pulling: list[Puller | Lane] = [self._puller, *lanes]

    async def start(self) -> None:
        for each in self._pulling:
            await each.start()

    async def stop(self) -> None:
        """Take nothing more; what was taken and is not acknowledged comes again elsewhere."""
        for each in self._pulling:
            await each.stop()

    async def reconnected(self) -> None:
        for each in self._pulling:
            await each.reconnected()

    async def land_batches(self) -> None:
        """For ever. Large predictions land one by one, and so do all of a batch with a bad one in it, to find out which."""
        while True:
            messages = await self._batches.get()
            try:
                whole = [message for message in messages if message.data]
                for message in messages:
                    if not message.data:
                        await self._land_alone(message)
                try:
                    await self._land(whole, [message.data for message in whole])
                except BAD:
                    for message in whole:
                        await self._land_alone(message)
            except Exception:
                # Nothing of it is acknowledged, so that it comes again.
                logger.exception("%d predictions are not stored yet", len(messages))
                await asyncio.sleep(0.5)

    async def _land(self, messages: list[Msg], bodies: list[bytes]) -> None:
        """Score, store, say, acknowledge. In that order: what is acknowledged is stored. Raises `BAD` for a bad message."""
        now = time.time()
        await self._keep(messages, [_result(body, now) for body in bodies])
        for message in messages:
            await self._puller.acknowledge(message)

    async def _keep(self, messages: list[Msg], documents: list[Document]) -> None:
        """Store and say. `messages` are kept in progress meanwhile. Raises `Unstorable`."""
        hints = await self._store(messages, documents)
        kill_point("scorer.written")
        for hint in hints:
            await self._service.nc.publish(subjects.landed(hint.evaluation), hint.model_dump_json().encode())

    async def _land_alone(self, message: Msg) -> None:
        """One that may be large, or bad: then it is parked."""
        try:
            await self._land([message], [await self._large.body(message)])
        except ObjectMissing:
            await self._puller.acknowledge(message)
        except ObjectStoreError as error:
            # Left alone, it is delivered again after `ack_wait`.
            logger.warning("a large prediction waits: %s", error)
        except BAD as error:
            await self._park(message, error)
            await self._puller.acknowledge(message)
        else:
            await self._large.discard(message)

    async def _park(self, message: Msg, error: Exception) -> None:
        """To be acknowledged afterwards."""
        reason = f"the prediction cannot be {_why(error)}"
        logger.error("a prediction on %s is parked: %s", message.subject, reason)
        await park(self._service.js, message, reason, "scorer", self._service.nc.max_payload)

    async def _scored_document(self, lane: Lane, message: Msg) -> Document | None:
        """Of a prediction in a lane; None where it is done with, or comes again later."""
        try:
            prediction = Prediction.model_validate_json(await self._large.body(message))
            if prediction.outcome is Outcome.INFRA_ERROR and prediction.judging is None:
                return document_of(prediction, wrong(prediction.target), time.time())
            scored = await lane.score(prediction)
            if scored is not None:
                landing = scored if isinstance(scored, Landing) else Landing(prediction, scored)
                return document_of(landing.prediction, landing.score, time.time())
            await lane.acknowledge(message)
            await self._large.discard(message)
        except ObjectMissing:
            await lane.acknowledge(message)
        except (ValidationError, ScorerFailed) as error:
            await self._park(message, error)
            await lane.acknowledge(message)
        except Exception as error:
            logger.warning("a prediction waits: %s: %s", type(error).__name__, error)
            await asyncio.sleep(AGAIN_S)
        return None

    async def _land_scored(self, lane: Lane, message: Msg, document: Document) -> None:
        """Together with others that were scored meanwhile."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._scored.put((document, stored))
        try:
            await stored
        except Unstorable as error:
            await self._park(message, error)
            await lane.acknowledge(message)
        else:
            await lane.acknowledge(message)
            await self._large.discard(message)

    async def land_scored(self) -> None:
        """For ever: store what lanes have scored, in one bulk what has come together."""
        while True:
            scored = await self._scored.get()
            try:
                await self._keep([], [document for document, _ in scored])
            except Unstorable:
                for each in scored:
                    await self._keep_alone(*each)
            except Exception as error:
                for _, stored in scored:
                    _tell(stored, error)
                await asyncio.sleep(0.5)
            else:
                for _, stored in scored:
                    _tell(stored)

    async def _keep_alone(self, document: Document, stored: "asyncio.Future[None]") -> None:
        try:
            await self._keep([], [document])
        except Exception as error:
            _tell(stored, error)
        else:
            _tell(stored)

    async def _store(self, messages: list[Msg], documents: list[Document]) -> list[Landed]:
        """Until MongoDB has them: nothing is acknowledged that is not stored."""
        while True:
            try:
                return await land(self._database, documents)
            except Exception as error:
                if is_unstorable(error):
                    raise Unstorable(f"{type(error).__name__}: {error}") from error
                if not isinstance(error, PyMongoError):
                    raise
                # Away, restarting, or without room on its disk.
                logger.warning("cannot store results: %s; trying again", in_words(error))
                for message in messages:
                    await self._service.nc.publish(message.reply, IN_PROGRESS)
                await asyncio.sleep(0.5)


def _result(body: bytes, now: float) -> Document:
    """Raises `BAD`."""
    prediction = Prediction.model_validate_json(body)
    try:
        return result(prediction, now)
    except Exception as error:
        if prediction.outcome is Outcome.INFRA_ERROR:
            # There is nothing to score, and it must be able to end what could not be scored.
            return result(prediction.model_copy(update={"scoring": ExactMatchScoring(scorer="exact_match")}), now)
        raise Unscorable(f"{type(error).__name__}: {error}") from error


def _tell(stored: "asyncio.Future[None]", error: Exception | None = None) -> None:
    if stored.done():  # nobody waits any more
        return
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)


def _why(error: Exception) -> str:
    match error:
        case ValidationError():
            return f"read: {in_short(error)}"
        case Unscorable() | ScorerFailed():
            return f"scored: {error}"
    return f"stored: {error}"
