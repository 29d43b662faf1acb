"""What is taken out of an answer as its code, and which tests are refused. What becomes of it is in tests/integration/test_code.py."""

from typing import Any

import pytest

from services.scorer.scorers.code import candidates, check_target, defines, joined, taken
from shared.scoring import CodeScoring

CODE = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (CODE, CODE),
        (f"Here:\n```python\n{CODE}```\nDone.", CODE),
        (f"```\n{CODE}```", CODE),
        (f"  ~~~py\n{CODE}~~~", CODE),
        (f"````Python3\n{CODE}````", CODE),
        (f"```python\n{CODE}", CODE),
        (f"First `x = 1`:\n```python\nimport os\n```\nThen:\n```python\n{CODE}```\nUse:\n```python\nadd(1, 2)\n```", CODE),
        (f"```bash\npip install x\n```\n```python\n{CODE}```", CODE),
        ("```python\nfirst = 1\n```\n```python\nsecond = 2\n```", "first = 1\n"),
        ("```bash\nls\n```", "```bash\nls\n```"),
        ("    return a + b\n", "    return a + b\n"),
    ],
)  # fmt: skip
def test_the_code_is_taken_out_of_the_answer(answer: str, code: str) -> None:
    assert taken(answer, "add") == code


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["`", "```", "```\n", "```python\n", "~~~\n```\n", " ", "\n", "   ```x\n~~~", "def add", "``` "]
)
def test_a_megabyte_of_one_thing_is_read(piece: str) -> None:
    assert isinstance(taken(piece * (1_000_000 // len(piece)), "add"), str)


def test_what_defines_a_name() -> None:
    assert all(
        defines(code, "add") for code in (CODE, "x = 1\nasync def add(): ...", "add = max", "class add:\n    x = 1")
    )
    assert not any(
        defines(code, "add") for code in ("    def add(): ...", "def adder(): ...", "add()", "address = 1", "")
    )


def test_an_answer_goes_on_with_the_prompt_or_repeats_it() -> None:
    prompt = 'import math\n\ndef add(a, b):\n    """Adds."""\n'
    assert candidates(" x = 1\n y = 2", None, "add") == ["x = 1\ny = 2"]
    assert candidates(CODE, prompt, "add")[0] == f"{prompt}\n{CODE}"
    assert candidates("    return a + b\n", prompt, "add")[0] == f"{prompt}    return a + b\n"
    assert candidates("x = a\nreturn x", prompt, "add")[-1] == f"{prompt}\n    x = a\n    return x"


def test_tests_may_be_a_list_of_lines() -> None:
    assert joined(["assert f(1) == 1", "assert f(2) == 2"]) == "assert f(1) == 1\nassert f(2) == 2"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "syntax": ({"test": "def check(candidate):\n  assert candidate(1) = 2"}, "column 'test': the tests are no Python: "),
    "empty": ({"test": "# nothing"}, "column 'test': there are no tests, so that every answer would pass"),
    "no text": ({"test": 5}, "column 'test' must be the code of the tests, a text or a list of texts"),
    "a list of no texts": ({"test": [1]}, "column 'test' must be the code of the tests, a text or a list of texts"),
    "null byte": ({"test": "x = 1\0"}, "column 'test': the tests are no Python: "),
    "nested": ({"test": "(" * 5000 + ")" * 5000}, "column 'test': the tests are no Python: too many nested parentheses"),
    "no check": ({"test": "assert add(1, 1) == 2"}, "column 'test' defines no check(candidate); write one, or `entry_point: null`"),
    "no name": ({"entry_point": "a dd"}, "column 'entry_point' must be the name of the function under test"),
    "no prompt": ({"prompt": ["x"]}, "column 'prompt' must be the code that the answer continues, a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_tests_that_cannot_run_are_refused(name: str) -> None:
    hints, message = WRONG[name]
    whole = {
        "test": "def check(candidate): assert candidate(1, 1) == 2",
        "entry_point": "add",
        "prompt": "x = 1",
        **hints,
    }
    assert (check_target("", CodeScoring(scorer="code", prompt="prompt"), whole) or "").startswith(message)


def test_tests_that_can_run_are_accepted() -> None:
    whole = {"test": "def check(candidate): assert candidate(1, 1) == 2", "entry_point": "add", "prompt": "x = 1"}
    assert check_target("", CodeScoring(scorer="code", prompt="prompt"), whole) is None
    plain = CodeScoring(scorer="code", entry_point=None, tests="asserts")
    assert check_target("", plain, {"asserts": ["assert add(1, 1) == 2"]}) is None
