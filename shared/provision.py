"""Streams, consumers and buckets of the broker: created at start, and brought up to date where they exist with another
configuration. Every service calls this; doing it twice, or at once, changes nothing.

A model's consumer is provisioned with its concurrency as `max_ack_pending` once; after that only what controls the
concurrency writes it, so an update here leaves it alone.
"""

import logging
from dataclasses import dataclass
from typing import Any, get_args

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, BucketNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from shared import subjects
from shared.scoring import Lane
from shared.settings import Settings

logger = logging.getLogger("assay.provision")

DUPLICATE_WINDOW_S = 30.0
"""How long the server swallows a repeated `Nats-Msg-Id`. Longer than a take-over takes, so its repeats cost nothing."""

MODEL_ACK_WAIT_S = 5.0
"""A killed predictor's jobs are delivered again after this. Calls may take an hour: predictors say in-progress meanwhile."""

LIFECYCLE_ACK_WAIT_S = 10.0
PARKED_MAX_BYTES = 64 * 1024**2
"""The oldest go first: they are evidence for a person, and their samples are seen to by their evaluations."""

SCORER_ACK_WAIT_S = 10.0


def streams(settings: Settings) -> list[StreamConfig]:
    """The configuration of every stream."""
    work_queue: dict[str, Any] = {
        "retention": RetentionPolicy.WORK_QUEUE,
        # A refused publish is back-pressure; the default policy drops acknowledged messages in silence.
        "discard": DiscardPolicy.NEW,
        "max_bytes": settings.jobs_max_bytes,
        "duplicate_window": DUPLICATE_WINDOW_S,
    }
    log: dict[str, Any] = {
        "retention": RetentionPolicy.LIMITS,
        "discard": DiscardPolicy.OLD,
        "max_age": settings.events_max_age_s,
        "max_bytes": settings.events_max_bytes,
        "duplicate_window": DUPLICATE_WINDOW_S,
    }
    return [
        StreamConfig(name=subjects.JOBS, subjects=["jobs.>"], storage=StorageType.FILE, **work_queue),
        StreamConfig(name=subjects.PREDICTIONS, subjects=["predictions.>"], storage=StorageType.FILE, **work_queue),
        StreamConfig(name=subjects.LIFECYCLE, subjects=["evaluations.>"], storage=StorageType.FILE, **log),
        StreamConfig(name=subjects.EVENTS, subjects=["events.>"], storage=StorageType.FILE, **log),
        StreamConfig(
            name=subjects.PARKED,
            subjects=["parked.>"],
            storage=StorageType.FILE,
            **{**log, "max_bytes": PARKED_MAX_BYTES},
        ),
    ]


def consumers() -> list[tuple[str, ConsumerConfig]]:
    """The durable consumers that belong to no model, with their streams. Nothing is given up: `max_deliver` is -1."""
    return [
        *(
            (
                subjects.PREDICTIONS,
                ConsumerConfig(
                    durable_name=subjects.scorer_consumer(lane),
                    filter_subject=subjects.prediction("*", lane),
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=SCORER_ACK_WAIT_S,
                    max_deliver=-1,
                    max_ack_pending=20_000,
                ),
            )
            for lane in get_args(Lane)
        ),
        *(
            (
                subjects.LIFECYCLE,
                ConsumerConfig(
                    durable_name=name,
                    filter_subject=subjects.lifecycle("*", verb),
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=LIFECYCLE_ACK_WAIT_S,
                    max_deliver=-1,
                    max_ack_pending=1000,
                ),
            )
            for name, verb in (
                (subjects.SCORER_LANDED, "landed"),
                (subjects.ARTIFACTS_CREATED, "created"),
                (subjects.ARTIFACTS_SCORED, "scored"),
            )
        ),
    ]


def model_consumer(model_id: str, max_concurrency: int) -> ConsumerConfig:
    """The consumer of a model's jobs. The server then bounds the calls under way over all predictors."""
    return ConsumerConfig(
        durable_name=subjects.model_consumer(model_id),
        filter_subject=subjects.model_jobs(model_id),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=MODEL_ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=max_concurrency,
    )


