"""The code scorer: the answer's Python is run in the sandbox with its item's unit tests, in the form of HumanEval.

Chen et al. 2021, 'Evaluating Large Language Models Trained on Code', arXiv:2107.03374: the item's prompt, the answer that continues it, the
tests, and `check(entry_point)`; it is correct where nothing raises. Unlike there, an answer of a chat model is taken out of its markdown.

Answer and tests share an interpreter, as they must. Ending it early counts as failing, but an answer that was written to cheat exactly these
tests can pass them.
"""

import ast
import asyncio
import contextlib
import json
import re
import secrets
import shutil
import signal
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.scorer.sandbox import Finished, Limits, Mount, NoSandbox, Sandbox, collect, remove
from services.scorer.sandbox.limits import MiB
from services.scorer.scorers.score import Score, clip, wrong
from services.scorer.workers import ScorerFailed
from shared.contracts import Outcome, Prediction
from shared.scoring import CodeScoring
from shared.workspace import workspace

_FENCED = re.compile(
    # Possessive throughout: each character of an answer is looked at once.
    r"^[ ]{0,3}+(`{3,}+|~{3,}+)[ \t]*+([\w+-]*+)[^\n]*+\n(.*?)(?:^[ ]{0,3}+\1[`~]*+[ \t]*+$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = ("", "py", "python", "python3")

_RUN = Path(__file__).with_name("code_run.py")
_INSIDE = "/run/answer"

WALL_FACTOR, WALL_EXTRA_S = 5, 5
"""The limit is one of CPU time, so that an answer that is right on an idle machine is right on a busy one. What waits takes none of it."""

MAX_VERDICT = 16 * 1024
MAX_DETAIL = 2000


class Code:
    """Scores predictions, each by a run in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def score(self, prediction: Prediction) -> Score:
        """`prediction` is the code that was taken; `scores` has `passed`, 1 or 0; `detail` says why it failed.

        Raises:
            ScorerFailed: there is no sandbox.
        """
        scoring, target = prediction.scoring, prediction.target
        assert isinstance(scoring, CodeScoring)
        if prediction.outcome is not Outcome.SCORED:
            return wrong(target)
        entry_point = scoring.entry_point and str(prediction.hints[scoring.entry_point])
        code = taken(prediction.output, entry_point)
        if not code.strip():
            return Score(None, target, False, {"passed": 0.0}, "the answer holds no code")
        prompt = scoring.prompt and str(prediction.hints[scoring.prompt])
        order = {
            "candidates": candidates(code, prompt, entry_point),
            "tests": joined(prediction.hints[scoring.tests]),
            "entry_point": entry_point,
        }
        try:
            reason = await self._run(order, scoring)
        except NoSandbox as error:
            raise ScorerFailed(str(error)) from error
        passed = reason is None
        detail = None if reason is None else reason[:MAX_DETAIL]
        return Score(code if passed else clip(code), target, passed, {"passed": float(passed)}, detail)

    async def _run(self, order: Mapping[str, Any], scoring: CodeScoring) -> str | None:
        """Why it failed, or None."""
        nonce = secrets.token_hex(16)
        limits = Limits(
            wall_s=WALL_FACTOR * scoring.time_limit_s + WALL_EXTRA_S,
            cpu_s=scoring.time_limit_s,
            memory_bytes=scoring.memory_mb * MiB,
            processes=32,
            file_bytes=16 * MiB,
            output_bytes=32 * MiB,
            log_bytes=4 * MiB,
            files=1000,
        )
        with workspace("scorer") as folder:
            work = await asyncio.to_thread(_prepared, folder, {**order, "nonce": nonce})
            try:
                finished = await self._sandbox.run(
                    ["python3", f"{_INSIDE}/{_RUN.name}", f"{_INSIDE}/order.json", f"{_INSIDE}/verdict.json"],
                    mounts=[Mount(work, _INSIDE, writable=True)],
                    folder=_INSIDE,
                    environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                    limits=limits,
                    on_line=lambda stream, line: None,
                )
                return await asyncio.to_thread(_verdict, work, finished, nonce)
            finally:
                await asyncio.to_thread(remove, work)


def taken(output: str, entry_point: str | None) -> str:
    """The code of an answer: its last block of Python that defines `entry_point`, else its first one, else all of it."""
    blocks: list[str] = [body for _, language, body in _FENCED.findall(output) if language.lower() in _PYTHON]
    if not blocks:
        return output
    return next((block for block in reversed(blocks) if entry_point and defines(block, entry_point)), blocks[0])


def defines(code: str, name: str) -> bool:
    return (
        re.search(
            rf"^(?:async[ \t]+def|def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*=", code, re.MULTILINE
        )
        is not None
    )


def candidates(code: str, prompt: str | None, entry_point: str | None) -> list[str]:
    """Programs that the answer may mean, of which the first counts that is Python.

    White space before all of it means nothing. An answer that repeats the function is put after the prompt, whose imports and helpers
    it may need. One that goes on where the prompt ends may have lost its indentation on the way.
    """
    if not prompt:
        return [textwrap.dedent(code)]
    apart = f"{prompt}\n{code}"
    indented = "\n".join(f"    {line}" if line.strip() else line for line in code.splitlines())
    if entry_point and defines(code, entry_point):
        return [apart, code]
    return [prompt + code, apart, f"{prompt}\n{indented}"]


def joined(column: Any) -> str:
    """One text, or a list of them (as MBPP has its assertions)."""
    return "\n".join(map(str, column)) if isinstance(column, list) else str(column)


def check_target(target: str, scoring: CodeScoring, hints: Mapping[str, Any]) -> str | None:
    """Whether the tests can run at all; the target itself is only shown."""
    tests = hints[scoring.tests]
    if not isinstance(tests, str) and not (isinstance(tests, list) and all(isinstance(line, str) for line in tests)):
        return f"column {scoring.tests!r} must be the code of the tests, a text or a list of texts"
    text = joined(tests)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return f"column {scoring.tests!r}: the tests are no Python: {error.msg}, line {error.lineno}"
    except (ValueError, RecursionError) as error:
        return f"column {scoring.tests!r}: the tests are no Python: {error}"
    if not tree.body:
        return f"column {scoring.tests!r}: there are no tests, so that every answer would pass"
    if scoring.prompt is not None and not isinstance(hints[scoring.prompt], str):
        return f"column {scoring.prompt!r} must be the code that the answer continues, a text"
    if scoring.entry_point is None:
        return None
    name = hints[scoring.entry_point]
    if not isinstance(name, str) or not name.isidentifier():
        return f"column {scoring.entry_point!r} must be the name of the function under test"
    if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        return (
            f"column {scoring.tests!r} defines no check(candidate); write one, or `entry_point: null` in scoring for tests that "
            "fail by raising"
        )
    return None


def _prepared(folder: Path, order: Mapping[str, Any]) -> Path:
    work = folder / "work"
    work.mkdir()
    (work / "order.json").write_text(json.dumps(order))
    shutil.copyfile(_RUN, work / _RUN.name)
    for path in work.iterdir():
        # Whatever this process' umask is.
        path.chmod(0o644)
    return work


def _verdict(work: Path, finished: Finished, nonce: str) -> str | None:
    """What the run came to: why it failed, or None."""
    if finished.stopped is not None:
        return f"stopped: {finished.stopped}"
    found, _ = collect(work, files=1000, size=10**9)
    for output in found:
        if output.name == "verdict.json" and output.size <= MAX_VERDICT:
            with output.open() as file, contextlib.suppress(ValueError, RecursionError):
                match json.loads(file.read()):
                    case {"nonce": said, "reason": None | str() as reason} if said == nonce:
                        return reason
    code = finished.exit_code or 0
    if code > 128:
        return f"it was ended by {_signal(code - 128)} before its tests were through"
    return f"it ended by itself, with code {code}, before its tests were through"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
