"""Worker processes that score what may take long, or may never end.

A pool of `concurrent.futures` can stop none of its workers alone. Here each answer has a limit of CPU time and each worker one of
memory; a worker that exceeds one is replaced, and the answer that made it gets a score that says so. Workers are started when they
are needed first, hold none of the service's secrets, and die with it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

import orjson
from pydantic import TypeAdapter, ValidationError

from services.scorer.scorers import Score, has_corpus_score, time_limit_s, wrong
from services.scorer.scorers.score import clip
from services.scorer.worker import LENGTH
from shared.children import child_environment
from shared.contracts import Outcome, Prediction
from shared.errors import AssayError
from shared.scoring import Scored

logger = logging.getLogger("assay.scorer")

MEMORY_BYTES = 1024**3
"""Address space of a worker: with SymPy, NLTK and NumPy loaded it takes a third of it."""

MAX_MESSAGE = 64 * 1024**2
"""Bytes of an answer of a worker: far above what any scorer says."""

MAX_DETAIL = 2000

MAX_DEATHS = 3
"""Of workers that somebody may have killed, with one answer. An answer that takes the whole machine's memory must not be tried for ever."""

WALL_FACTOR, WALL_EXTRA_S = 10, 30
"""What waits for something takes no CPU time; on a busy machine little is had of it. So long, in multiples of the limit, is waited."""

START_S = 60.0
END_S = 1.0
"""How long a process whose output has ended may take to be gone."""

_ROOT = Path(__file__).resolve().parents[2]
_SCORE: TypeAdapter[Score] = TypeAdapter(Score)
# Threads of a numeric library's own would each reserve address space.
_ADDED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class OverLimit(AssayError):
    """What was to be scored takes more than it may. The message completes 'scoring this ...'."""


class ScorerFailed(AssayError):
    """The scorer itself failed, or cannot be loaded."""


class WorkersAway(AssayError):
    """No worker can be started now."""


