"""The steps of an item by themselves, with the services' own code, against the real broker, database and endpoint."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

from bench.fixtures import MODEL, SLUG, Bench
from bench.loops import aiohttp_loop, timed
from services.orchestrator.samples import Jobs
from services.predictor.endpoint import Endpoint
from services.scorer.landing import land, result
from services.scorer.scorers import score
from shared.contracts import ChatMessage, Job, ModelEndpoint, Outcome, Prediction, Usage
from shared.networks import Networks
from shared.publisher import Publisher
from shared.pull import Batches, Puller
from shared.scoring import NumericScoring
from shared.settings import Settings
from shared.storage import mongo

COUNT = 4_096
BATCH = 256
"""The scorer's bulk, and what is published before acknowledgements are awaited."""

CONCURRENCY = 64
STREAM, SUBJECT, CONSUMER = "BENCH", "bench.items", "bench"
DATABASE = "assay_bench"

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Cost:
    """Microseconds an item: CPU time of this process, and wall time."""

    step: str
    cpu_us: float
    wall_us: float


async def measure(bench: Bench, rounds: int, say: Callable[[str], None]) -> list[Cost]:
    """Every step, medians of `rounds`."""
    jobs = make_jobs(bench)
    predictions = [make_prediction(job) for job in jobs]
    costs = [await cost(step, len(jobs), rounds, work) for step, work in in_process(jobs, predictions)]
    say("cost: codecs and scoring done")
    costs += await broker_costs(bench.settings, predictions, rounds)
    say("cost: broker done")
    costs += await store_costs(bench.settings, predictions, rounds)
    say("cost: database done")
    costs += await call_costs(bench, jobs, rounds)
    return costs


async def cost(step: str, count: int, rounds: int, work: Work) -> Cost:
    """`work` does the step for `count` items."""
    cpu, wall = [], []
    for _ in range(rounds):
        cpu_began, wall_began = time.process_time(), time.perf_counter()
        await work()
        cpu.append(time.process_time() - cpu_began)
        wall.append(time.perf_counter() - wall_began)
    return Cost(step, median(cpu) / count * 1e6, median(wall) / count * 1e6)


def make_jobs(bench: Bench) -> list[Job]:
    """The workload's first items as the orchestrator sends them."""
    count = min(COUNT, len(bench.workload.rows))
    rows, bodies = bench.workload.rows[:count], bench.workload.bodies(count)
    return [
        Job(
            evaluation="e0123456789abcdef",
            model="m0123456789abcdef",
            index=index,
            item_id=row["id"],
            target=row["answer"],
            scoring=NumericScoring(scorer="numeric"),
            messages=[ChatMessage(**message) for message in body["messages"]],
            params=bench.workload.manifest["generation"],
        )
        for index, (row, body) in enumerate(zip(rows, bodies, strict=True))
    ]


def make_prediction(job: Job) -> Prediction:
    """A good answer to it."""
    return Prediction(
        **job.model_dump(exclude={"messages", "params"}),
        outcome=Outcome.SCORED,
        output=f"Let me work through this step by step. So the answer is {job.target.rpartition('####')[2].strip()}.",
        finish_reason="stop",
        usage=Usage(prompt_tokens=60, completion_tokens=12, total_tokens=72),
        attempts=1,
        started_at=time.time(),
        latency_ms=1.5,
    )


def in_process(jobs: Sequence[Job], predictions: Sequence[Prediction]) -> list[tuple[str, Work]]:
    """What needs nothing but this process."""
    jobs_wire = [job.model_dump_json(exclude_defaults=True).encode() for job in jobs]
    predictions_wire = [prediction.model_dump_json(exclude_defaults=True).encode() for prediction in predictions]

    first = jobs[0]
    maker = Jobs(
        {
            "_id": first.evaluation,
            "model": first.model,
            "round": 0,
            "params": first.params,
            "scoring": first.scoring.model_dump(),
        },
        0,
    )
    items = [job.model_dump(include={"index", "item_id", "messages", "target", "hints"}) for job in jobs]

    async def encode_jobs() -> None:
        for item in items:
            maker.make(item, 0)

    async def decode_jobs() -> None:
        for wire in jobs_wire:
            Job.model_validate_json(wire)

    async def encode_predictions() -> None:
        for prediction in predictions:
            prediction.model_dump_json(exclude_defaults=True).encode()

    async def decode_predictions() -> None:
        for wire in predictions_wire:
            Prediction.model_validate_json(wire)

    async def score_all() -> None:
        for prediction in predictions:
            score(prediction.output, prediction.target, prediction.scoring, prediction.hints)

    async def build_documents() -> None:
        for prediction in predictions:
            result(prediction, 0.0)

    return [
        ("job: encode", encode_jobs),
        ("job: decode", decode_jobs),
        ("prediction: encode", encode_predictions),
        ("prediction: decode", decode_predictions),
        ("score (numeric)", score_all),
        ("result document, scoring included", build_documents),
    ]


