"""What `assay env new` writes is evaluated as it is, by an endpoint that knows the answers."""

from pathlib import Path

from assay.new import new_environment
from assay.starters import STARTERS
from shared.contracts import Status
from tests.parrot import Parrot
from tests.running import RunningStack

CODE = {"add": "def add(a, b):\n    return a + b", "reverse": "def reverse(text):\n    return text[::-1]"}


def know(prompt: str) -> str:
    """The right answer to a question of any starter, in the form that its prompt asks for."""
    if "Verdict:" in prompt:
        return "It says it all, and simply.\n\nVerdict: 10"
    rows = [
        row for starter in STARTERS.values() for row in starter.rows if row["question"] in prompt and "answer" in row
    ]
    for name, code in CODE.items():
        if f"function {name}(" in prompt:
            return f"```python\n{code}\n```"
    answer = str(max(rows, key=lambda row: len(row["question"]))["answer"])
    if "\\boxed" in prompt:
        return f"\\boxed{{{answer}}}"
    return f"Answer: {answer}" if "Answer: <name>" in prompt else answer


def test_every_starter_is_evaluated_and_right(stack: RunningStack, tmp_path: Path) -> None:
    with Parrot(know) as parrot:
        model = stack.client.models.add("knows", base_url=parrot.base_url, model="parrot")
        started = []
        for scorer in STARTERS:
            slug = f"starter-{scorer.replace('_', '-')}"
            new_environment(tmp_path / slug, scorer, slug, slug, f"{stack.url}/schemas/environment.json")
            stack.client.environments.push(tmp_path / slug)
            judge = {"judge": model.id} if scorer == "judge" else {}
            started += stack.evaluate(slug, [model], **judge)
        ended = stack.wait(started)
    assert [(done.environment, done.status, done.error) for done in ended] == [
        (done.environment, Status.COMPLETED, None) for done in ended
    ]
    scores = {done.environment: (done.metrics or {})["overall_score"] for done in ended}
    assert scores == dict.fromkeys(scores, 1.0)
