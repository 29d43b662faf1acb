"""Whether the scorer can use every target of a bundle: a wrong gold answer would be a miss for every model."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from services.artifacts.batches import from_thread, in_batches, lines_of
from services.artifacts.bundles import Bundle
from services.artifacts.problems import Problems, quote
from services.artifacts.rows import unit
from shared.errors import Invalid

MAX_REQUEST_BYTES = 400_000
"""JSON of one request to the scorer: the broker takes messages of 1 MB unless it is told otherwise."""

Ask = Callable[[dict[str, Any]], Awaitable[list[str | None]]]
"""The scorer's command `targets.check` {scoring, items: [{target, hints}]}: why each cannot be used, or None."""


_COLUMN = re.compile(r"column '([^']+)'")
"""What the scorer's message begins with where not the target is wrong but another column."""


async def check_targets(bundle: Bundle, out: Path, ask: Ask) -> None:
    """`out` is where `read_bundle` wrote the items. Raises `Invalid` with the line and column of each target that is refused."""
    try:
        await _check(bundle, out, ask)
    except Invalid as problem:
        await asyncio.to_thread(quote, problem.errors, out / "bundle")
        raise


async def _check(bundle: Bundle, out: Path, ask: Ask) -> None:
    problems = Problems()
    scoring = bundle.manifest.scoring.model_dump(mode="json")
    room = MAX_REQUEST_BYTES - len(orjson.dumps({"scoring": scoring, "items": []}))
    for position, phase in enumerate(bundle.manifest.phases):
        targets = map(target_of, lines_of(out / f"items-{position}.jsonl"))
        async for batch in from_thread(in_batches(targets, lambda target: len(orjson.dumps(target[1])), room)):
            answers = await ask({"scoring": scoring, "items": [item for _, item in batch]})
            for (line, _), answer in zip(batch, answers, strict=True):
                if answer:
                    where = f"{unit(Path(phase.data))} {line}"
                    other = _COLUMN.match(answer)
                    column = phase.fields.target if other is None else other[1]
                    problems.add([phase.data, line, column], f"{where}: {answer}")
    problems.raise_any()


def target_of(line: bytes) -> tuple[int, dict[str, Any]]:
    """From a line that `read_bundle` wrote: the line or row of the item in its file, and what the scorer is asked about it."""
    item = orjson.loads(line)
    return item["line"], {"target": item["target"], "hints": item["hints"]}
