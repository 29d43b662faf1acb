"""Code that models write, run with its tests in the real sandbox."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.scorer.sandbox import Sandbox
from services.scorer.scorers import Score
from services.scorer.scorers.code import Code
from services.scorer.targets import Targets
from services.scorer.workers import ScorerFailed, Workers
from shared.contracts import Prediction
from shared.errors import Invalid
from tests.programs import bwrap

PROMPT = 'from typing import List\n\ndef total(numbers: List[int]) -> int:\n    """The sum."""\n'
TESTS = "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([1, 2]) == 3, 'small numbers'\n"
HINTS = {"test": TESTS, "entry_point": "total", "prompt": PROMPT}
RIGHT = "    return sum(numbers)\n"


@pytest.fixture(scope="module")
def code() -> Iterator[Code]:
    sandbox = Sandbox(bwrap())
    yield Code(sandbox)
    sandbox.close()


def prediction(output: str, hints: dict[str, Any] = HINTS, outcome: str = "scored", **scoring: Any) -> Prediction:
    whole = {"scorer": "code", "prompt": "prompt" if "prompt" in hints else None, "time_limit_s": 2, "memory_mb": 128}
    body = {
        "evaluation": "e",
        "model": "m",
        "index": 0,
        "item_id": "1",
        "target": "",
        "hints": hints,
        "outcome": outcome,
    }
    return Prediction.model_validate({**body, "output": output, "scoring": {**whole, **scoring}})


@pytest.mark.parametrize(
    "output",
    [
        RIGHT,
        "return sum(numbers)",
        f"```python\n{RIGHT}```",
        "Like this:\n```python\ndef total(numbers: List[int]) -> int:\n    return sum(numbers)\n```\nIt adds up.",
        "```python\nfrom dataclasses import dataclass\n@dataclass\nclass Box:\n    n: int\ntotal = lambda numbers: Box(sum(numbers)).n\n```",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ndef total(numbers): return sum(numbers)",
        "def total(numbers):\n    print('noise')\n    return sum(numbers)\nif __name__ == '__main__':\n    raise SystemExit('not run')",
    ],
)  # fmt: skip
async def test_an_answer_that_passes_is_correct(code: Code, output: str) -> None:
    scored = await code.score(prediction(output))
    assert (scored.correct, scored.scores, scored.detail) == (True, {"passed": 1.0}, None)
    assert scored.prediction is not None
    assert "sum(numbers)" in scored.prediction
    assert left() == []


WRONG = {
    "    return 0\n": "AssertionError: small numbers, line 3 of the tests: assert candidate([1, 2]) == 3, 'small numbers'",
    "    return numbers[0]\n": "IndexError: list index out of range, line 5 of the program: return numbers[0]",
    "I cannot say.": "the answer is no Python: invalid syntax, line 5 of the program",
    "def other(): ...": "AssertionError, line 2 of the tests: assert candidate([]) == 0",
    "    while True: pass\n": "stopped: it used more than 2 s of CPU time",
    "    return [bytearray(10_000_000) for _ in range(100)]\n": "stopped: it used more than 128 MiB of memory",
    "    import os; os._exit(0)\n": "it ended by itself, with code 0, before its tests were through",
    "    import os; os.kill(os.getpid(), 11)\n": "it was ended by SIGSEGV before its tests were through",
    "    raise SystemExit(0)\n": "SystemExit: 0, line 5 of the program: raise SystemExit(0)",
    "    return total(numbers)\n": "RecursionError: maximum recursion depth exceeded, line 5 of the program: return total(numbers)",
    "    class Bad(Exception):\n        def __str__(self): raise ValueError\n    raise Bad\n": "Bad, line 7 of the program: raise Bad",
    "    open('/run/answer/verdict.json', 'w').write('{\"nonce\": \"\", \"reason\": null}'); import os; os._exit(0)\n": "it ended by itself",
    "    open('/run/answer/verdict.json', 'w').write('[' * 9000); import os; os._exit(0)\n": "it ended by itself",
    "    import os; os.mkfifo('/run/answer/verdict.json'); return sum(numbers)\n": "it ended by itself",
    "    import os; os.symlink('/etc/passwd', '/run/answer/verdict.json'); os._exit(0)\n": "it ended by itself",
    "    import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')\n": "URLError: <urlopen error [Errno 111] Connection refused>",
    "    print('x' * 10_000_000)\n": "stopped: it wrote more than 4 MiB to its standard output and error",
    "```python\n```": "the answer holds no code",
}  # fmt: skip


@pytest.mark.parametrize("output", WRONG)
async def test_an_answer_that_fails_says_why(code: Code, output: str) -> None:
    scored = await code.score(prediction(output))
    assert (scored.correct, scored.scores) == (False, {"passed": 0.0})
    assert (scored.detail or "").startswith(WRONG[output]), scored.detail
    assert left() == []


async def test_tests_may_fail_by_raising_alone(code: Code) -> None:
    hints = {"test": ["assert total([1, 2]) == 3", "assert total([5]) == 5"]}
    passed = await code.score(prediction("def total(n): return sum(n)", hints, entry_point=None))
    failed = await code.score(prediction("def total(n): return 3", hints, entry_point=None))
    assert (passed.correct, failed.correct) == (True, False)
    assert failed.detail == "AssertionError, line 2 of the tests: assert total([5]) == 5"


async def test_an_answer_that_was_never_given_is_not_run(code: Code) -> None:
    assert await code.score(prediction("", outcome="no_answer")) == Score(None, "", False, {})


async def test_without_a_sandbox_it_fails_with_what_to_install() -> None:
    with pytest.raises(ScorerFailed, match="install bubblewrap"):
        await Code(Sandbox(None)).score(prediction(RIGHT))


async def test_an_environment_that_needs_a_sandbox_is_refused_where_none_works(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    body = {"scoring": {"scorer": "code"}, "items": [{"target": "", "hints": {"test": "x = 1", "entry_point": "f"}}]}
    workers = Workers(1)
    with pytest.raises(Invalid, match="install bubblewrap") as refused:
        await Targets(workers, Sandbox(None)).check(body)
    assert refused.value.errors[0]["loc"] == ["environment.yaml", "scoring", "scorer"]
    with pytest.raises(Invalid, match="No permissions to create new namespace"):
        await Targets(workers, Sandbox(broken)).check(body)
    found = await Targets(workers, Sandbox(bwrap())).check(body)
    assert (found[0] or "").startswith("column 'test' defines no check(candidate)")
    await workers.stop()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have their folders apart from those of scorers that work beside these tests."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def left() -> list[str]:
    """Folders of runs that are still there."""
    return [path.name for path in Path(tempfile.gettempdir()).glob("assay-scorer-*")]