@asynccontextmanager
async def broker(settings: Settings) -> AsyncIterator[tuple[Client, JetStreamContext]]:
    """A connection, and a work queue of its own that is gone afterwards."""
    token = settings.nats_token
    nc = await nats.connect(settings.nats_url, token=token.get_secret_value() if token else None)
    js = nc.jetstream(timeout=5, publish_async_max_pending=16_384)
    try:
        await js.add_stream(
            StreamConfig(
                name=STREAM,
                subjects=[SUBJECT],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE,
                duplicate_window=30.0,
            )
        )
        await js.add_consumer(
            STREAM,
            ConsumerConfig(durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=20_000),
        )
        yield nc, js
        await js.delete_stream(STREAM)
    finally:
        await nc.close()


async def broker_costs(settings: Settings, predictions: Sequence[Prediction], rounds: int) -> list[Cost]:
    """A message published, in batches and one by one from many tasks, and pulled and acknowledged."""
    payloads = [prediction.model_dump_json(exclude_defaults=True).encode() for prediction in predictions]
    numbers = iter(range(10**9))
    async with broker(settings) as (nc, js):
        publisher = Publisher(nc)
        await publisher.start()

        async def publish_batches() -> None:
            for start in range(0, len(payloads), BATCH):
                await publisher.publish_all(
                    [(SUBJECT, payload, str(next(numbers))) for payload in payloads[start : start + BATCH]]
                )

        async def publish_singly() -> None:
            left = iter(payloads)

            async def work() -> None:
                for payload in left:
                    await publisher.publish(SUBJECT, payload, str(next(numbers)))

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

        async def pull(count: int) -> None:
            batches: Batches[Msg] = Batches(BATCH)
            puller = Puller(nc, STREAM, CONSUMER, batches.put, batch=4 * BATCH)
            await puller.start()
            while count > 0:
                messages = await batches.get()
                for message in messages:
                    await puller.acknowledge(message)
                count -= len(messages)
            await puller.stop()
            await nc.flush()

        batched = await cost(f"publish, {BATCH} at once", len(payloads), rounds, publish_batches)
        singly = await cost(f"publish, each awaited, {CONCURRENCY} tasks", len(payloads), rounds, publish_singly)
        # A round takes a batch too many at its end, and leaves some on their way: there are enough for both.
        waiting = (await js.stream_info(STREAM)).state.messages // (rounds + 1)
        pulled = await cost("pull and acknowledge", waiting, rounds, lambda: pull(waiting))
    return [batched, singly, pulled]


async def store_costs(settings: Settings, predictions: Sequence[Prediction], rounds: int) -> list[Cost]:
    """A result stored, journalled, in the scorer's bulks, in a database of its own that is gone afterwards."""
    client = mongo.connect(settings)
    try:
        database = client[DATABASE]
        await mongo.provision(database)
        numbers = iter(range(10**9))

        async def store() -> None:
            evaluation = f"e{next(numbers)}"
            renamed = [prediction.model_copy(update={"evaluation": evaluation}) for prediction in predictions]
            for start in range(0, len(renamed), BATCH):
                await land(database, [result(prediction, 0.0) for prediction in renamed[start : start + BATCH]])

        stored = await cost(f"score and store, bulks of {BATCH}", len(predictions), rounds, store)
        await client.drop_database(DATABASE)
    finally:
        client.close()
    return [stored]


async def call_costs(bench: Bench, jobs: Sequence[Job], rounds: int) -> list[Cost]:
    """A call as the predictor makes it, and with nothing but aiohttp."""
    endpoint = Endpoint(
        ModelEndpoint(
            id="bench",
            name=SLUG,
            base_url=bench.base_url,
            model=MODEL,
            max_concurrency=CONCURRENCY,
            timeout_s=120,
            connect_timeout_s=10,
            max_attempts=5,
        ),
        None,
        Networks(loopback=True),
    )
    bodies = bench.workload.bodies(len(jobs))

    async def call(job: Job) -> None:
        await endpoint.call(job)

    async def calls() -> None:
        await timed(jobs, CONCURRENCY, call)

    async def bare() -> None:
        await aiohttp_loop(bench.base_url, bodies, CONCURRENCY)

    try:
        return [
            await cost(f"call, as the predictor makes it, {CONCURRENCY} at once", len(jobs), rounds, calls),
            await cost(f"call, bare aiohttp, {CONCURRENCY} at once", len(jobs), rounds, bare),
        ]
    finally:
        endpoint.close()
