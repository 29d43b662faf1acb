"""Whether targets can be used with a scorer: asked before a bundle is registered."""

import asyncio
from typing import Any

from pydantic import TypeAdapter

from services.scorer.sandbox import Sandbox
from services.scorer.scorers import check_target
from services.scorer.workers import ScorerFailed, Workers, WorkersAway
from shared.errors import Invalid, Unavailable
from shared.scoring import ProgramScoring, Scored, Scoring

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)

MAX_REFUSED = 20
"""As many as a person is told of."""


class Targets:
    """Where a `sandbox` is given, scoring that needs one is refused if it does not work."""

    def __init__(self, workers: Workers, sandbox: Sandbox | None = None) -> None:
        self._workers = workers
        self._sandbox = sandbox

    async def check(self, body: dict[str, Any]) -> list[str | None]:
        """Command `scorer.targets.check` {scoring, items: [{target, hints}]}: why each cannot be used, or null.

        Where that takes its time, no more are looked at after `MAX_REFUSED` that cannot.
        """
        whole = _SCORING.validate_python(body["scoring"])
        scoring: Scored = whole.for_items
        runs_programs = isinstance(whole, ProgramScoring) or scoring.lane == "sandbox"
        if self._sandbox and runs_programs and (missing := await self._sandbox.problem()):
            key = "program" if isinstance(whole, ProgramScoring) else "scorer"
            raise Invalid(missing, [{"loc": ["environment.yaml", "scoring", key], "msg": missing}])
        if scoring.lane in ("process", "sandbox"):
            return await self._check_in_workers(scoring, body["items"])
        return [check_target(item["target"], scoring, item["hints"]) for item in body["items"]]

    async def _check_in_workers(self, scoring: Scored, items: list[dict[str, Any]]) -> list[str | None]:
        answers: list[str | None] = [None] * len(items)
        refused = 0
        places = iter(range(len(items)))

        async def work() -> None:
            nonlocal refused
            for place in places:
                if refused >= MAX_REFUSED:
                    return
                item = items[place]
                answers[place] = await self._workers.check_target(item["target"], scoring, item["hints"])
                refused += answers[place] is not None

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers.count):
                    group.create_task(work())
        except* (ScorerFailed, WorkersAway) as errors:
            raise Unavailable(f"its targets cannot be checked: {errors.exceptions[0]}") from errors
        return answers