@dataclass(frozen=True)
class Bucket:
    name: str
    ttl_s: float | None


BUCKETS = (
    Bucket(subjects.KV_MODELS, None),
    Bucket(subjects.KV_CANCELLED, 86400.0),
    Bucket(subjects.KV_LEASES, 15.0),
    Bucket(subjects.KV_PACING, None),
    Bucket(subjects.KV_ENGINES, None),
)


async def provision(js: JetStreamContext, settings: Settings) -> None:
    """Make the broker ready for every service."""
    for stream in streams(settings):
        await _ensure_stream(js, stream)
    for bucket in BUCKETS:
        await _ensure_bucket(js, bucket)
    for stream_name, consumer in consumers():
        await ensure_consumer(js, stream_name, consumer)


async def _ensure_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    assert wanted.name
    try:
        present = (await js.stream_info(wanted.name)).config
    except NotFoundError:
        try:
            await js.add_stream(wanted)
        except BadRequestError:
            # Another service was quicker; what it made is compared like any other.
            present = (await js.stream_info(wanted.name)).config
        else:
            return
    if _differs(present, wanted):
        await js.update_stream(wanted)


async def ensure_consumer(
    js: JetStreamContext,
    stream: str,
    wanted: ConsumerConfig,
    *,
    keep_max_ack_pending: bool = False,
    create: bool = True,
) -> None:
    """Create the consumer, or update one that differs; `keep_max_ack_pending` where a controller owns that value.

    Without `create` one that is not there raises `NotFoundError`.
    """
    assert wanted.durable_name
    try:
        present = (await js.consumer_info(stream, wanted.durable_name)).config
    except NotFoundError:
        if not create:
            raise
        await js.add_consumer(stream, wanted)
        return
    if present.filter_subject != wanted.filter_subject:
        # nats-server 2.9.10 takes such an update, and then delivers nothing; what a work queue holds comes to the new one.
        await js.delete_consumer(stream, wanted.durable_name)
        await js.add_consumer(stream, wanted)
        return
    if keep_max_ack_pending:
        wanted = wanted.evolve(max_ack_pending=present.max_ack_pending)
    if _differs(present, wanted):
        await js.add_consumer(stream, wanted)


async def mend_consumer(js: JetStreamContext, stream: str, name: str) -> bool:
    """Make a consumer anew that is ahead of its stream; whether it was. Raises `NotFoundError` where there is none.

    A nats-server that is killed on a full disk may have lost where an empty stream was (2.9.10), and counts from 1 again. Its
    consumers remember higher positions, and would get nothing until the stream has passed them.
    """
    # In this order: what is stored in between must not make the consumer look ahead.
    consumer = await js.consumer_info(stream, name)
    at = (await js.stream_info(stream)).state.last_seq
    if consumer.delivered is None or consumer.delivered.stream_seq <= at:
        return False
    await js.delete_consumer(stream, name)
    await js.add_consumer(stream, consumer.config)
    logger.warning("consumer %s was ahead of %s (%d, %d): made anew", name, stream, consumer.delivered.stream_seq, at)
    return True


async def _ensure_bucket(js: JetStreamContext, bucket: Bucket) -> KeyValue:
    try:
        store = await js.key_value(bucket.name)
    except BucketNotFoundError:
        return await js.create_key_value(
            KeyValueConfig(bucket=bucket.name, history=1, ttl=bucket.ttl_s, storage=StorageType.FILE)
        )
    stream = (await js.stream_info(f"KV_{bucket.name}")).config
    if (stream.max_age or 0) != (bucket.ttl_s or 0):
        await js.update_stream(stream.evolve(max_age=bucket.ttl_s or 0))
    return store


def _differs(present: Any, wanted: Any) -> bool:
    """Whether a field that we set has another value on the server; what we leave open is the server's to choose."""
    settled = {name: value for name, value in vars(wanted).items() if value is not None}
    return any(getattr(present, name) != value for name, value in settled.items() if hasattr(present, name))
