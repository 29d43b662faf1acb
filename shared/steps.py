"""Steps of an evaluation that another service asks for, over LIFECYCLE: done at least once, whoever dies meanwhile.

A step is acknowledged when it is done. While a part is away it is tried again for ever; where it fails by itself, it is
refused with its reason after a few tries, so that the evaluation ends instead of hanging.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from faststream import AckPolicy
from faststream.nats import JStream, NatsMessage, PullSub
from nats.errors import Error as NatsError
from pydantic import ValidationError

from shared import subjects
from shared.contracts import Step
from shared.parking import in_short, park
from shared.provision import LIFECYCLE_ACK_WAIT_S
from shared.service import Service
from shared.storage.mongo import OUTAGES
from shared.storage.objects import ObjectStoreError

logger = logging.getLogger("assay.steps")

TRIES = 5
AWAY = (*OUTAGES, NatsError, ObjectStoreError, TimeoutError, OSError)

Handler = Callable[[Step], Awaitable[None]]
Refuse = Callable[[Step, str], Awaitable[None]]


def on_step(service: Service, consumer: str, verb: str, handler: Handler, refuse: Refuse, *, at_once: int = 8) -> None:
    """Handle every `evaluations.<id>.<verb>` through a durable consumer that all replicas share, `at_once` at a time in each."""
    under_way: dict[tuple[str, int], int] = {}  # evaluation and round -> position of the message that began it

    @service.broker.subscriber(
        subjects.lifecycle("*", verb),
        stream=JStream(subjects.LIFECYCLE, declare=False),
        durable=consumer,
        # A restarted server has forgotten the request that a fetch waits on, so none waits long.
        pull_sub=PullSub(batch_size=1, timeout=2),
        max_workers=at_once,
        ack_policy=AckPolicy.MANUAL,
    )
    async def handle(message: NatsMessage) -> None:
        try:
            step = Step.model_validate_json(message.body)
        except ValidationError as error:
            raw, reason = message.raw_message, f"the step cannot be read: {in_short(error)}"
            logger.error("a step on %s is parked: %s", raw.subject, reason)
            try:
                await park(service.js, raw, reason, service.name, service.nc.max_payload)
            except NatsError as failure:
                logger.warning("cannot park a step: %s", type(failure).__name__)
                await message.nack(delay=1)
            else:
                await message.ack()
            return
        position = message.raw_message.metadata.sequence.stream
        key = (step.evaluation, step.round)
        if key in under_way:
            # Asked for again while it is being done here, as every 20 s: the files of a million rows take minutes, and would be built
            # many times at once. The message that began it stays unacknowledged until it is done, so this one is not needed.
            if position != under_way[key]:
                await message.ack()
            return
        under_way[key] = position
        tries = message.raw_message.metadata.num_delivered or 1
        alive = asyncio.create_task(_keep_alive(message))
        try:
            await handler(step)
        except AWAY as error:
            logger.warning("%s of %s waits: %s", verb, step.evaluation, error or type(error).__name__)
            await message.nack(delay=1)
        except Exception as error:
            logger.exception("%s of %s failed (try %d)", verb, step.evaluation, tries)
            if tries < TRIES:
                await message.nack(delay=1)
            else:
                await refuse(step, f"the {service.name} cannot do this: {type(error).__name__}; its log says more")
                await service.nc.publish(subjects.lifecycle(step.evaluation, "refused"), message.body)
                await message.ack()
        else:
            await message.ack()
        finally:
            alive.cancel()
            del under_way[key]


async def _keep_alive(message: NatsMessage) -> None:
    while True:
        await asyncio.sleep(LIFECYCLE_ACK_WAIT_S / 3)
        try:
            await message.in_progress()
        except NatsError as error:
            logger.warning("cannot say that a step is in progress: %s", type(error).__name__)
