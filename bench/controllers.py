"""Which predictor controls a model's concurrency: found by the lease, and killed."""

import asyncio
import os
import re
import signal
from collections.abc import Iterable, Mapping

import nats
from nats.js.errors import KeyNotFoundError

from bench.fixtures import BenchError
from deploy.embedded.stack import Stack
from shared import subjects

_INSTANCE = re.compile(r" predictor ([0-9a-f]{12}) is connected$")


def last_instance(log: Iterable[str]) -> str | None:
    """The instance that a predictor's log named last: it starts a new one whenever it is started again."""
    found = [match[1] for line in log if (match := _INSTANCE.search(line.rstrip()))]
    return found[-1] if found else None


def holder(lease: str, instances: Mapping[str, str]) -> str | None:
    """The part whose instance the lease names; `instances` by part."""
    return next((part for part, instance in instances.items() if instance in lease), None)


def kill_controller(stack: Stack, model_id: str) -> None:
    """SIGKILL to the predictor that holds the model's lease. Raises `BenchError` where none does."""
    lease = asyncio.run(_lease(stack, model_id))
    predictors = [row for row in stack.status() if row.part.startswith("predictor")]
    instances = {}
    for row in predictors:
        with open(row.log, errors="replace") as log:
            if instance := last_instance(log):
                instances[row.part] = instance
    part = holder(lease, instances)
    pid = next((row.pid for row in predictors if row.part == part), None)
    if pid is None:
        raise BenchError(f"no running predictor holds the lease of model {model_id}: {lease}")
    os.kill(pid, signal.SIGKILL)


async def _lease(stack: Stack, model_id: str) -> str:
    nc = await nats.connect(stack.environment["ASSAY_NATS_URL"], token=stack.environment["ASSAY_NATS_TOKEN"])
    try:
        leases = await nc.jetstream().key_value(subjects.KV_LEASES)
        entry = await leases.get(model_id)
    except KeyNotFoundError as error:
        raise BenchError(f"model {model_id} has no controller: nobody holds its lease") from error
    finally:
        await nc.close()
    return (entry.value or b"").decode(errors="replace")