class Workers:
    """`count` processes at most; 0: as many as there are cores."""

    def __init__(self, count: int = 0, memory_bytes: int = MEMORY_BYTES) -> None:
        self.count = count or os.cpu_count() or 1
        self._memory_bytes = memory_bytes
        # The last one in is the first one out: a process that has everything loaded is better than one that has yet to start.
        self._slots: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        self.running: set[_Worker] = set()
        """Those that have been started and have not ended."""
        for _ in range(self.count):
            self._slots.put_nowait(None)

    async def score(self, prediction: Prediction) -> Score:
        """Score what was answered. An answer that is over a limit counts as an empty one, with the reason.

        Raises:
            ScorerFailed: the scorer's fault, each time.
            WorkersAway: nobody's; later it may work.
        """
        scoring, target = prediction.scoring, prediction.target
        answered = prediction.outcome is Outcome.SCORED
        if not answered and not has_corpus_score(scoring):
            return wrong(target)
        try:
            return await self._score(prediction, prediction.output if answered else "")
        except OverLimit as error:
            detail = f"Not scored: {error}"
        try:
            empty = await self._score(prediction, "")
        except OverLimit:
            empty = wrong(target)
        return empty._replace(prediction=None, correct=False, detail=detail)

    async def _score(self, prediction: Prediction, output: str) -> Score:
        scoring, arguments = prediction.scoring, {"target": prediction.target, "hints": prediction.hints}
        found = await self._ask(scoring, "score", output=output, **arguments)
        try:
            scored = _SCORE.validate_python(found)
        except ValidationError as error:
            raise ScorerFailed(
                f"{scoring.scorer} gave no score: {error.errors(include_input=False)[0]['msg']}"
            ) from error
        return scored._replace(
            prediction=scored.prediction if scored.correct else clip(scored.prediction),
            detail=scored.detail and scored.detail[:MAX_DETAIL],
        )

    async def judge(self, prediction: Prediction) -> dict[str, Any]:
        """What comes after a prediction that is judged, a `services.scorer.judging.Step`. Raises `OverLimit`, `ScorerFailed`, `WorkersAway`."""
        asked = prediction.model_dump(mode="json", exclude={"scoring"}, exclude_defaults=True)
        found: dict[str, Any] = await self._ask(prediction.scoring, "step", prediction=asked)
        return found

    async def check_target(self, target: str, scoring: Scored, hints: dict[str, Any]) -> str | None:
        """Why this target cannot be used, in one sentence; None where it can. Raises `ScorerFailed` and `WorkersAway`."""
        try:
            found = await self._ask(scoring, "check_target", target=target, hints=hints)
        except OverLimit as error:
            return f"the target cannot be read: {error}"
        return None if found is None else str(found)

    async def corpus(self, sums: list[int], scoring: Scored) -> dict[str, float]:
        """Scores over all answers, by name, from the sums of their `statistics`. Raises `ScorerFailed` and `WorkersAway`."""
        found: dict[str, float] = await self._ask(scoring, "corpus", sums=sums)
        return found

    async def stop(self) -> None:
        for worker in list(self.running):
            await self._end(worker)

    async def _ask(self, scoring: Scored, do: str, **arguments: Any) -> Any:
        limit_s = time_limit_s(scoring)
        request = orjson.dumps(
            {"do": do, "scoring": scoring.model_dump(mode="json"), "arguments": arguments, "limit_s": limit_s}
        )
        worker = await self._slots.get()
        deaths = 0
        try:
            while True:
                fresh = worker is None
                if worker is None:
                    worker = await _Worker.start(self._memory_bytes)
                    self.running.add(worker)
                try:
                    return await self._answer(worker, request, limit_s)
                except ScorerFailed:
                    if worker.has_ended:
                        await self._end(worker)
                        worker = None
                    raise
                except _Died as death:
                    await self._end(worker)
                    worker = None
                    deaths += 1
                    # It may have been full of what others left, or somebody killed it: new ones tell.
                    if (fresh and death.certain) or deaths == MAX_DEATHS:
                        raise OverLimit(str(death)) from death
                except BaseException:
                    await self._end(worker)
                    worker = None
                    raise
        finally:
            self._slots.put_nowait(worker)

    async def _answer(self, worker: "_Worker", request: bytes, limit_s: float) -> Any:
        try:
            async with asyncio.timeout(WALL_FACTOR * limit_s + WALL_EXTRA_S):
                found = await worker.ask(request)
        except TimeoutError as error:
            raise OverLimit(f"it does not end (limit: {limit_s:g} s of CPU time)") from error
        except (EOFError, OSError) as error:
            code = await worker.end()
            if code == -signal.SIGPROF:
                raise OverLimit(f"it takes more than {limit_s:g} s of CPU time") from error
            if code >= 0:
                raise ScorerFailed(f"its worker process ended by itself (code {code})") from error
            raise _Died(f"it makes the scorer crash (code {code})", certain=code != -signal.SIGKILL) from error
        match found:
            case {"ok": answer}:
                return answer
            case {"memory": _}:
                raise _Died(f"it takes more than {self._memory_bytes:,} bytes of memory", certain=True)
            case {"missing": reason}:
                raise ScorerFailed(f"the scorer cannot be loaded: {reason}")
        raise ScorerFailed(found["failed"])

    async def _end(self, worker: "_Worker") -> None:
        self.running.discard(worker)
        await worker.end()


class _Died(Exception):
    """`certain`: by its own doing, and nobody else's."""

    def __init__(self, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.certain = certain


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.has_ended = False

    @classmethod
    async def start(cls, memory_bytes: int) -> Self:
        """Returns when it is ready. Raises `WorkersAway`."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.scorer.worker", str(os.getpid()), str(memory_bytes)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=_ROOT,
                env=child_environment(os.environ) | _ADDED,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkersAway(f"no worker process can be started: {error}") from error
        worker = cls(process)
        try:
            async with asyncio.timeout(START_S):
                await worker._read()
        except (TimeoutError, EOFError) as error:
            code = await worker.end()
            raise WorkersAway(f"a worker process does not start (code {code}); the lines above say why") from error
        except BaseException:
            await worker.end()
            raise
        return worker

    async def ask(self, request: bytes) -> Any:
        """Raises EOFError or OSError where it ends meanwhile."""
        assert self._process.stdin
        self._process.stdin.write(LENGTH.pack(len(request)) + request)
        await self._process.stdin.drain()
        return await self._read()

    async def _read(self) -> Any:
        assert self._process.stdout
        (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
        if length > MAX_MESSAGE:
            raise EOFError
        return orjson.loads(await self._process.stdout.readexactly(length))

    async def end(self) -> int:
        """Kill what is left of it; gives its exit code."""
        if not self.has_ended:
            self.has_ended = True
            assert self._process.stdout
            if self._process.stdout.at_eof():
                # It ended by itself, and its code tells why.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(END_S):
                        await self._process.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return await self._process.wait()
