"""Answers that are code, from the bundle to the page: run in the sandbox with their items' tests, through the whole stack."""

import json
from pathlib import Path

import httpx
import pytest

from shared.api import Evaluation
from tests.parrot import Parrot
from tests.running import RunningStack

MANIFEST = """
slug: totals
title: Totals
prompt: {template: "{{ input }}"}
phases:
  - {name: main, data: items.jsonl, fields: {id: id, target: solution}}
scoring: {scorer: code, time_limit_s: 1, memory_mb: 128}
"""
TESTS = "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([1, 2]) == 3\n"
# The endpoint answers with the second word of the last message; see Parrot.
ANSWERS = {
    "right": "total=sum",
    "wrong": "total=len",
    "broken": "total=(",
    "hung": "total=lambda*n:sum(iter(int,1))",
}


@pytest.fixture(scope="module")
def completed(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "environment.yaml").write_text(MANIFEST)
    common = {"test": TESTS, "entry_point": "total", "solution": "def total(numbers): return sum(numbers)"}
    lines = [json.dumps({"id": name, "input": f"0 {answer}", **common}) for name, answer in ANSWERS.items()]
    (folder / "items.jsonl").write_text("\n".join(lines))
    stack.client.environments.push(folder)
    with Parrot() as endpoint:
        model = stack.client.models.add("parrot", base_url=endpoint.base_url, model="parrot")
        (evaluation,) = stack.wait(stack.evaluate("totals", [model]))
        stack.remove_model(model.id)
    return evaluation


def test_an_answer_is_correct_where_its_tests_pass_and_the_others_say_why(
    stack: RunningStack, completed: Evaluation
) -> None:
    rows = list(stack.client.evaluations.results(completed.id))
    assert [row.error for row in rows] == [None] * 4
    assert {row.item_id: (row.correct, row.scores, row.detail) for row in rows} == {
        "right": (True, {"passed": 1.0}, None),
        "wrong": (False, {"passed": 0.0}, "AssertionError, line 3 of the tests: assert candidate([1, 2]) == 3"),
        "broken": (False, {"passed": 0.0}, "the answer is no Python: '(' was never closed, line 1 of the program"),
        "hung": (False, {"passed": 0.0}, "stopped: it used more than 1 s of CPU time"),
    }
    assert completed.metrics is not None
    assert (completed.metrics["accuracy"], completed.metrics["scores"]) == (0.25, {"passed": 0.25})


def test_several_samples_have_pass_at_k(stack: RunningStack, completed: Evaluation) -> None:
    with Parrot() as endpoint:
        model = stack.client.models.add("parrot-twice", base_url=endpoint.base_url, model="parrot")
        (again,) = stack.wait(stack.evaluate(completed.environment, [model], samples_per_item=2, limit=2))
        stack.remove_model(model.id)
    assert again.metrics is not None
    assert again.metrics["scores"] == {"passed": 0.5, "pass@1": 0.5, "pass@2": 0.5}
    assert again.metrics["corpus"] == ["pass@1", "pass@2"]


def test_the_reason_stands_in_the_files_and_on_the_page(stack: RunningStack, completed: Evaluation) -> None:
    reason = "AssertionError, line 3 of the tests: assert candidate([1, 2]) == 3"
    items = {item["item_id"]: item for item in json.loads(stack.file(completed, "detailed_results.json"))["items"]}
    assert items["wrong"]["detail"] == reason
    assert "detail" not in items["right"]
    assert reason in stack.file(completed, "detailed_results.html").decode()
    page = httpx.get(f"{stack.url}/evaluations/{completed.number}/cases/1", follow_redirects=True, timeout=30)
    assert page.status_code == 200
    assert "how the score came about" in page.text
    assert reason in page.text


def test_tests_that_cannot_run_are_refused_with_their_line(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "environment.yaml").write_text(MANIFEST)
    item = {"id": "1", "input": "0 x", "solution": "x", "entry_point": "total", "test": "def check(candidate)"}
    (tmp_path / "items.jsonl").write_text(json.dumps(item))
    with pytest.raises(
        Exception, match=r"items.jsonl.*line 1: column 'test': the tests are no Python: expected ':', line 1"
    ):
        stack.client.environments.push(tmp_path)
