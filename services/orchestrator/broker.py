"""What the orchestrator asks of the broker: publish for sure, read a log back, see what is still outstanding."""

import logging
from collections.abc import AsyncIterator, Sequence

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.orchestrator.samples import Outgoing
from shared import subjects
from shared.contracts import Event, position_in
from shared.large import LargeMessages
from shared.publisher import Message, Publisher
from shared.readback import read_back

logger = logging.getLogger("assay.orchestrator")

PUBLISH_TIMEOUT_S = 3.0


async def publish_event(js: JetStreamContext, event: Event, scope: str) -> None:
    """Announce; the event's id lets the server swallow a repeat within its duplicate window."""
    await js.publish(
        subjects.event(scope, event.type),
        event.model_dump_json().encode(),
        timeout=PUBLISH_TIMEOUT_S,
        headers={"Nats-Msg-Id": event.id},
    )


async def publish_samples(
    publisher: Publisher, large: LargeMessages, stream: str, subject: str, evaluation: str, messages: Sequence[Outgoing]
) -> None:
    """Publish jobs or predictions in order; a repeat costs nothing.

    Raises `NotTaken` unless the server has acknowledged every one, or `ObjectStoreError` where a large one cannot be stored.
    """
    outgoing: list[Message] = []
    for payload, message_id in messages:
        if large.too_large(payload):
            headers = await large.put(stream, evaluation, message_id, payload)
            outgoing.append((subject, b"", message_id, headers))
        else:
            outgoing.append((subject, payload, message_id))
    await publisher.publish_all(outgoing)


async def read_events(
    nc: Client, js: JetStreamContext, evaluation_id: str, after: int
) -> AsyncIterator[tuple[int, Event]]:
    """The evaluation's events that the stream holds after a position, with their positions, in order."""
    async for message in read_back(nc, js, subjects.EVENTS, subjects.scope_events(evaluation_id), after):
        yield message.metadata.sequence.stream, Event.model_validate_json(message.data)


async def count_messages(js: JetStreamContext, stream: str, subject: str) -> int:
    """How many messages of this subject the stream holds."""
    info = await js.stream_info(stream, subjects_filter=subject)
    return sum((info.state.subjects or {}).values())


async def furthest(js: JetStreamContext, stream: str, subject: str, samples_per_item: int) -> int:
    """One past the position (index * samples_per_item + sample) of the subject's last message, 0 where there is none."""
    try:
        message = await js.get_last_msg(stream, subject)
    except NotFoundError:
        return 0
    # A large message has no body here, but each has its id.
    position = position_in((message.headers or {}).get("Nats-Msg-Id"))
    return position.index * samples_per_item + position.sample + 1 if position else 0


async def left_below_floor(js: JetStreamContext, model_id: str, subject: str) -> list[int]:
    """Positions of jobs of a subject below the acknowledgement floor of the model's consumer: ghosts.

    A killed nats-server may forget that messages were acknowledged and still keep its floor above them: they stay in the work
    queue and are never delivered (measured on 2.9.10).
    """
    try:
        consumer = await js.consumer_info(subjects.JOBS, subjects.model_consumer(model_id))
    except NotFoundError:
        return []
    floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
    positions = await left(js, subjects.JOBS, subject)
    return [position for position in positions if position <= floor]


async def left(js: JetStreamContext, stream: str, subject: str, limit: int = 2000) -> list[int]:
    """Positions of what a work queue still holds of a subject, the first `limit`."""
    positions: list[int] = []
    while len(positions) < limit:
        try:
            message = await js.get_msg(stream, seq=positions[-1] + 1 if positions else 1, next=True, subject=subject)
        except NotFoundError:
            break
        assert message.seq is not None
        positions.append(message.seq)
    return positions


async def delete(js: JetStreamContext, stream: str, positions: Sequence[int]) -> None:
    """Delete by position. Never purge by subject: on 2.9.10 a live consumer then skips every message that was waiting."""
    for position in positions:
        try:
            await js.delete_msg(stream, position)
        except JetStreamError as error:
            logger.debug("message %d of %s was gone already: %s", position, stream, error)
